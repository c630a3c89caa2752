"""Build Parquet shards from a source, once, and find them again.

`load_shards`, `verify_shards`, `describe_shards` and `contact_sheet` are here too, under the names
that `raymoco shards` uses.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.config import DataConfig
from raymoco.data.inspection import ShardReport, contact_sheet, describe_shards, verify_shards
from raymoco.data.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    SPLITS,
    Manifest,
    ShardInfo,
    ShardSet,
    load_shards,
)
from raymoco.data.sources import Record, Source, open_source
from raymoco.data.splits import order_key
from raymoco.data.tally import Progress, Tally, read_source
from raymoco.errors import DataError
from raymoco.yamlfile import write_atomically

__all__ = [
    "SCHEMA_VERSION",
    "Manifest",
    "ShardReport",
    "ShardSet",
    "build_shards",
    "contact_sheet",
    "describe_shards",
    "ensure_shards",
    "load_shards",
    "verify_shards",
]

SHARD_BYTES = 64 * 2**20
GROUP_BYTES = 4 * 2**20  # a row group is what a stream reads at a time, and shuffles by
GROUP_ROWS = 1024
SCHEMA = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])


def ensure_shards(data: DataConfig, output: Path, progress: Progress | None = None) -> ShardSet:
    """The shards of `data`'s source, built under `output`/shards unless they are there already.

    Args:
        output: the folder that runs are written to; shards go to shards/SOURCE-HASH inside.
        progress: called with a sentence now and then while building.
    Raises:
        ConfigError: the source is not supported or lacks its root.
        DataError: the source cannot be read, the shards are damaged, or the source has changed
            since they were built.
    """
    source = open_source(data)
    folder = shards_folder(data, output)
    if not folder.exists():
        return build_shards(source, folder, root=data.root, progress=progress)
    shards = load_shards(folder)
    if shards.manifest.fingerprint != source.fingerprint():
        raise DataError(
            f"{data.root or source.name} has changed since {folder} was built from it on "
            f"{shards.manifest.created}. Delete {folder} to build anew from what is there "
            "now (older runs then cannot be repeated), or give another `output`."
        )
    return shards


def shards_folder(data: DataConfig, output: Path) -> Path:
    """Where the shards of a source lie: its name and eight digits of a hash of name and root."""
    root = str(Path(data.root).expanduser().absolute()) if data.root else ""
    digits = hashlib.sha256(f"{data.source}\0{root}".encode()).hexdigest()[:8]
    return Path(output).expanduser().absolute() / "shards" / f"{data.source}-{digits}"


def build_shards(
    source: Source,
    folder: Path,
    *,
    root: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> ShardSet:
    """Write a source's images as shards into `folder`, all of them or nothing.

    Images that cannot be decoded are left out and listed in the manifest as `skipped`.

    Args:
        folder: must not exist yet; its parents may.
        root: where the source's files lie, for the manifest.
        shard_bytes: a shard is closed when it holds this many bytes of images.
    Raises:
        DataError: the folder exists, or no readable images are left for training, evaluation or
            testing.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists():
        raise DataError(f"{folder}: exists already; delete it to build the shards again.")
    building = _building_folder(folder)
    try:
        tally = read_source(source, progress)
        _check_not_empty(source, tally, root)
        shards = _write_shards(tally, building, shard_bytes)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            source=source.name,
            root=root,
            fingerprint=source.fingerprint(),
            classes=source.classes,
            counts={split: tally.counts(split, source.classes) for split in SPLITS},
            image=tally.image_info(),
            mean=tuple(tally.mean()),
            std=tuple(tally.std()),
            shards=tuple(shards),
            skipped=tuple(sorted(tally.skipped)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_atomically(building / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        _publish(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if progress:
        total = sum(manifest.counts[split].rows for split in SPLITS)
        progress(f"{source.name}: {total:,} images in {len(shards)} shards in {folder}")
    return load_shards(folder)


def _check_not_empty(source: Source, tally: Tally, root: str | None) -> None:
    where = root or source.name
    empty = [name for name in SPLITS if not tally.records[name]]
    if len(empty) == len(SPLITS):
        named = f", such as {tally.skipped[0]}" if tally.skipped else ""
        raise DataError(
            f"{where}: none of its {len(tally.skipped)} files can be read as an image{named}."
        )
    if empty:
        found = sum(map(len, tally.records.values()))
        raise DataError(
            f"{where}: of its {found} images none is left for the {empty[0]} split; more labelled "
            "images are needed (about 10 % of those for training are set aside for evaluation)."
        )


def _write_shards(tally: Tally, folder: Path, shard_bytes: int) -> list[ShardInfo]:
    shards = []
    for labelled in (True, False):
        for split in SPLITS:
            # class folders come sorted by class; an order by hash puts every class in every shard
            records = sorted(
                (r for r in tally.records[split] if (r.label is not None) == labelled),
                key=lambda record: order_key(record.id),
            )
            for number, part in enumerate(_parts(records, shard_bytes)):
                kind = "labelled" if labelled else "unlabelled"
                path = f"{kind}/{split}-{number:05d}.parquet"
                shards.append(_write_shard(part, folder, path, split, labelled))
    return sorted(shards, key=lambda shard: (SPLITS.index(shard.split), shard.path))


def _parts(records: list[Record], shard_bytes: int) -> list[list[Record]]:
    parts: list[list[Record]] = []
    room = 0
    for record in records:
        if room <= 0:
            parts.append([])
            room = shard_bytes
        parts[-1].append(record)
        room -= len(record.image)
    return parts


def _write_shard(
    records: list[Record], folder: Path, path: str, split: str, labelled: bool
) -> ShardInfo:
    file = folder / path
    file.parent.mkdir(exist_ok=True)
    average = sum(len(record.image) for record in records) / len(records)
    group = max(1, min(GROUP_ROWS, int(GROUP_BYTES / average)))
    columns = [[r.id for r in records], [r.image for r in records], [r.label for r in records]]
    table = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
    pq.write_table(
        table,
        file,
        row_group_size=group,
        compression={"id": "zstd", "image": "none", "label": "zstd"},  # images are compressed
        use_dictionary=False,
        write_page_checksum=True,  # a stream notices a flipped bit without hashing the whole file
    )
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ShardInfo(
        path=path,
        split=split,
        labelled=labelled,
        rows=len(records),
        rows_per_group=group,
        bytes=file.stat().st_size,
        sha256=digest,
    )


def _building_folder(folder: Path) -> Path:
    """A fresh sibling to build in, named after this process; those of dead builds are removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}.building-{socket.gethostname()}-"
    for left in folder.parent.glob(f"{prefix}*"):
        pid = left.name.removeprefix(prefix)
        if pid == str(os.getpid()) or not _alive(pid):
            shutil.rmtree(left, ignore_errors=True)
    building = folder.parent / f"{prefix}{os.getpid()}"
    building.mkdir()
    return building


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _publish(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError as error:
        # another process built the same meanwhile: same source, same content, so theirs will do
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
