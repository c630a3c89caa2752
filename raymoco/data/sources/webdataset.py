"""WebDataset: tar files in which files of one name up to the first dot are a sample."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.file_splits import files_below, splits_of
from raymoco.data.sources.labels import Labels
from raymoco.data.sources.name_matching import key_of
from raymoco.data.sources.parquet import mapped_columns
from raymoco.data.sources.source import Entry, SourceImage, check_ids, stat_fingerprint
from raymoco.data.sources.table_columns import has_suffix
from raymoco.data.sources.tar_members import Member, is_compressed, members, read_members
from raymoco.data.splits import in_test_split
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
KEY = re.compile(r"((?:.*/|)[^./]+)[.]([^/]*)")  # key and extension, as WebDataset has them
RANGE = re.compile(r"(\d+)\.\.(\d+)")
BRACES = re.compile(r"\{([^{}]*)\}")
LABEL_KEYS = ("label", "class", "cls", "class_name", "category", "target")  # of .json
LABEL_FILES = ("cls", "label", "class", "cls.txt", "label.txt", "class.txt")  # extensions
PREFERRED = ("jpg", "jpeg", "png", "webp")
MOST_IMAGES = 16  # of a sample: more mean that the names have dots that separate nothing
CHUNK_BYTES = 2**26  # of a compressed tar: what is read together


@dataclass(frozen=True)
class Sample:
    """The members of one key: its image, and the label as it is stored."""

    key: str
    image: Member
    label: Any


class WebDatasetSource:
    """Tar files of samples: an image, and its label in `.cls` or a key of `.json`.

    `data.root` is a folder of tars, one tar, or a pattern such as `train-{000..099}.tar`. An id is
    TAR:KEY. Tars whose names say `test` or `validation` are those splits (validation alone is the
    test set); without such a fixed 20 % of the labeled images is the test set.
    `data.columns.image` names the extension to take where a sample has several images,
    `data.columns.label` the extension or the key of `.json` that has the label.
    """

    name = "webdataset"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError("data.root is null, but data.source webdataset needs tar files.")
        mapped = mapped_columns(data)
        self._image, self._label = mapped.get("image"), mapped.get("label")
        self._account = Account()
        self._root, self._files = _find(absolute(data.root), self._account)
        self._splits = splits_of(self._files, self._root, self._account)
        self._listed: Account | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; the tars are listed at the first use."""
        return self._content.labels.classes

    def entries(self) -> Iterator[Entry]:
        content, account = self._content, Account()
        for name in self._files:
            path = self._root / name
            compressed = is_compressed(path)
            for sample in self._samples(name, account, name in content.scattered):
                code = content.labels.known(sample.label)
                label = None if code < 0 else int(content.numbers[code])
                image, image_id = sample.image, f"{name}:{sample.key}"
                check_ids(path, sample.key)
                split = self._splits.get(name)
                if split is None:
                    tested = label is not None and in_test_split(image_id)
                    split = "test" if tested else "train"
                # reading from a compressed tar decompresses all that comes before
                together = f"{name}:{image.offset // CHUNK_BYTES}" if compressed else ""
                place = f"{name}:{image.offset}:{image.size}"
                yield Entry(image_id, label, split, place, max(1, image.size), together)
        self._listed = account

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        wanted: dict[str, list[tuple[int, int, int]]] = {}
        for number, place in enumerate(places):
            name, offset, size = place.rsplit(":", 2)
            wanted.setdefault(name, []).append((int(offset), int(size), number))
        images: list[bytes] = [b""] * len(places)
        for name, spans in wanted.items():
            spans.sort()
            found = read_members(self._root / name, [span[:2] for span in spans])
            for (_, _, number), image in zip(spans, found, strict=True):
                images[number] = image
        yield from images

    def fingerprint(self) -> str:
        try:
            return stat_fingerprint(self._root, self._files)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None

    def account(self) -> Account:
        """See `KeepsAccount`."""
        listed = () if self._listed is None else self._listed.remarks()
        return Account([*self._account.remarks(), *self._content.said, *listed])

    @cached_property
    def _content(self) -> _Content:
        return _Content(self)

    def _samples(self, name: str, account: Account, scattered: bool) -> Iterator[Sample]:
        for key, found in self._groups(name, account, scattered):
            sample = self._sample(f"{name}:{key}", key, found, account)
            if sample is not None:
                yield sample

    def _groups(
        self, name: str, account: Account, scattered: bool
    ) -> Iterator[tuple[str, list[tuple[str, Member]]]]:
        """Yield each key and its members by extension, as they lie together in a tar.

        Args:
            scattered: they do not lie together: sort them first.
        """
        parted = self._parted(name, account)
        if scattered:
            parted = iter(sorted(parted, key=lambda part: (part[0], part[2].offset)))
        for key, group in groupby(parted, key=lambda part: part[0]):
            yield key, [(extension, member) for _, extension, member in group]

    def _parted(self, name: str, account: Account) -> Iterator[tuple[str, str, Member]]:
        for member in members(self._root / name, self._has_label):
            key, extension = _part(member.name)
            if not key or key.rpartition("/")[2].startswith("__") or key.startswith("__MACOSX"):
                account.add(
                    "passed over", "members of no sample, by their names", f"{name}:{member.name}"
                )
            else:
                yield key, extension, member

    def _has_label(self, name: str) -> bool:
        extension = _part(name)[1].lower()
        if self._label is not None and extension == self._label:
            return True
        return extension in LABEL_FILES or extension.rpartition(".")[2] in ("cls", "json")

    def _sample(
        self, place: str, key: str, found: list[tuple[str, Member]], account: Account
    ) -> Sample | None:
        images = [pair for pair in found if has_suffix(f".{pair[0]}")]
        if len(images) > MOST_IMAGES:
            raise DataError(
                f"{self._root}/{place}: {len(images)} images are one sample, because their names "
                "agree up to the first dot: put no dot before what tells them apart."
            )
        label: Any = None
        for extension, member in found:
            if member.content is not None:
                value = self._read_label(place, extension, member.content)
                label = value if label is None or extension.lower() in LABEL_FILES else label
            elif not has_suffix(f".{extension}"):
                account.add("passed over", _why(extension), f"{place}.{extension}")
        if not images:
            account.add("passed over", "samples without an image", place)
            return None
        extension, image = min(images, key=lambda pair: _rank(pair[0], self._image))
        if len(images) > 1:
            others = ", ".join(sorted(f".{e}" for e, _ in images if e != extension)[:3])
            account.add(
                "understood",
                f"samples with several images, of which .{extension} is taken and {others} is not "
                "(data.columns.image names another)",
                place,
            )
        return Sample(key, image, label)

    def _read_label(self, place: str, extension: str, content: bytes) -> Any:
        if extension.rpartition(".")[2].lower() != "json":
            try:
                return content.decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                raise DataError(
                    f"{self._root}/{place}.{extension}: is no text, but must hold the label."
                ) from None
        try:
            values = json.loads(content)
        except ValueError as error:
            raise DataError(f"{self._root}/{place}.{extension}: is no JSON: {error}.") from None
        if not isinstance(values, dict):
            return None if isinstance(values, list) else values
        keys = LABEL_KEYS if self._label is None else (self._label,)
        return next((values[key] for key in keys if values.get(key) is not None), None)


class _Content:
    """What all tars say together.

    Attributes:
        labels, numbers: see `Labels`.
        scattered: the tars in which the members of a sample do not lie together.
        said: remarks.
    """

    def __init__(self, source: WebDatasetSource) -> None:
        self.labels = Labels(f"{source._root}: a .cls or .json")
        self.scattered: set[str] = set()
        account, extensions = Account(), Counter[str]()
        found = 0
        for name in source._files:
            labels, apart = self._look(source, name, extensions)
            if apart:
                self.scattered.add(name)
                account.add(
                    "understood",
                    "tars in which the files of a sample do not lie together; they are put "
                    "together by name",
                    name,
                )
                labels = [sample.label for sample in source._samples(name, Account(), True)]
            found += len(labels)
            for label in labels:
                self.labels.code(label)
        if not found:
            raise DataError(
                f"{source._root}: no sample of its {len(source._files)} tars has an image; their "
                f"extensions are {', '.join(f'.{e}' for e in list(extensions)[:8]) or '(none)'}."
            )
        self.numbers = self.labels.close()
        self.labels.where = "the tars"
        self.labels.tell(account)
        if not self.labels.classes:
            keys_ = ", ".join(LABEL_KEYS)
            account.say(
                "understood",
                f"no sample has a label: that would be a .cls, or a .json with one of {keys_}; "
                "folders in a tar, and captions in .txt, are none",
            )
        self.said = account.remarks()

    def _look(
        self, source: WebDatasetSource, name: str, extensions: Counter[str]
    ) -> tuple[list[Any], bool]:
        """The labels of a tar's samples, and whether a key comes back after another one."""
        keys, labels = array("Q"), []
        for key, group in source._groups(name, Account(), False):
            keys.append(key_of(key))
            extensions.update(extension.lower() for extension, _ in group)
            sample = source._sample(f"{name}:{key}", key, group, Account())
            if sample is not None:
                labels.append(sample.label)
        return labels, len(np.unique(np.array(keys, np.uint64))) < len(keys)


def expand_braces(pattern: str) -> list[str]:
    """Every name that a pattern such as `a-{000..002}.tar` or `{a,b}.tar` stands for."""
    found = BRACES.search(pattern)
    if found is None:
        return [pattern]
    inner, both = found[1], RANGE.fullmatch(found[1])
    words: Iterable[str] = inner.split(",")
    if both:
        first, last = int(both[1]), int(both[2])
        words = (f"{i:0{len(both[1])}d}" for i in range(first, last + 1))
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [name for word in words for name in expand_braces(f"{before}{word}{after}")]


def _find(path: Path, account: Account) -> tuple[Path, list[str]]:
    """The folder, and the tars as paths below it."""
    if path.is_dir():
        files = files_below(path, TARS, account)
        if not files:
            raise DataError(f"{path}: holds no tar file; those that are read: {', '.join(TARS)}.")
        return path, files
    if path.is_file():
        return path.parent, [path.name]
    whole = expand_braces(str(path))
    missing = [name for name in whole if not Path(name).is_file()]
    if missing:
        of = f"{len(missing):,} of its {len(whole):,} files are" if len(whole) > 1 else "it is"
        raise DataError(
            f"{path}: {of} not there, such as {missing[0]}. data.root is a folder of tars, a tar, "
            "or a pattern such as train-{000..099}.tar."
        )
    root = Path(str(path).partition("{")[0] + "x").parent
    return root, [Path(name).relative_to(root).as_posix() for name in whole]


def _part(name: str) -> tuple[str, str]:
    """The key and the extension of a member; both empty where it has none."""
    found = KEY.fullmatch(name.removeprefix("./"))
    return (found[1], found[2]) if found else ("", "")


def _rank(extension: str, wanted: str | None) -> tuple[bool, int, int, str]:
    low = extension.lower()
    liked = PREFERRED.index(low) if low in PREFERRED else len(PREFERRED)
    return extension != wanted, low.count("."), liked, extension


def _why(extension: str) -> str:
    last = extension.rpartition(".")[2].lower()
    if last == "txt":
        return "captions (.txt), which are no labels"
    return f"members .{last}" if last.isalpha() and len(last) < 10 else "other members"
