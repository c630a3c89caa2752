"""Write the few shards again that hold copies of images which are judged, without those rows."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.data.account import Account
from raymoco.data.ray_tasks import run_jobs
from raymoco.data.shards.build import in_parallel, note_of, rows_of, write_shard
from raymoco.data.shards.duplicates import RowNotes, find_copies, leave_out
from raymoco.data.shards.manifest import SPLITS
from raymoco.data.shards.plan import Job, Plan, read_listing
from raymoco.data.shards.stats import Built
from raymoco.files import write_atomically


@dataclass(frozen=True)
class Rewriting:
    """A shard to be written again, and the rows of its first version that it must not have."""

    number: int
    job: Job
    built: Built
    without: tuple[int, ...]


def leave_out_copies(
    plan: Plan, built: Sequence[Built], building: Path, account: Account, *, parallel: bool | None
) -> list[Built]:
    """Find copies among all images, account for them, and leave out those that must not be used.

    The same shards result whichever of them a killed build had written again already.

    Returns:
        What is in the shards now, in the order of the plan.
    """
    notes = [RowNotes.load(rows_of(building, job)) for job in plan.jobs]

    def names_of(number: int, rows: Sequence[int]) -> list[str]:
        skipped = set(built[number].skipped)
        ids = [entry.id for entry in read_listing(building, plan.jobs[number])]
        kept = [image_id for image_id in ids if image_id not in skipped]
        return [kept[row] for row in rows]

    without = leave_out(
        find_copies(notes, [job.split for job in plan.jobs]),
        _totals(plan, notes),
        keep=plan.duplicates == "keep",
        names_of=names_of,
        account=account,
    )
    found = list(built)
    again = [
        Rewriting(number, plan.jobs[number], built[number], tuple(rows))
        for number, rows in sorted(without.items())
        if built[number].without != tuple(rows)
    ]
    rewrite = functools.partial(_rewrite, building=building)
    parallel = in_parallel(parallel, plan, [rewriting.job for rewriting in again])
    for one, rewriting in run_jobs(rewrite, again, parallel=parallel):
        found[rewriting.number] = one
    return found


def _totals(plan: Plan, notes: Sequence[RowNotes]) -> dict[str, int]:
    """Images with a label in each split; all images, where none has one."""
    labelled = any(job.labelled for job in plan.jobs)
    totals = dict.fromkeys(SPLITS, 0)
    for job, one in zip(plan.jobs, notes, strict=True):
        totals[job.split] += len(one.digests) if job.labelled or not labelled else 0
    return totals


def _rewrite(rewriting: Rewriting, building: Path) -> Built:
    job, built = rewriting.job, rewriting.built
    notes = RowNotes.load(rows_of(building, job))
    keep = np.delete(np.arange(len(notes.digests)), rewriting.without).tolist()
    table = pq.read_table(building / job.path).take(pa.array(keep, pa.int64())).to_pydict()
    shard = write_shard(table["id"], table["image"], table["label"], building, job)
    if shard is None:
        (building / job.path).unlink()
    changed = {
        "shard": shard,
        "without": rewriting.without,
        "per_class": Counter(label for label in table["label"] if label is not None),
        **notes.seen(keep).facts(),
    }
    found = built.model_copy(update=changed)
    write_atomically(note_of(building, job), found.model_dump_json() + "\n")
    return found
