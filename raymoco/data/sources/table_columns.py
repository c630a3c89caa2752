"""Which columns of a table hold the names of images, their labels and their split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raymoco.errors import DataError

COLUMNS = "a column 'name' and a column 'label', and 'split' (train or test) if you like"
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".heic", ".heif", ".mpo"),
}
# in the order of preference: of each line one must be there, and only one, to be clear
NAMES = (
    ("file_name",),
    ("name",),
    ("path", "file_path", "filepath", "image_path", "img_path", "uri", "url", "image_uri"),
    ("filename", "file", "image_file", "image_filename", "image_name", "imagename", "img_name"),
    ("image", "img", "images"),
    ("image_id", "img_id", "id", "key", "isic_id"),
)
LABELS = (
    ("label",),
    (
        *("class", "category", "target", "diagnosis", "labels", "class_name", "classname"),
        *("label_name", "category_name", "class_label", "species", "breed", "dx", "cls", "y"),
    ),
    ("class_id", "classid", "label_id", "category_id", "target_id", "class_index", "class_idx"),
)
CAPTIONS = ("text", "caption", "captions", "description", "prompt", "sentence")
SPLITS = (("split", "subset", "partition"),)


@dataclass(frozen=True)
class Chosen:
    """The columns of a table, by their place in it; None: it has none.

    Attributes:
        said: how they were chosen, if another choice was possible; "" if not.
    """

    name: int
    label: int | None
    split: int | None
    said: str


def choose(
    columns: Sequence[str],
    sample: Sequence[Sequence[Any]],
    mapped: Mapping[str, str],
    where: str,
    *,
    bare: bool = False,
) -> Chosen:
    """Choose the columns by their names, and by what the first rows have in them.

    Args:
        columns: the header.
        sample: the first rows.
        mapped: `data.columns`: what the user says.
        where: begins every message: the file.
        bare: a table without labels will do.
    Raises:
        DataError: no column has names of images, or several could; or the same of labels, but where
            `bare`, none will do.
    """
    plain = [_plain(column) for column in columns]
    name = _mapped(columns, mapped, "image", where)
    if name is None:
        name = _mapped(columns, mapped, "id", where)
    if name is None:
        name = _clear(plain, NAMES, "image", columns, where, _like_files(sample, len(columns)))
    label = _mapped(columns, mapped, "label", where)
    if label is None:
        label = _clear(plain, LABELS, "label", columns, where, (), name)
    split = _clear(plain, SPLITS, "split", columns, where, (), name)
    others = [i for i in range(len(columns)) if i not in (name, split)]
    if label is None and len(others) == 1 and not bare and plain[others[0]] not in CAPTIONS:
        label = others[0]
    if name is None or (label is None and not bare):
        shown = ", ".join(map(str, columns)) or "(none)"
        problem = f"{where}: has the columns {shown}, but must have {COLUMNS}."
        if name is None:
            raise DataError(f"{problem} Or say which: data.columns.image={_first(columns)}.")
        if _one_hot(sample, others):
            raise DataError(
                f"{where}: has a column for each class ({', '.join(columns[i] for i in others[:4])}"
                ", ...) and none of labels: put the name of each image's class into one column "
                "'label'."
            )
        raise DataError(f"{problem} Or say which: data.columns.label={_first(columns)}.")
    return Chosen(name, label, split, _said(columns, name, label, others))


def has_suffix(name: str) -> bool:
    """Whether a name ends like a file of an image."""
    return "." + name.rpartition(".")[2].lower() in SUFFIXES


def is_usual(column: str) -> bool:
    """Whether a column of this name has a meaning here."""
    return any(_word(column, groups) for groups in (NAMES, LABELS, SPLITS))


def _plain(column: str) -> str:
    return re.sub(r"[\s\-]+", "_", column.strip().lstrip("#").strip()).lower()


def _said(columns: Sequence[str], name: int, label: int | None, others: list[int]) -> str:
    rest = [columns[i] for i in others if i != label]
    usual = columns[name] in ("name", "file_name") and (label is None or columns[label] == "label")
    silent = label is not None and not any(_word(column, LABELS) for column in rest)
    if usual and (silent or not rest):
        return ""
    labels = "no labels are read" if label is None else f"labels in '{columns[label]}'"
    unused = f"; not used: {', '.join(rest[:5])}" if rest else ""
    return f"names are read in the column '{columns[name]}', {labels}{unused}"


def _word(column: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    return any(_plain(column) in group for group in groups)


def _mapped(columns: Sequence[str], mapped: Mapping[str, str], key: str, where: str) -> int | None:
    if key not in mapped:
        return None
    if mapped[key] not in columns:
        raise DataError(
            f"{where}: has no column '{mapped[key]}', which data.columns.{key} names; it has "
            f"{', '.join(map(str, columns))}."
        )
    return list(columns).index(mapped[key])


def _clear(
    plain: Sequence[str],
    groups: tuple[tuple[str, ...], ...],
    key: str,
    columns: Sequence[str],
    where: str,
    files: Sequence[int],
    taken: int | None = None,
) -> int | None:
    """The one column that is meant; None if none is called so.

    Args:
        files: the columns whose values look like files: where it is one, it decides.
    """
    found = [[i for i, c in enumerate(plain) if c in group and i != taken] for group in groups]
    if len(files) == 1 and any(files[0] in group for group in found):
        return files[0]
    first = next((group for group in found if group), [])
    if len(first) > 1:
        shown = " and ".join(f"'{columns[i]}'" for i in first)
        raise DataError(
            f"{where}: {shown} may both hold the {key}; of its columns {', '.join(columns)}, say "
            f"which one does: data.columns.{key}={columns[first[0]]}."
        )
    return first[0] if first else None


def _like_files(sample: Sequence[Sequence[Any]], width: int) -> list[int]:
    found = []
    for column in range(width):
        values = [str(row[column]) for row in sample if len(row) > column and row[column]]
        if values and sum(map(has_suffix, values)) > len(values) / 2:
            found.append(column)
    return found


def _one_hot(sample: Sequence[Sequence[Any]], others: Sequence[int]) -> bool:
    values = [str(row[i]).strip() for row in sample for i in others if len(row) > i]
    return len(others) > 1 and bool(values) and set(values) <= {"0", "1", "0.0", "1.0"}


def _first(columns: Sequence[str]) -> str:
    return str(columns[0]) if columns else "..."
