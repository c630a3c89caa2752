"""Build the shards of a plan, in parallel, and continue a build that was killed."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from raymoco.data.account import Account
from raymoco.data.codec import stored_form
from raymoco.data.ray_tasks import run_jobs
from raymoco.data.shards.manifest import CONTENT_KEY, ShardInfo
from raymoco.data.shards.plan import Job, Plan, PlanInputs, load_plan, make_plan, read_listing
from raymoco.data.shards.stats import Advance, Built, Pixelwise, Progress
from raymoco.data.sources.source import Entry, Source
from raymoco.errors import DataError
from raymoco.files import hold, write_atomically

GROUP_BYTES = 4 * 2**20  # a stream reads and shuffles whole row groups
GROUP_ROWS = 1024
SCHEMA = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
DONE = "done"
LOCK = "lock"
# this process builds less than this before Ray has started a process
SMALL_BYTES = 32 * 2**20
SMALL_ROWS = 10_000
SAY_EVERY_S = 2.0
LOCK_POLL_S = 0.2


def build_all(
    source: Source,
    building: Path,
    inputs: PlanInputs,
    *,
    parallel: bool | None,
    progress: Progress | None,
    advance: Advance | None,
) -> tuple[Plan, list[Built]]:
    """Write every shard of a source into `building`; shards that exist already are kept.

    Returns:
        The plan and what was built, in the order of the plan.
    """
    plan = load_plan(building)
    if plan is None or plan.inputs != inputs:
        _empty(building)
        plan = make_plan(source, building, inputs, progress)
    found = {job.path: _finished(building, job) for job in plan.jobs}
    done = {path: built for path, built in found.items() if built is not None}
    if done and progress:
        progress(f"{source.name}: {len(done)} of {len(plan.jobs)} shards are built already")
    left = [job for job in plan.jobs if job.path not in done]
    if parallel is None:
        rows = sum(job.entries for job in left)
        parallel = rows > SMALL_ROWS or plan.bytes * rows > SMALL_BYTES * plan.entries
    build = functools.partial(build_shard, source=source, building=building, inputs=inputs)
    images = sum(built.entries for built in done.values())
    said = time.monotonic()
    for built, job in run_jobs(build, left, parallel=parallel):
        done[job.path] = built
        images += built.entries
        if advance:
            advance(images, plan.entries)
        if progress and time.monotonic() > said + SAY_EVERY_S:
            said = time.monotonic()
            progress(
                f"{source.name}: {images:,} of {plan.entries:,} images, "
                f"{len(done)} of {len(plan.jobs)} shards"
            )
    return plan, [done[job.path] for job in plan.jobs]


def build_shard(job: Job, source: Source, building: Path, inputs: PlanInputs) -> Built:
    """Read, check and write the images of one shard.

    Raises:
        DataError: a file of the source cannot be read, or two images have one id.
    """
    entries = read_listing(building, job)
    kept: list[Entry] = []
    images: list[bytes] = []
    skipped: list[str] = []
    account = Account()
    seen = Pixelwise()
    for entry, found in zip(entries, source.read([e.place for e in entries]), strict=True):
        if kept and kept[-1].id == entry.id:
            raise DataError(f"{source.name}: two images have the id '{entry.id}'.")
        try:
            stored = stored_form(found, inputs.size)
        except DataError as error:
            skipped.append(entry.id)  # the manifest names it
            account.add("corrupt", str(error).partition(":")[0], entry.id)
            continue
        for kind, reason in stored.remarks:
            account.add(kind, reason, entry.id)
        seen.add(stored.pixels)
        kept.append(entry)
        images.append(stored.encoded)
    shard = _write_shard(kept, images, building, job) if kept else None
    built = Built(
        shard=shard,
        entries=job.entries,
        skipped=tuple(skipped),
        per_class=Counter(entry.label for entry in kept if entry.label is not None),
        sums=tuple(map(tuple, seen.sums.tolist())),
        heights=(min(seen.heights, default=0), max(seen.heights, default=0)),
        widths=(min(seen.widths, default=0), max(seen.widths, default=0)),
        color=seen.color,
        remarks=account.remarks(),
    )
    note = _note(building, job)
    note.parent.mkdir(exist_ok=True)
    write_atomically(note, built.model_dump_json() + "\n")
    return built


@contextmanager
def sole_builder(building: Path, folder: Path, progress: Progress | None) -> Iterator[bool]:
    """Lock the folder of a build for this process; wait while another process holds it.

    Yields:
        False if `folder` has appeared meanwhile: another process has built it.
    """
    told = False
    while True:
        building.mkdir(parents=True, exist_ok=True)
        try:
            lock = hold(building / LOCK)
        except FileNotFoundError:
            continue  # published or removed between the two lines above
        if lock is None:
            if progress and not told:
                progress(f"{folder.name}: another process is building it; waiting for that")
            told = True
            time.sleep(LOCK_POLL_S)
            continue
        try:
            if folder.exists():
                shutil.rmtree(building, ignore_errors=True)
                yield False
                return
            yield True
            return
        finally:
            lock.release()


def publish(building: Path, folder: Path) -> None:
    """Rename a finished build to its final folder, atomically; call it while holding the lock."""
    shutil.rmtree(building / DONE)
    for name in ("plan.json", "listing"):
        place = building / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    building.rename(folder)
    (folder / LOCK).unlink()


def _write_shard(entries: list[Entry], images: list[bytes], building: Path, job: Job) -> ShardInfo:
    file = building / job.path
    file.parent.mkdir(exist_ok=True)
    group = max(1, min(GROUP_ROWS, GROUP_BYTES * len(images) // max(1, sum(map(len, images)))))
    columns = [[e.id for e in entries], images, [e.label for e in entries]]
    table = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
    content = hashlib.sha256()
    for entry, image in zip(entries, images, strict=True):
        content.update(f"{entry.id}\0{entry.label}\0{len(image)}\0".encode())
        content.update(image)
    table = table.replace_schema_metadata({CONTENT_KEY: content.hexdigest()})
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    pq.write_table(
        table,
        partial,
        row_group_size=group,
        compression={"id": "zstd", "image": "none", "label": "zstd"},  # images are compressed
        use_dictionary=False,
        write_page_checksum=True,  # a stream notices a flipped bit without hashing the whole file
    )
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())  # after a power failure the note must not exist without the shard
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = partial.stat().st_size
    partial.replace(file)
    return ShardInfo(
        path=job.path,
        split=job.split,
        labelled=job.labelled,
        rows=len(entries),
        rows_per_group=group,
        bytes=size,
        sha256=digest,
        content=content.hexdigest(),
    )


def _note(building: Path, job: Job) -> Path:
    return building / DONE / f"{job.path.replace('/', '-')}.json"


def _finished(building: Path, job: Job) -> Built | None:
    """The note that an earlier, killed build left about a shard, if the shard exists."""
    try:
        built = Built.model_validate_json(_note(building, job).read_bytes())
        shard = built.shard
        if shard is not None and (building / shard.path).stat().st_size != shard.bytes:
            return None
    except (FileNotFoundError, ValidationError):
        return None
    return built


def _empty(building: Path) -> None:
    for place in building.iterdir():
        if place.name != LOCK:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
