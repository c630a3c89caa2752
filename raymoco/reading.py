"""Read a whole file that somebody else wrote: only a regular one, as text in any Unicode form.

A pipe would hang, a device would never end, and what is no text must say what it looks like.
"""

from __future__ import annotations

import codecs
import re
import stat
from pathlib import Path

from raymoco.errors import ConfigError, InputError

# the longer mark first: that of UTF-32 begins like that of UTF-16
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
LOOKS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a zip archive, as checkpoints (.pt) and predictions (.npz) are"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3", "a SQLite database"),
    (b"%PDF", "a PDF"),
)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# what no name, path or setting has on purpose; a lone surrogate is a byte that is no UTF-8
ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def shown(path: str | Path) -> str:
    """A path in one line of a message, whatever characters it has."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))
    return text.encode("utf-8", "backslashreplace").decode()


def odd_character(text: str) -> str:
    """The first character of a text that no setting has on purpose, in words; '' if none."""
    found = ODD.search(text)
    if found is None:
        return ""
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python hands on such a byte of the command line
        return f"the byte 0x{code - 0xDC00:02x}, which is no UTF-8"
    return f"the character U+{code:04X}, which is no text"


def read_bytes(path: Path, kind: type[InputError] = ConfigError) -> bytes:
    """Read a regular file.

    Args:
        kind: the class of the error.
    Raises:
        InputError: of this kind: no such file, no regular file, or it cannot be read; names it.
    """
    name = shown(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # not even opened: a pipe would hang
            what = next((words for test, words in KINDS if test(mode)), "no regular file")
            raise kind(f"{name} is {what}, but must be a file.")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise kind(f"{name}: no such file.") from None
    except OSError as error:
        raise kind(f"{name}: cannot be read: {error.strerror}.") from None
    except ValueError:  # a NUL in the name
        raise kind(f"{name}: no file can have this name.") from None


def read_text(path: Path, kind: type[InputError] = ConfigError) -> str:
    """Read a text file: UTF-8, or UTF-16 or UTF-32 with the mark that Windows puts before it.

    Args:
        kind: the class of the error.
    Raises:
        InputError: of this kind: as `read_bytes`, or it is no text; names file and line.
    """
    content, name = read_bytes(path, kind), shown(path)
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        looks = next((words for start, words in LOOKS if content.startswith(start)), "")
        if looks:
            raise kind(f"{name} is no text: it looks like {looks}.") from None
        if ODD.search(content[:4096].decode("latin-1")) or encoding != "utf-8":
            raise kind(f"{name} is no text.") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise kind(
            f"{name}:{line}: the byte 0x{content[error.start]:02x} is no UTF-8: save the file as "
            "UTF-8."
        ) from None
    if text and text.count("\0") * 2 > len(text):
        raise kind(f"{name} is no text: it holds zeros, as after a crash or a full disk.")
    return text.replace("\r\n", "\n")


def expanded(path: str | Path) -> Path:
    """A path with `~` replaced by the home folder.

    Raises:
        ConfigError: `~name` of no user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise ConfigError(f"{shown(path)}: there is no user {shown(user[1:])}.") from None
