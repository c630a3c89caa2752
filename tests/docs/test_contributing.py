"""CONTRIBUTING.md has ten recipes, and every file that they name is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (Add .*?)\n(.*?)(?=^### |\Z)", TEXT, re.MULTILINE | re.DOTALL))
# in backticks, with a folder of the repository before it or an ending behind it
FILES = r"`((?:raymoco|tests|docs|sweeps)/[\w./-]*|[\w-]+\.(?:md|py|toml|cff))`"


def files_of(recipe: str) -> list[str]:
    return re.findall(FILES, RECIPES[recipe])


def test_there_is_a_recipe_for_each_thing_that_people_add():
    wanted = (
        "a loss", "a term", "a source", "views", "a sampler", "a scheduler", "a statistic",
        "a tracker", "an evaluation protocol", "a command",
    )  # fmt: skip
    assert list(RECIPES) == [f"Add {thing}" for thing in wanted]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_file_that_a_recipe_names_is_there(recipe):
    for file in files_of(recipe):
        assert (ROOT / file).exists(), f"{recipe} names {file}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_names_code_and_the_test_to_copy(recipe):
    files = files_of(recipe)
    assert any(file.startswith("raymoco/") and file.endswith(".py") for file in files)
    assert any(re.fullmatch(r"tests/.*test_\w+\.py", file) for file in files)
    assert "Test: " in RECIPES[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_name_of_code_in_a_recipe_stands_in_a_file_that_it_names(recipe):
    names = re.findall(r"`([A-Z]\w+|[a-z]+_\w+)`", RECIPES[recipe])
    sources = [ROOT / file for file in files_of(recipe) if file.endswith(".py")]
    # some stand in a file that the recipe has no reason to open
    sources += [ROOT / "raymoco/ssl/query_gradient.py", ROOT / "raymoco/errors.py"]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources if source.exists())
    for name in names:
        assert re.search(rf"\b{name}\b", text), f"{recipe} names {name}"


def test_the_table_that_recipes_send_to_is_what_a_config_asks():
    choices = importlib.import_module("raymoco.choices")
    for name in re.findall(r"an entry of `([A-Z]+)`", TEXT):
        assert getattr(choices, name).choices, name


def test_the_commands_of_the_set_up_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z][a-z-]+)", TEXT))
    assert {"check", "test", "test-faults"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
