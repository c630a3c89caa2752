"""The plan of a build: which entries go to which shard, kept in files instead of memory.

The hash of an image's id decides its shard. Class folders are listed class by class; ordering by
hash puts every class in every shard, and a new image moves no other one.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from raymoco.data.codec import stored_form
from raymoco.data.shards.stats import Progress
from raymoco.data.sources.source import Entry, Source
from raymoco.data.splits import in_eval_split, order_key
from raymoco.errors import DataError
from raymoco.files import write_atomically

PLAN = "plan.json"
LISTING = "listing"
MOST_ROWS = 2**14  # of a shard: many tiny images also become several shards
PROBES = 32
LINES_IN_MEMORY = 20_000
LISTED_EVERY = 50_000

Kind = tuple[bool, str]  # labeled, split


class Job(BaseModel):
    """One shard to build: its path, and the number of entries that are listed for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    split: str
    labelled: bool
    entries: int

    @property
    def listing(self) -> str:
        """The file that lists its entries, below the folder of the build."""
        return f"{LISTING}/{self.path.replace('/', '-')}.jsonl"


class PlanInputs(BaseModel):
    """The inputs of a plan: a plan with other inputs cannot be used.

    Attributes:
        version: of the manifest to be.
        source: its name.
        fingerprint: the source's, taken before its entries are listed.
        shard_bytes: bytes of images that a shard should hold, about.
        size: see `build_shards`.
        background, value_range: keys of `data`, see DataConfig.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    source: str
    fingerprint: str
    shard_bytes: int
    size: int | None
    background: str = "white"
    value_range: Literal["auto"] | tuple[float, float] = "auto"


class Plan(PlanInputs):
    """All jobs of a build, and their inputs."""

    bytes: int
    jobs: tuple[Job, ...]

    @property
    def inputs(self) -> PlanInputs:
        """The inputs of this plan."""
        return PlanInputs(**{name: getattr(self, name) for name in PlanInputs.model_fields})

    @property
    def entries(self) -> int:
        return sum(job.entries for job in self.jobs)


def load_plan(building: Path) -> Plan | None:
    """The plan that an earlier build left; None if there is none."""
    try:
        return Plan.model_validate_json((building / PLAN).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def make_plan(
    source: Source, building: Path, inputs: PlanInputs, progress: Progress | None
) -> Plan:
    """Write the listings of a source's entries by shard into `building`, then the plan.

    Raises:
        DataError: an entry's split or label is none of the source's.
    """
    (building / LISTING).mkdir(parents=True, exist_ok=True)
    everything = building / LISTING / "all.jsonl"
    rows: Counter[Kind] = Counter()
    bytes_: Counter[Kind] = Counter()
    probes: list[tuple[float, int, Entry]] = []
    with everything.open("w", encoding="utf-8") as file:
        for number, entry in enumerate(source.entries(), start=1):
            _check_entry(entry, source)
            kind = (entry.label is not None, _split(entry, source))
            rows[kind] += 1
            bytes_[kind] += entry.bytes
            file.write(json.dumps(_row(entry)) + "\n")
            keep = heapq.heappush if len(probes) < PROBES else heapq.heappushpop
            keep(probes, (-order_key(entry.id), number, entry))
            if progress and number % LISTED_EVERY == 0:
                progress(f"{source.name}: {number:,} images found")
    share = _stored_share(
        source, [entry for _, _, entry in sorted(probes, reverse=True)], inputs.size
    )
    parts = {
        kind: max(
            math.ceil(bytes_[kind] * share / inputs.shard_bytes), math.ceil(rows[kind] / MOST_ROWS)
        )
        for kind in rows
    }
    entries = _deal(source, everything, building, parts)
    everything.unlink()
    jobs = [
        Job(path=path, split=path.split("/")[1].split("-")[0], labelled=path[0] == "l", entries=n)
        for path, n in sorted(entries.items())
    ]
    plan = Plan(
        **inputs.model_dump(),
        bytes=sum(bytes_.values()),
        jobs=tuple(jobs),
    )
    write_atomically(building / PLAN, plan.model_dump_json() + "\n")
    return plan


def read_listing(building: Path, job: Job) -> list[Entry]:
    """The entries of a shard, in the order in which they are written."""
    entries = list(_entries(building / job.listing))
    return sorted(entries, key=lambda entry: (order_key(entry.id), entry.id))


def _row(entry: Entry) -> list[str | int | None]:
    # dataclasses.astuple makes deep copies: thirty times as slow
    return [entry.id, entry.label, entry.split, entry.place, entry.bytes, entry.together]


def _entries(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Entry(*json.loads(line))


def _check_entry(entry: Entry, source: Source) -> None:
    """Refuse entries that would be lost silently; a third-party source may yield them."""
    if entry.split not in ("train", "test"):
        raise DataError(
            f"{source.name}: '{entry.id}' is in the split '{entry.split}', but must be in train or "
            "test (evaluation images are taken from train)."
        )
    if entry.label is not None and not 0 <= entry.label < len(source.classes):
        raise DataError(
            f"{source.name}: '{entry.id}' has the label {entry.label}, but there are "
            f"{len(source.classes)} classes."
        )


def _split(entry: Entry, source: Source) -> str:
    # images without a label are used for evaluation only where no image has one
    may_judge = entry.label is not None or not source.classes
    judges = entry.split == "train" and may_judge and in_eval_split(entry.id)
    return "eval" if judges else entry.split


def _deal(source: Source, everything: Path, building: Path, parts: dict[Kind, int]) -> Counter[str]:
    """Write each entry to the listing of its shard; return the counts by the shard's path."""
    dealt: Counter[str] = Counter()
    waiting: dict[Path, list[str]] = defaultdict(list)
    held = 0

    def write_out() -> None:
        for path, lines in waiting.items():
            with path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        waiting.clear()

    with everything.open(encoding="utf-8") as file:
        for line in file:
            entry = Entry(*json.loads(line))
            labelled, split = entry.label is not None, _split(entry, source)
            number = int(order_key(entry.together or entry.id) * parts[labelled, split])
            path = f"{'labelled' if labelled else 'unlabelled'}/{split}-{number:05d}.parquet"
            job = Job(path=path, split=split, labelled=labelled, entries=0)
            dealt[path] += 1
            waiting[building / job.listing].append(line)
            held += 1
            if held == LINES_IN_MEMORY:
                write_out()
                held = 0
    write_out()
    return dealt


def _stored_share(source: Source, probes: list[Entry], size: int | None) -> float:
    """The ratio of stored bytes to the source's bytes, measured on a few images."""
    before = after = 0
    for entry, found in zip(probes, source.read([e.place for e in probes]), strict=True):
        try:
            stored = stored_form(found, size)
        except DataError:
            continue  # the build counts and lists it
        before += entry.bytes
        after += len(stored.encoded)
    return after / before if before else 1.0
