"""Files that several processes share: atomic writes, full disks, and absolute paths.

A process can lose its working directory: that of a Ray job is a temporary copy, which the agent of
another node on the same host unpacks again. From then on `getcwd` fails, and libraries call it
late. So a driver changes to a permanent directory, and `absolute` remembers where the command was
typed.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from raymoco.errors import ConfigError, DiskFullError, InputError
from raymoco.reading import expanded

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# what a machine refuses, and its user can mend: no defect of raymoco
OF_THE_MACHINE = (
    *NO_ROOM,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK),
)
_left: Path | None = None  # the original working directory, after `standing_in` has left it


def working_directory() -> Path:
    """The directory in which the command was typed, where relative paths begin.

    Raises:
        InputError: it was deleted.
    """
    try:
        return _left or Path.cwd()
    except FileNotFoundError:
        raise InputError(
            "the working directory was deleted: change to one that is there."
        ) from None


def absolute(path: str | Path) -> Path:
    """Return an absolute path: expand `~`, and start relative paths where the command was typed.

    Raises:
        InputError: it is relative, and the working directory was deleted.
    """
    found = expanded(path)
    return found if found.is_absolute() else working_directory() / found


def absolute_text(path: str) -> str:
    """`absolute` for a value of a config; a URI (`s3://...`) stays as it is.

    Raises:
        InputError: it is relative, and the working directory was deleted.
    """
    return path if "://" in path else str(absolute(path))


@contextmanager
def standing_in(folder: Path, before: Path) -> Iterator[None]:
    """Change to a folder, created if it is missing, and return at the end.

    Args:
        before: `working_directory()`, read while it existed.
    Raises:
        ConfigError: the folder cannot be made.
    """
    global _left
    if _left is not None:  # a run around this one, or in another thread, has moved the process
        yield
        return
    # '' is the working directory, in a notebook and under `python -c`
    here = str(before) if "" in sys.path else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made a folder: {error.strerror}.") from None
    place = os.open(".", os.O_PATH)  # even a deleted directory can be opened and returned to
    try:
        os.chdir(folder)
        _left = before
        if here is not None:
            sys.path.insert(0, here)
        yield
    finally:
        _left = None
        if here is not None:
            sys.path.remove(here)
        os.fchdir(place)
        os.close(place)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill, sees either the old or the new content.

    Raises:
        DiskFullError: there is no room for it; the old content is there.
    """
    written = content.encode() if isinstance(content, str) else content
    with replacing(path, len(written)) as stream:
        stream.write(written)


@contextmanager
def replacing(path: Path, size: int) -> Iterator[BinaryIO]:
    """Yield a stream whose content takes the place of a file when it is complete.

    Args:
        size: the bytes that are needed at least, for the message of a full disk.
    Raises:
        DiskFullError: there is no room for it; the old content is there, and nothing else.
    """
    with writing(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Raise a DiskFullError where a file, of so many bytes if they are known, finds no room.

    Raises:
        DiskFullError: names the folder, what is needed, what is free and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise disk_full(path, size, error) from None


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file.

    Raises:
        DiskFullError: there is no room for it.
    """
    text = line.rstrip() + "\n"
    with writing(path, len(text)), path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def disk_full(path: Path, size: int | None, error: OSError) -> DiskFullError:
    """Return the error that says that a file, of so many bytes, finds no room."""
    takes = "" if size is None else f", which takes {bytes_in_words(size)}"
    free = bytes_in_words(free_bytes(path.parent))
    return DiskFullError(
        f"{path.parent}: no room for {path.name}{takes}: {os.strerror(error.errno or 0)}; {free} "
        "are free. "
        "Make room there and repeat the command; a run or a sweep goes on with --resume."
    )


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be on once it is made."""
    return shutil.disk_usage(nearest_folder(folder)).free


def nearest_folder(folder: Path) -> Path:
    """Return a path, or of its parents the nearest that exists."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def bytes_in_words(count: int) -> str:
    """Return a number of bytes for a message: `3.2 MB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


def in_words(error: OSError) -> str:
    """Return an error of the operating system as a sentence, with the file that it is about."""
    named = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{named}{error.strerror or error}."
