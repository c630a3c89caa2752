"""The code that docs/extending.md shows, as files: what the page says is what the tests run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
FIRST_LINE = re.compile(r"```(?:python|yaml)\n# ([\w/.]+)\n")


def write_page(folder: Path) -> list[str]:
    """Write each block that begins with a file's name into that file; returns the names."""
    blocks = re.findall(r"```(?:python|yaml)\n.*?```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = []
    for block in blocks:
        named = FIRST_LINE.match(block)
        if named is not None:
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block[named.end() :].removesuffix("```"))
            names.append(named[1])
    return names


def sweep_of_the_page() -> str:
    """The sweep file that the page shows."""
    (text,) = re.findall(
        r"```yaml\n(kind: search.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    return text


def parts_of_a_sweep() -> list[str]:
    """The blocks that are a section of a sweep file: the sampler's and the scheduler's."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [block for block in blocks if not block.startswith(("#", "kind:"))]
