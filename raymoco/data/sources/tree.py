"""Walk a folder of other people's images: which files are images, and what is passed over.

Nothing is decoded, no pipe is opened, and no list of the files is kept: a folder may hold millions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raymoco.data.sources.file_kinds import FileKind, cannot_read, kind_by_content, kind_of
from raymoco.data.sources.no_data import (
    APPLE_DOUBLE,
    HIDDEN,
    THUMBNAILS,
    Listing,
    may_be_thumbnails,
    why_by_content,
    why_by_name,
)
from raymoco.data.sources.source import can_be_id
from raymoco.data.sources.tally import Tally
from raymoco.data.sources.unreadable import DANGLING, SPECIAL, UNREADABLE
from raymoco.errors import DataError

NO_IMAGE = "files that are no images by their names"
NO_IMAGE_INSIDE = "files whose names say nothing and that hold no image"
ARCHIVE = "archives, which are not opened (unpack them)"
NO_NAME = (
    "images whose names have control characters or are no UTF-8, so that no list of names can hold "
    "them (rename them)"
)
CLOSED = "folders that cannot be opened"

Place = tuple[int, int]  # device and inode
Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """An image file: its path below the root, its size in bytes, and when it was changed."""

    path: str
    size: int
    time_ns: int


@dataclass(frozen=True)
class Level:
    """What lies directly in a folder: names of folders that may be data, sorted; any images?"""

    folders: tuple[str, ...]
    images: bool


@dataclass(frozen=True, slots=True)
class _Order:
    """What a walk was asked for; see `Tree.images`."""

    deep: bool = True
    tally: Tally = field(default_factory=Tally)
    wanted: Wanted | None = None
    unreadable: bool = False


class Tree:
    """The files below a root.

    Args:
        root: absolute.
        used: paths below the root that are something else to the source, such as its table.
    """

    def __init__(self, root: Path, used: frozenset[str] = frozenset()) -> None:
        self.root = root
        self._start = len(os.path.join(root, ""))
        self._used = used

    def path(self, folder: str) -> str:
        """The absolute path of a folder below the root; "" is the root."""
        return os.path.join(self.root, folder) if folder else str(self.root)

    def images(
        self,
        folder: str = "",
        *,
        deep: bool = True,
        tally: Tally | None = None,
        wanted: Wanted | None = None,
        unreadable: bool = False,
    ) -> Iterator[Found]:
        """Yield every image in a folder, in no order; also links that lead nowhere, if so named.

        Args:
            deep: also in the folders inside; if not, those that are never data are counted.
            tally: counts what is passed over.
            wanted: called with each path below the root that is a file; true: it is taken, whatever
                its name says, unless this installation cannot read it.
            unreadable: yield also images that this installation cannot read.
        Raises:
            DataError: the root cannot be read.
        """
        above = []
        if folder:  # a link may lead back above where the walk begins
            parents = [str(self.root), *(self.path(str(p)) for p in Path(folder).parents)]
            above = [(stat.st_dev, stat.st_ino) for stat in map(os.stat, parents)]
        order = _Order(deep, tally or Tally(), wanted, unreadable)
        return self._walk(self.path(folder), order, tuple(above))

    def holds_image(self, folder: str) -> bool:
        """Whether there is an image somewhere in a folder."""
        return next(self.images(folder), None) is not None

    def level(self, folder: str = "") -> Level:
        """What lies directly in a folder. Folders that are never data are left out."""
        names: list[str] = []
        thumbnails: list[str] = []
        images = False
        try:
            items = os.scandir(self.path(folder))
        except OSError as error:
            if not folder:
                raise DataError(f"{self.root}: cannot be read: {error.strerror}") from None
            return Level((), False)  # the walk says that it cannot be opened
        with items:
            for item in items:
                if _is_folder(item):
                    if why_by_name(item.name) is None and self._why_foreign(item.path) is None:
                        (thumbnails if may_be_thumbnails(item.name) else names).append(item.name)
                elif not images:
                    images = next(self._file(item, _Order()), None) is not None
        return Level(tuple(sorted(names if images else [*names, *thumbnails])), images)

    def _why_foreign(self, path: str) -> str | None:
        try:
            with os.scandir(path) as items:
                return why_by_content(Listing(path, items))
        except OSError:
            return None  # the walk says that it cannot be opened

    def _walk(self, folder: str, order: _Order, above: tuple[Place, ...]) -> Iterator[Found]:
        tally, deep = order.tally, order.deep
        try:
            stat = os.stat(folder)
            items = os.scandir(folder)
        except OSError as error:
            if len(folder) < self._start:
                raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
            tally.add("corrupt", CLOSED, self._below(folder) + "/")
            return
        here = (stat.st_dev, stat.st_ino)
        if here in above:  # a link leads back
            items.close()
            return
        thumbnails: list[str] = []
        images = False
        with items:
            listing = Listing(folder, items)
            # the root is data, even where `output` is the root too
            why = why_by_content(listing) if len(folder) >= self._start else None
            if why is not None:
                tally.add("passed over", why, self._below(folder) + "/")
                return
            for item in listing:
                if not _is_folder(item):
                    for found in self._file(item, order):
                        images = True
                        yield found
                elif (why := why_by_name(item.name)) is not None:
                    tally.add("passed over", why, self._below(item.path) + "/")
                elif may_be_thumbnails(item.name):
                    thumbnails.append(item.path)
                elif not deep:
                    why = self._why_foreign(item.path)
                    if why is not None:
                        tally.add("passed over", why, self._below(item.path) + "/")
                else:
                    yield from self._walk(item.path, order, (*above, here))
        for path in thumbnails:
            if images:
                tally.add("passed over", THUMBNAILS, self._below(path) + "/")
            elif deep:
                yield from self._walk(path, order, (*above, here))

    def _file(self, item: os.DirEntry[str], order: _Order) -> Iterator[Found]:
        """Yield the file if it is an image, or should be one."""
        name, path, tally = item.name, self._below(item.path), order.tally
        if path in self._used:
            return
        if name.startswith("."):
            tally.add("passed over", APPLE_DOUBLE if name.startswith("._") else HIDDEN, path)
            return
        listed = order.wanted is not None and order.wanted(path)
        kind, suffix = kind_of(name)
        if listed and kind in (FileKind.OTHER, FileKind.ARCHIVE, FileKind.UNSAID):
            kind = FileKind.IMAGE
        try:
            stat, regular = item.stat(), item.is_file()
        except OSError:  # a link that leads nowhere, or in a circle
            if kind is FileKind.IMAGE and can_be_id(path):
                link = os.lstat(item.path)
                yield Found(path, 0, link.st_mtime_ns)  # is found to be corrupt when it is read
            elif kind is FileKind.OTHER:
                tally.add("passed over", NO_IMAGE, path, suffix)
            else:
                tally.add("corrupt", DANGLING, path)
            return
        if not regular:
            tally.add("passed over", SPECIAL, path)
            return
        if kind is FileKind.UNSAID:
            try:
                kind, suffix = kind_by_content(item.path)
            except OSError:
                tally.add("corrupt", UNREADABLE, path)
                return
            if kind is FileKind.OTHER:
                tally.add("passed over", NO_IMAGE_INSIDE, path, os.path.splitext(name)[1])
                return
        taken = kind is FileKind.IMAGE or (order.unreadable and kind is FileKind.NEEDS_MORE)
        if taken and can_be_id(path):
            yield Found(path, stat.st_size, stat.st_mtime_ns)
        elif kind is FileKind.IMAGE:
            tally.add("left out", NO_NAME, path)
        elif kind is FileKind.NEEDS_MORE:
            tally.add("passed over", f"images in {cannot_read()[suffix]}", path)
        elif kind is FileKind.ARCHIVE:
            tally.add("passed over", ARCHIVE, path, suffix)
        else:
            tally.add("passed over", NO_IMAGE, path, suffix)

    def _below(self, path: str) -> str:
        return path[self._start :]


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link in a circle
        return False
