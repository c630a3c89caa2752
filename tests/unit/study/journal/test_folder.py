"""Opening a folder again: what a resume may change, and what else may lie there."""

import pytest

from raymoco.config import load_run_config
from raymoco.engine.train import train
from raymoco.errors import ConfigError
from raymoco.locks import lease
from raymoco.study.journal.folder import open_folder

FILE = """\
kind: ablation
budget:
  concurrent: 2
gang:
  workers: 1
run:
  epochs: 4
seeds:
- 0
- 1
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sweep.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("concurrent: 2", "concurrent: 8"),
        ("workers: 1", "workers: 2\n  max_failures: 0"),
        ("- 1", "- 1\n- 2"),
    ],
)
def test_budget_and_gang_may_change_and_seeds_may_be_added(folder, old, new):
    assert open_folder(folder, FILE.replace(old, new), resume=True).all() == []


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [("epochs: 4", "epochs: 5", "+  epochs: 5"), ("- 1\n", "", "-- 1"), ("- 1", "- 3", "+- 3")],
)
def test_anything_else_is_refused_with_the_lines_that_differ(folder, old, new, shown):
    with pytest.raises(ConfigError, match="begun with another file") as refused:
        open_folder(folder, FILE.replace(old, new), resume=True)
    assert shown in str(refused.value).split("\n")


def test_a_folder_that_another_driver_holds_is_refused_at_once(folder):
    with (
        lease(folder, "sweep"),
        pytest.raises(ConfigError, match="another process is running this sweep"),
    ):
        open_folder(folder, FILE, resume=True)


def test_a_lease_that_was_left_alone_is_no_sweep(tmp_path):
    with lease(tmp_path / "new", "sweep"):
        pass
    assert open_folder(tmp_path / "new", FILE, resume=False).all() == []


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_does_not_go_into_a_sweeps_folder(folder, resume):
    config = load_run_config("digits", [f"output={folder.parent}", f"name={folder.name}"])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match="is the folder of a sweep, and no run can be in it"):
        train(config, resume=resume)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_sweep_does_not_go_into_a_runs_folder(tmp_path, resume):
    (tmp_path / "config.yaml").write_text(load_run_config("digits").to_yaml())
    with pytest.raises(ConfigError, match="is the folder of a run, and no sweep can be in it"):
        open_folder(tmp_path, FILE, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("name", ["shards", "mlartifacts", "mlflow.db"])
def test_names_that_an_output_folder_needs_itself_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=f"name is '{name}', which is taken"):
        train(load_run_config("digits", [f"output={tmp_path}", f"name={name}"]))
    with pytest.raises(ConfigError, match=f"name is '{name}', which is taken"):
        open_folder(tmp_path / name, FILE, resume=False)
    assert not list(tmp_path.iterdir())


def test_with_looks_neither_the_seeds_nor_their_order_may_change(folder):
    planned = FILE + "looks:\n  seeds:\n  - 1\n  - 2\n"
    (folder / "sweep.yaml").write_text(planned)
    assert open_folder(folder, planned, resume=True).all() == []
    for changed in ("seeds:\n- 1\n- 0\n", "seeds:\n- 0\n- 1\n- 2\n"):
        with pytest.raises(ConfigError, match="begun with another file"):
            open_folder(folder, planned.replace("seeds:\n- 0\n- 1\n", changed), resume=True)
    with pytest.raises(ConfigError, match="begun with another file"):
        open_folder(folder, FILE, resume=True)
