"""docs/architecture.md is the package: its map, its floors, and the names in its drawings."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "raymoco"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWINGS = re.findall(r"```mermaid\n(.*?)```", TEXT, re.DOTALL)
# in a drawing a box of code begins with its path below raymoco: module:name
NAMED = [name for drawing in DRAWINGS for name in re.findall(r'\["([\w.]+:[\w.]+)', drawing)]


def is_package(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.py"))


def entries_of(folder: Path) -> set[str]:
    """What a row of the map should name: modules, packages, and the folder of presets."""
    modules = {path.name for path in folder.glob("*.py")}
    packages = {f"{path.name}/" for path in folder.iterdir() if is_package(path)}
    return modules | packages


def map_of(text: str) -> dict[str, list[str]]:
    """The rows of each table of the map, by the folder that heads it."""
    found: dict[str, list[str]] = {}
    folder = None
    for line in text.splitlines():
        if heading := re.match(r"\| `(raymoco/[\w/]*)` \| \|$", line):
            folder = found.setdefault(heading[1], [])
        elif row := re.match(r"\| `([\w./]+)` \| \S", line):
            if folder is not None:
                folder.append(row[1])
        elif not line.startswith("|"):
            folder = None
    return found


def test_the_map_names_every_package_and_module_two_levels_deep_and_none_that_is_gone():
    wanted = {"raymoco/": entries_of(PACKAGE) | {"presets/"}}
    for folder in filter(is_package, PACKAGE.iterdir()):
        wanted[f"raymoco/{folder.name}/"] = entries_of(folder)
    named = map_of(TEXT)
    assert named.keys() == wanted.keys()
    for folder, entries in wanted.items():
        assert set(named[folder]) == entries, f"the map of {folder}"
        assert len(named[folder]) == len(entries), f"{folder} has an entry twice"


def test_both_trips_are_drawn():
    assert len(DRAWINGS) == 2
    assert all("-->" in drawing for drawing in DRAWINGS)
    assert len(NAMED) > 30


@pytest.mark.parametrize("name", dict.fromkeys(NAMED))
def test_every_name_in_the_drawings_can_be_imported(name):
    module, _, attributes = name.partition(":")
    found = importlib.import_module(f"raymoco.{module}")
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    assert callable(found)


def floors(contract: str) -> str:
    """The layers of one contract of import-linter, as the documents write them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["name"]: one for one in config["tool"]["importlinter"]["contracts"]}
    layers = [layer.replace("raymoco.", "") for layer in contracts[contract]["layers"]]
    return " > ".join(re.sub(r"\((\w+)\)", r"\1", layer) for layer in layers)


@pytest.mark.parametrize(
    ("document", "contract"),
    [
        ("README.md", "imports point down the layers"),
        ("docs/architecture.md", "imports point down the layers"),
        ("docs/architecture.md", "study: imports point down the floors"),
        ("docs/architecture.md", "data: from shards to batches"),
    ],
)
def test_the_floors_in_the_documents_are_those_that_import_linter_holds(document, contract):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert floors(contract) in " ".join(text.split())
