"""Build the shards of a plan, in parallel, and continue a build that was killed."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from raymoco.data.account import Account
from raymoco.data.codec import Pixels, stored_form
from raymoco.data.decoding.deep import Range
from raymoco.data.ray_tasks import run_jobs
from raymoco.data.shards.duplicates import RowNotes, digest_of
from raymoco.data.shards.manifest import CONTENT_KEY, ShardInfo
from raymoco.data.shards.plan import Job, Plan, PlanInputs, load_plan, make_plan, read_listing
from raymoco.data.shards.stats import Advance, Built, Pixelwise, Progress, Spans
from raymoco.data.shards.value_range import add_span, common_range
from raymoco.data.sources.file_kinds import HEAD_BYTES, cannot_read, suffix_by_content
from raymoco.data.sources.source import Entry, Source
from raymoco.data.sources.unreadable import Unreadable
from raymoco.errors import DataError
from raymoco.files import write_atomically, writing
from raymoco.locks import hold, marker_of

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
    parallel = in_parallel(parallel, plan, left)
    images = before = sum(built.entries for built in done.values() if not built.waits)
    said = started = time.monotonic()

    def build(jobs: list[Job], value_range: Range | None) -> None:
        nonlocal images, said
        one = functools.partial(
            build_shard, source=source, building=building, inputs=inputs, value_range=value_range
        )
        for built, job in run_jobs(one, jobs, parallel=parallel):
            done[job.path] = built
            images += 0 if built.waits else built.entries
            if advance:
                advance(images, plan.entries)
            if progress and time.monotonic() > said + SAY_EVERY_S:
                said = time.monotonic()
                progress(
                    f"{source.name}: {images:,} of {plan.entries:,} images, "
                    f"{len(done)} of {len(plan.jobs)} shards"
                )

    build(left, None if inputs.value_range == "auto" else inputs.value_range)
    waiting = [job for job in plan.jobs if done[job.path].waits]
    if waiting:
        whole = common_range([done[job.path] for job in plan.jobs], source.name)
        if progress:
            progress(
                f"{source.name}: images of more than 8 bits hold values from {whole[0]:g} to "
                f"{whole[1]:g}: these become 0 to 255 (data.value_range sets other ones)"
            )
        build(waiting, whole)
    if progress and images > before:
        seconds = time.monotonic() - started
        progress(
            f"{source.name}: {images - before:,} images read, checked and written in "
            f"{seconds:,.1f} s, {(images - before) / seconds:,.0f} images/s"
        )
    return plan, [done[job.path] for job in plan.jobs]


def in_parallel(parallel: bool | None, plan: Plan, jobs: Sequence[Job]) -> bool:
    """Whether to do jobs in other processes; None: if there is enough to do."""
    if parallel is not None:
        return parallel
    rows = sum(job.entries for job in jobs)
    return rows > SMALL_ROWS or plan.bytes * rows > SMALL_BYTES * plan.entries


def build_shard(
    job: Job, source: Source, building: Path, inputs: PlanInputs, value_range: Range | None
) -> Built:
    """Read, check and write the images of one shard.

    Args:
        value_range: see `decode`; None: a shard with images of more than 8 bits is not written yet.
    Raises:
        DataError: a file of the source cannot be read, or two images have one id.
    """
    entries = read_listing(building, job)
    kept: list[Entry] = []
    images: list[bytes] = []
    skipped: list[str] = []
    account = Account()
    digests: list[int] = []
    spans: Spans = {}
    seen = Pixelwise()
    for entry, found in zip(entries, source.read([e.place for e in entries]), strict=True):
        if kept and kept[-1].id == entry.id:
            raise DataError(f"{source.name}: two images have the id '{entry.id}'.")
        try:
            stored = stored_form(
                found, inputs.size, background=inputs.background, value_range=value_range
            )
        except DataError as error:
            skipped.append(entry.id)  # the manifest names it
            account.add("corrupt", _reason(found, error), entry.id)
            continue
        for kind, reason in stored.remarks:
            account.add(kind, reason, entry.id)
        if stored.span is not None:
            add_span(spans, stored.span, entry.id)
        seen.add(stored.pixels, stored.shape)
        digests.append(digest_of(stored.pixels))
        kept.append(entry)
        images.append(stored.encoded)
    labels = [entry.label for entry in kept]
    waits = bool(spans) and value_range is None
    ids = [] if waits else [entry.id for entry in kept]
    shard = write_shard(ids, images, labels, building, job)
    note = note_of(building, job)
    note.parent.mkdir(exist_ok=True)
    RowNotes.of(digests, labels, seen).save(rows_of(building, job))
    built = Built(
        shard=shard,
        entries=job.entries,
        skipped=tuple(skipped),
        per_class=Counter(label for label in labels if label is not None),
        remarks=account.remarks(),
        spans=spans,
        value_range=value_range if spans else None,
        **seen.facts(),
    )
    write_atomically(note, built.model_dump_json() + "\n")
    return built


def _reason(found: bytes | Pixels, error: DataError) -> str:
    """Why an image counts as corrupt: phones write HEIC into files that are named .jpg."""
    if isinstance(found, Unreadable):
        return found.why
    suffix = suffix_by_content(found[:HEAD_BYTES]) if isinstance(found, bytes) else None
    missing = cannot_read().get(suffix or "")
    return f"by content {missing}" if missing else str(error).partition(":")[0]


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
    marker_of(folder / LOCK).unlink(missing_ok=True)


def write_shard(
    ids: Sequence[str],
    images: Sequence[bytes],
    labels: Sequence[int | None],
    building: Path,
    job: Job,
) -> ShardInfo | None:
    """Write the shard of a job, all or nothing; none if there is no image."""
    if not ids:
        return None
    file = building / job.path
    file.parent.mkdir(exist_ok=True)
    group = max(1, min(GROUP_ROWS, GROUP_BYTES * len(images) // max(1, sum(map(len, images)))))
    columns = dict(zip(SCHEMA.names, (ids, images, labels), strict=True))
    table = pa.table(columns, schema=SCHEMA)
    content = hashlib.sha256()
    for image_id, image, label in zip(ids, images, labels, strict=True):
        content.update(f"{image_id}\0{label}\0{len(image)}\0".encode())
        content.update(image)
    table = table.replace_schema_metadata({CONTENT_KEY: content.hexdigest()})
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with writing(file, sum(map(len, images))):
            pq.write_table(
                table,
                partial,
                row_group_size=group,
                # images are compressed
                compression={"id": "zstd", "image": "none", "label": "zstd"},
                use_dictionary=False,
                # a stream notices a flipped bit without hashing the whole file
                write_page_checksum=True,
            )
            with partial.open("rb") as stream:
                # after a power failure the note must not exist without the shard
                os.fsync(stream.fileno())
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = partial.stat().st_size
            partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return ShardInfo(
        path=job.path,
        split=job.split,
        labelled=job.labelled,
        rows=len(ids),
        rows_per_group=group,
        bytes=size,
        sha256=digest,
        content=content.hexdigest(),
    )


def note_of(building: Path, job: Job) -> Path:
    """The file that says that a shard is finished: its `Built`."""
    return building / DONE / f"{job.path.replace('/', '-')}.json"


def rows_of(building: Path, job: Job) -> Path:
    """The file with the `RowNotes` of a shard."""
    return note_of(building, job).with_suffix(".npz")


def _finished(building: Path, job: Job) -> Built | None:
    """The note that an earlier, killed build left about a shard, if the shard exists."""
    try:
        built = Built.model_validate_json(note_of(building, job).read_bytes())
        rows_of(building, job).stat()
        shard = built.shard
        if shard is not None and (building / shard.path).stat().st_size != shard.bytes:
            return None
    except (FileNotFoundError, ValidationError):
        return None
    return built


def _empty(building: Path) -> None:
    for place in building.iterdir():
        if place.name not in (LOCK, marker_of(Path(LOCK)).name):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
