"""Local paths of a config are absolute in whatever is saved, and runs keep their names."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from raymoco.config import load_run_config
from raymoco.engine.local_paths import with_absolute_paths
from raymoco.errors import ConfigError
from raymoco.study.journal.folder import open_folder
from raymoco.study.sweepfile.load import load_sweep

SEARCH = """\
kind: search
name: rel
run: {preset: digits, data: {source: folder, root: pets, labelled_list: lists/l.txt}}
search: {optim.lr: {choice: [0.1, 0.2]}}
budget: {trials: 2}
"""


def test_relative_paths_become_absolute_and_the_name_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = ["root=pets", "labelled_list=./l.txt", "labels_csv=~/t.csv"]
    config = load_run_config("digits", ["data.source=folder", *(f"data.{key}" for key in keys)])
    found = with_absolute_paths(config)
    assert found.data.root == f"{tmp_path}/pets"
    assert found.data.labelled_list == f"{tmp_path}/l.txt"
    assert found.data.labels_csv is not None
    assert not found.data.labels_csv.startswith("~")
    assert found.run_name == config.run_name
    assert with_absolute_paths(found) == found


def test_a_table_that_is_named_from_the_root_is_found_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "t.csv").write_text("name,label\n")
    config = load_run_config("stl10", ["data.root=pets", "data.labels_csv=t.csv"])
    assert with_absolute_paths(config).data.labels_csv == f"{tmp_path}/pets/t.csv"
    (tmp_path / "t.csv").write_text("name,label\n")
    assert with_absolute_paths(config).data.labels_csv == f"{tmp_path}/t.csv"


@pytest.mark.parametrize("root", ["root=s3://bucket/pets", "root=/data/pets", "root=null"])
def test_uris_and_absolute_paths_stay_as_they_are(root):
    config = load_run_config("stl10", [f"data.{root}"])
    assert with_absolute_paths(config) == config


def test_a_sweep_file_is_saved_with_absolute_paths_and_resumes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SEARCH)
    spec = load_sweep(tmp_path / "s.yaml").spec
    data = YAML(typ="safe").load(spec.to_yaml())["run"]["data"]
    assert (data["root"], data["labelled_list"]) == (f"{tmp_path}/pets", f"{tmp_path}/lists/l.txt")
    folder = tmp_path / "runs" / "rel"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(spec.to_yaml())
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    open_folder(folder, load_sweep(folder / "sweep.yaml").spec.to_yaml(), resume=True)


def test_a_folder_that_was_begun_with_a_relative_root_resumes_where_it_was_begun(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SEARCH)
    text = load_sweep(tmp_path / "s.yaml").spec.to_yaml()
    folder = tmp_path / "runs" / "rel"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(text.replace(f"{tmp_path}/", ""))  # as 0.1 wrote it
    open_folder(folder, text, resume=True)
    shutil.move(folder, tmp_path / "moved")
    (tmp_path / "s.yaml").write_text(SEARCH.replace("pets", "zoo"))
    with pytest.raises(ConfigError, match="zoo"):
        open_folder(tmp_path / "moved", load_sweep(tmp_path / "s.yaml").spec.to_yaml(), resume=True)


def test_the_file_in_a_sweeps_folder_means_this_folder_wherever_it_is(tmp_path, monkeypatch):
    folder = tmp_path / "o" / "rel"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(SEARCH)  # with a relative output, as 0.1 wrote it
    monkeypatch.chdir(tmp_path)
    assert load_sweep(folder / "sweep.yaml").output == tmp_path / "o"
    assert load_sweep(Path("o/rel/sweep.yaml")).output == tmp_path / "o"
    shutil.move(tmp_path / "o", tmp_path / "moved")
    assert load_sweep(Path("moved/rel/sweep.yaml")).output == tmp_path / "moved"
    assert load_sweep(Path("moved/rel/sweep.yaml"), ["output=x"]).output == tmp_path / "x"
    (tmp_path / "sweep.yaml").write_text(SEARCH)  # a file that somebody calls so
    assert load_sweep(Path("sweep.yaml")).output == tmp_path / "runs"
