"""Whatever the input is, it ends in success, or in one message that says where it is wrong.

RAYMOCO_FUZZ=20000 tries so many inputs of each kind; `make test` tries some, always the same.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raymoco import load_encoder
from raymoco.config import DataConfig, load_run_config
from raymoco.data.shards.ensure import describe_shards, ensure_shards, load_shards, verify_shards
from raymoco.engine.metrics_csv import read_metrics
from raymoco.engine.output_folder import RunFolder
from raymoco.engine.predictions import (
    Predictions,
    read_classes,
    read_predictions,
    write_predictions,
)
from raymoco.errors import InputError
from raymoco.reading import shown
from raymoco.study.journal.find import find
from raymoco.study.journal.folder import open_folder
from raymoco.study.report.findings import read_findings
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.status import read_status
from raymoco.tracking import saved_section
from raymoco.yamlfile import dump_yaml
from tests.old_folders import put_old_folder
from tests.spoiled import (
    KEYS,
    RUNS,
    SPOILING,
    SWEEPS,
    VALUES,
    overrides,
    spoil,
    spoil_bytes,
    spoiled_texts,
    spoiled_trees,
)

MANY = int(os.environ.get("RAYMOCO_FUZZ", "0"))


def tried(few):
    return settings(
        max_examples=MANY or few,
        derandomize=not MANY,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def ends_well(call, *places):
    """Call it; what an InputError says must name one of the places."""
    said = ""
    try:
        call()
    except InputError as error:
        said = str(error)
    assert not said or any(place in said for place in places)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An empty folder to stand in, so that nothing of this machine is read."""
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@tried(60)
@given(text=spoiled_trees(RUNS))
def test_a_spoiled_config(here, text):
    path = here / "spoiled.yaml"
    path.write_text(text, encoding="utf-8")
    ends_well(lambda: load_run_config(str(path)), path.name)


@tried(60)
@given(text=spoiled_trees(SWEEPS))
def test_a_spoiled_sweep_file(here, text):
    path = here / "spoiled.yaml"
    path.write_text(text, encoding="utf-8")
    ends_well(lambda: load_sweep(path), path.name)


@tried(60)
@given(content=spoiled_texts([dump_yaml(tree) for tree in [*RUNS, *SWEEPS]]))
def test_a_spoiled_text(here, content):
    path = here / "spoiled.yaml"
    path.write_bytes(content)
    ends_well(lambda: load_run_config(str(path)), path.name)
    ends_well(lambda: load_sweep(path), path.name)


@tried(40)
@given(tree=st.dictionaries(KEYS, VALUES, max_size=6))
def test_a_tree_of_anything(here, tree):
    path = here / "spoiled.yaml"
    path.write_text(dump_yaml(tree), encoding="utf-8")
    ends_well(lambda: load_run_config(str(path)), path.name)
    path.write_text(dump_yaml({"kind": "search", "name": "x", **tree}), encoding="utf-8")
    ends_well(lambda: load_sweep(path), path.name)


@tried(40)
@given(words=overrides())
def test_words_of_a_command_line(here, words):
    typed = ["command line: "]
    typed += [shown(word.partition("=")[0].strip()) or "an override" for word in words]
    ends_well(lambda: load_run_config("digits", words), "an override", *typed)
    path = here / "right.yaml"
    path.write_text(dump_yaml(SWEEPS[-1]), encoding="utf-8")
    ends_well(lambda: load_sweep(path, words), path.name, "an override", *typed)


FOLDERS = ("run", "search", "ablation", "killed")
READ = {"config.yaml", "sweep.yaml", "journal.jsonl", "metrics.csv", "best.yaml"}
ENDINGS = {".pt"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders as version 0.1 left them, and which of their files are read again."""
    output = tmp_path_factory.mktemp("old")
    found = []
    for name in FOLDERS:
        folder = put_old_folder(name, output)
        files = [p for p in sorted(folder.rglob("*")) if p.name in READ or p.suffix in ENDINGS]
        found += [(folder, path, path.read_bytes()) for path in files if path.stat().st_size < 9e6]
    return found


def read_again(folder, path):
    """What the commands read of a folder: status, report, train and sweep with --resume."""
    place = find(str(folder))
    read_status(place).lines()
    if place.sweep is not None:
        read_findings(folder)
        open_folder(folder, place.sweep.spec.to_yaml(), resume=True)
    else:
        read_metrics(RunFolder(folder).metrics)
        saved_section(RunFolder(folder).config)
    if path.name == "best.yaml":
        load_run_config(str(path))


@tried(60)
@given(data=st.data())
def test_a_folder_with_a_spoiled_file(here, folders, data):
    texts = [one for one in folders if one[1].suffix != ".pt"]
    folder, path, content = texts[data.draw(st.integers(0, len(texts) - 1))]
    path.write_bytes(spoil_bytes(data.draw(SPOILING), content))
    try:
        ends_well(lambda: read_again(folder, path), str(folder))
    finally:
        path.write_bytes(content)


@tried(30)
@given(data=st.data())
def test_a_spoiled_checkpoint(here, folders, data):
    checkpoints = [one for one in folders if one[1].suffix == ".pt"]
    _, path, content = checkpoints[data.draw(st.integers(0, len(checkpoints) - 1))]
    path.write_bytes(spoil_bytes(data.draw(SPOILING), content))
    try:
        ends_well(lambda: load_encoder(path), str(path))
    finally:
        path.write_bytes(content)


@tried(60)
@given(data=st.data())
def test_spoiled_predictions(here, data):
    path = here / "p.npz"
    ids = np.array(["a", "b"])
    some = Predictions(ids, np.array([0, 1]), np.array([1, 1]))
    write_predictions(path, {"test/knn": some}, ("x", "y"))
    path.write_bytes(spoil_bytes(data.draw(SPOILING), path.read_bytes()))
    ends_well(lambda: (read_predictions(path, "test/knn"), read_classes(path)), str(path))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Shards of the digits, built without Ray."""
    return ensure_shards(DataConfig(), tmp_path_factory.mktemp("shards")).folder


@tried(60)
@given(data=st.data())
def test_a_spoiled_manifest(here, shards, data):
    path = shards / "manifest.json"
    content = path.read_text()
    if data.draw(st.booleans()):
        spoiled = spoil_bytes(data.draw(SPOILING), content.encode())
    else:
        tree = json.loads(content)
        spoil(data.draw, tree)
        spoiled = json.dumps(tree).encode()
    path.write_bytes(spoiled)
    try:
        ends_well(lambda: describe_shards(load_shards(shards)).lines(), str(shards))
        ends_well(lambda: describe_shards(load_shards(shards)).classes(), str(shards))
        ends_well(lambda: verify_shards(shards), str(shards))
    finally:
        path.write_text(content)
