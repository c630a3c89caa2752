"""Build Parquet shards from a source once, and find them again.

`load_shards`, `verify_shards`, `describe_shards` and `contact_sheet` are re-exported for
`raymoco shards`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from raymoco.config import DataConfig
from raymoco.config.named import file_name_of
from raymoco.data.account import Account, Remark
from raymoco.data.shards.build import build_all, publish, sole_builder
from raymoco.data.shards.contact_sheet import contact_sheet
from raymoco.data.shards.inspection import ShardReport, describe_shards, verify_shards
from raymoco.data.shards.left_out import leave_out_copies
from raymoco.data.shards.manifest import (
    MANIFEST,
    RULES,
    SCHEMA_VERSION,
    SPLITS,
    Manifest,
    ShardSet,
    load_shards,
)
from raymoco.data.shards.plan import Plan, PlanInputs
from raymoco.data.shards.stats import Advance, Built, Progress, count, image_info, mean_and_std
from raymoco.data.sources.folder_tables import labels_file
from raymoco.data.sources.open import open_source
from raymoco.data.sources.parquet import mapped_columns
from raymoco.data.sources.source import Source
from raymoco.errors import DataError
from raymoco.files import absolute, absolute_text, write_atomically
from raymoco.registry import name_of

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
    "shards_folder",
    "verify_shards",
]

SHARD_BYTES = 64 * 2**20
NAMED = 10  # corrupt images in an error message
# keys of `data` beside source, root and columns that decide what is stored
DECIDE_SHARDS = ("labels_csv", "background", "value_range", "duplicates")


def ensure_shards(
    data: DataConfig,
    output: Path,
    progress: Progress | None = None,
    *,
    size: int | None = None,
    strict: bool = False,
    advance: Advance | None = None,
) -> ShardSet:
    """Return the shards of `data`'s source; build them under `output`/shards if they are missing.

    Args:
        output: the folder that runs are written to; shards go to shards/SOURCE-HASH inside.
        progress: called with a sentence now and then while building.
        size: see `build_shards`; None accepts existing shards of any size.
        strict: refuse images that cannot be decoded, also those that an earlier build left out.
        advance: called while building with the number of images done and the total.
    Raises:
        ConfigError: the source lacks its root.
        DataError: the source cannot be read, the shards are damaged, the source has changed since
            they were built, or they were built with another `size`.
    """
    source = open_source(data)
    folder = shards_folder(data, output)
    if not folder.exists():
        return build_shards(
            source,
            folder,
            root=data.root and absolute_text(data.root),
            size=size,
            strict=strict,
            background=data.background,
            value_range=data.value_range,
            duplicates=data.duplicates,
            progress=progress,
            advance=advance,
        )
    shards = load_shards(folder)
    manifest = shards.manifest
    if manifest.fingerprint != source.fingerprint():
        raise DataError(
            f"{data.root or source.name} has changed since {folder} was built from it on "
            f"{manifest.created}. Delete {folder} to build anew from what is there "
            "now (older runs then cannot be repeated), or give another `output`."
        )
    if size is not None and size != manifest.size:
        raise DataError(
            f"{folder} was built with images {_size_words(manifest.size)}, not "
            f"{_size_words(size)}. Delete it to build them so, or give another `output`."
        )
    if strict:
        _refuse_corrupt(data.root or source.name, manifest)
    if progress:
        _tell_reused(folder, manifest, progress)
    return shards


def shards_folder(data: DataConfig, output: Path) -> Path:
    """The folder of a source's shards: its name and eight digits of a hash.

    The hash is of the name, `data.root`, the options beside the name, and of every other key of
    `data` that decides what is stored, where it has not its default: older folders keep their name.
    """
    root = str(absolute(data.root)) if data.root else ""
    columns = mapped_columns(data)
    mapped = f"\0{json.dumps(columns, sort_keys=True)}" if columns else ""
    source = data.source
    options = "" if isinstance(source, str) else f"\0{json.dumps(source, sort_keys=True)}"
    others = {
        key: value
        for key, value in data.model_dump(include=set(DECIDE_SHARDS)).items()
        if value != DataConfig.model_fields[key].default
    }
    if data.labels_csv is not None:
        others["labels_csv"] = str(labels_file(data))
    decided = f"\0{json.dumps(others, sort_keys=True)}" if others else ""
    text = f"{name_of(source)}\0{root}{mapped}{options}{decided}"
    digits = hashlib.sha256(text.encode()).hexdigest()[:8]
    return absolute(output) / "shards" / f"{file_name_of(source)}-{digits}"


def build_shards(
    source: Source,
    folder: Path,
    *,
    root: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    size: int | None = None,
    strict: bool = False,
    background: str = "white",
    value_range: Literal["auto"] | tuple[float, float] = "auto",
    duplicates: Literal["drop", "keep"] = "drop",
    parallel: bool | None = None,
    progress: Progress | None = None,
    advance: Advance | None = None,
) -> ShardSet:
    """Write a source's images as shards into `folder`, all of them or none.

    A killed build leaves its finished shards in `.NAME.building` beside the folder, and the next
    build continues from there. Other processes that build the same shards wait for the first. With
    Ray initialized, shards are built in parallel through Ray Data, otherwise one after the other in
    this process; the files are the same, byte for byte. Images that cannot be decoded are left out
    and listed in the manifest as `skipped`.

    Args:
        folder: must not exist yet; its parents may.
        root: where the source's files are, for the manifest.
        shard_bytes: approximate bytes of images in a shard; a shard has at most 16,384 images.
        size: images whose short side is longer, in pixels, are resized to it and encoded again
            (JPEG as JPEG of quality 90, all else as PNG); None: every image stays as it is.
        strict: refuse images that cannot be decoded instead of leaving them out.
        background, value_range, duplicates: as in `data`.
        parallel: None: through Ray Data if Ray is initialized and there is enough to do.
        progress: called with a sentence now and then.
        advance: called with the number of images done and the total.
    Raises:
        DataError: the folder exists, a file cannot be read, no readable images are left for
            training, evaluation or testing, or `strict` and some are corrupt.
    """
    folder = absolute(folder)
    if folder.exists():
        raise DataError(f"{folder}: exists already; delete it to build the shards again.")
    building = folder.parent / f".{folder.name}.building"
    with sole_builder(building, folder, progress) as alone:
        if not alone:
            return load_shards(folder)
        inputs = PlanInputs(
            version=SCHEMA_VERSION,
            source=source.name,
            fingerprint=source.fingerprint(),
            shard_bytes=shard_bytes,
            size=size,
            background=background,
            value_range=value_range,
            duplicates=duplicates,
        )
        plan, built = build_all(
            source, building, inputs, parallel=parallel, progress=progress, advance=advance
        )
        account = Account([*plan.remarks, *(r for one in built for r in one.remarks)])
        built = leave_out_copies(plan, built, building, account, parallel=parallel)
        manifest = _manifest(source, plan, built, root, account.remarks())
        if strict:
            _refuse_corrupt(root or source.name, manifest)
        write_atomically(building / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        publish(building, folder)
    if progress:
        for remark in manifest.remarks:
            progress(f"{source.name}: {remark.line()}")
        total = sum(manifest.rows(split) for split in SPLITS)
        corrupt = manifest.corrupt
        left_out = f", {corrupt:,} left out as corrupt" if corrupt else ""
        progress(
            f"{source.name}: {total:,} images{left_out} in {len(manifest.shards)} shards in "
            f"{folder}"
        )
    return load_shards(folder)


def _manifest(
    source: Source, plan: Plan, built: list[Built], root: str | None, remarks: tuple[Remark, ...]
) -> Manifest:
    skipped = tuple(sorted(name for one in built for name in one.skipped))
    counts = {split: count(built, split, source.classes) for split in SPLITS}
    where = root or source.name
    needed = SPLITS if source.classes else ("train", "eval")  # without labels nothing is tested
    empty = [split for split in needed if not counts[split].rows]
    found = sum(counts[split].rows for split in SPLITS)
    if not found:
        named = f", such as {skipped[0]}" if skipped else ""
        raise DataError(
            f"{where}: none of its {len(skipped)} files can be read as an image{named}."
        )
    if empty:
        raise DataError(
            f"{where}: of its {found} images none is left for the {empty[0]} split; more labeled "
            "images are needed (about 10 % of those for training are set aside for evaluation)."
        )
    info = image_info(built)
    mean, std = mean_and_std(built, info.channels)
    shards = [one.shard for one in built if one.shard is not None]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        source=source.name,
        root=root,
        fingerprint=plan.fingerprint,
        classes=source.classes,
        counts=counts,
        image=info,
        mean=tuple(mean),
        std=tuple(std),
        size=plan.size,
        shards=tuple(sorted(shards, key=lambda shard: (SPLITS.index(shard.split), shard.path))),
        skipped=skipped,
        remarks=remarks,
        rules=plan.rules,
        background=plan.background,
        value_range=next((one.value_range for one in built if one.value_range), None),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _refuse_corrupt(where: str, manifest: Manifest) -> None:
    remarks = [remark for remark in manifest.remarks if remark.kind == "corrupt"]
    names = sorted({*manifest.skipped, *(name for remark in remarks for name in remark.names)})
    if manifest.corrupt:
        more = f" and {manifest.corrupt - NAMED:,} more" if manifest.corrupt > NAMED else ""
        raise DataError(
            f"{where}: {manifest.corrupt:,} images cannot be decoded: {', '.join(names[:NAMED])}"
            f"{more}. Repair or remove them, or build without --strict to leave them out."
        )


def _tell_reused(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Say in a line or two what is worth knowing of shards that are there already."""
    if manifest.rules < RULES:
        progress(
            f"{folder} was built by an older version's rules of taking, splitting and reading "
            "files, and is used as it is; delete it to build by the present ones."
        )
    if manifest.remarks:
        totals: Counter[str] = Counter()
        for remark in manifest.remarks:
            totals[remark.kind] += remark.count
        found = ", ".join(f"{total:,} {kind}" for kind, total in totals.items() if total)
        progress(
            f"{folder} is used, with remarks on its files{f': {found}' if found else ''}; "
            f"`raymoco shards inspect {folder}` shows them."
        )


def _size_words(size: int | None) -> str:
    return "as they were" if size is None else f"of {size} pixels at the short side"
