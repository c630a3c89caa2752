"""Folders and names that no run or sweep can have: told before anything is written."""

import os

import pytest

from raymoco.config import load_run_config
from raymoco.engine.output_folder import check_output, refuse_foreign, refuse_special
from raymoco.engine.train import train
from raymoco.errors import ConfigError


def run_in(output, **values):
    words = [f"output={output}", *(f"{key}={value}" for key, value in values.items())]
    return train(load_run_config("digits", words))


@pytest.mark.parametrize("place", ["f", "f/deeper", "/proc/raymoco"])
def test_an_output_that_is_no_folder_is_refused(tmp_path, place):
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="no folder that can be written to"):
        run_in(tmp_path / place)
    if place.startswith("f"):
        with pytest.raises(ConfigError, match=f"{tmp_path}/f is a file"):
            check_output(tmp_path / place)


@pytest.mark.parametrize("name", ["x" * 256, "\u00e9" * 128])
def test_a_name_longer_than_the_file_system_takes_is_refused_with_the_bound(tmp_path, name):
    with pytest.raises(ConfigError, match=r"with 256 bytes, but names of files in .* at most 255"):
        run_in(tmp_path, name=name)
    assert not list(tmp_path.iterdir())
    refuse_foreign(tmp_path / name[:-1], "run")


@pytest.mark.parametrize("name", ["Shards", "mlflow.db-wal", "mlflow.db-journal"])
def test_names_that_storage_may_take_for_our_own_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=f"name is '{name}', which is taken"):
        run_in(tmp_path, name=name)


@pytest.mark.parametrize("mark", ["sweep.yaml", "config.yaml"])
@pytest.mark.parametrize("inside", ["t", "checkpoints/t"])
def test_nothing_goes_into_the_folder_of_another_result(tmp_path, mark, inside):
    (tmp_path / "s").mkdir()
    for name in (mark, "journal.jsonl"):
        (tmp_path / "s" / name).write_text("")
    with pytest.raises(ConfigError, match=f"would be inside of {tmp_path}/s"):
        refuse_foreign(tmp_path / "s" / inside, "run")


def test_a_project_that_has_a_config_of_its_own_may_hold_outputs(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    refuse_foreign(tmp_path / "runs" / "t", "run")


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_somebody_elses_folder_is_not_gone_on_in(tmp_path, kind):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("")
    with pytest.raises(ConfigError, match=r"has files, such as main.py, and is not the folder of"):
        refuse_foreign(tmp_path / "src", kind)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file"):
        refuse_foreign(tmp_path / "file", kind)


def test_what_a_kill_leaves_before_the_config_is_gone_on_in(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / ".config.yaml.abcdefgh").write_text("")
    refuse_foreign(tmp_path / "t", "run")


@pytest.mark.parametrize("name", ["journal.jsonl", "checkpoints/epoch-00001.pt", "logs/t000.txt"])
def test_a_pipe_where_a_file_is_expected_is_named_and_never_read(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place)
    with pytest.raises(ConfigError, match=f"{place} is a named pipe, where a file is expected"):
        refuse_special(tmp_path)


def test_a_link_to_a_device_is_named_and_links_to_files_are_fine(tmp_path):
    (tmp_path / "real").write_text("")
    (tmp_path / "config.yaml").symlink_to(tmp_path / "real")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    refuse_special(tmp_path)
    (tmp_path / "log.txt").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"log\.txt is a device or a socket"):
        refuse_special(tmp_path)
