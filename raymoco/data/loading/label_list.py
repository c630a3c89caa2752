"""The list of images whose labels pre-training may see: `data.labelled_list`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.name_matching import FORMS, nearest
from raymoco.data.sources.table_columns import is_usual
from raymoco.data.sources.tables import encoding_of, lines_of
from raymoco.errors import DataError
from raymoco.files import absolute

_TWO = ""  # in place of an id: more than one image is called so


def read_list(path: Path) -> list[str]:
    """The names in a list: a line each, without blank lines, `#` comments and a header.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = [line.strip("\ufeff \t\r\n") for line in lines_of(path, encoding_of(path), "text")]
    except DataError as error:
        raise DataError(f"data.labelled_list {error}") from None
    names = [line.strip('"') for line in lines if line and not line.startswith("#")]
    return names[1:] if names and is_usual(names[0]) else names


def listed_rows(
    data: DataConfig, ids: Sequence[str], elsewhere: Collection[str]
) -> tuple[list[int], Account]:
    """Rows of the images that `data.labelled_list` names, and how its names were understood.

    A name is an id or a unique file name; where it is neither, it is matched as the names of a
    label table are.

    Args:
        ids: of the training images.
        elsewhere: ids that the list may contain although they are not among `ids`.
    Raises:
        DataError: the list is missing, or it names images that are not there, or not just one.
    """
    path = absolute(data.labelled_list or "")
    names, account = read_list(path), Account()
    rows = {image_id: row for row, image_id in enumerate(ids)}
    known = rows.keys() | set(elsewhere)
    by_name = _unique((image_id.rpartition("/")[2], image_id) for image_id in known)
    found: list[str] = []
    unknown: list[str] = []
    for name in names:
        image_id = name if name in known else by_name.get(name)
        if image_id == _TWO:
            _refuse_two(path, name, [i for i in known if i.rpartition("/")[2] == name])
        (unknown if image_id is None else found).append(image_id or name)
    root = absolute(data.root or ".")
    for form in FORMS:
        if not unknown:
            break
        by_form = _unique((text, image_id) for image_id in known for text in form.of_path(image_id))
        left = []
        for name in unknown:
            texts = (text for text in form.of_name(name, root) if text in by_form)
            text = next(texts, None)
            image_id = None if text is None else by_form[text]
            if image_id == _TWO:
                _refuse_two(path, name, [i for i in known if text in form.of_path(i)])
            if image_id is None:
                left.append(name)
            else:
                found.append(image_id)
                reason = f"of the names in {path.name} matched in spite of {form.said}"
                account.add("understood", reason, name)
        unknown = left
    if unknown:
        like = nearest(unknown[0], sorted(known))
        near = f"; the nearest image is '{like}'" if like else ""
        raise DataError(
            f"data.labelled_list {path}: {len(unknown)} of its {len(names)} names are no training "
            f"images; the first is '{unknown[0]}'{near}."
        )
    return [rows[image_id] for image_id in found if image_id in rows], account


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The id that belongs to each text; `_TWO` where there are several."""
    found: dict[str, str] = {}
    for text, image_id in pairs:
        found[text] = image_id if found.setdefault(text, image_id) == image_id else _TWO
    return found


def _refuse_two(path: Path, name: str, candidates: Sequence[str]) -> None:
    raise DataError(
        f"data.labelled_list {path}: {len(candidates)} images are called '{name}'; give "
        f"their ids, such as '{min(candidates)}'."
    )
