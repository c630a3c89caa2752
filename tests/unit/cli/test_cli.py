"""The command line as a person meets it: one clear message, the right exit code, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import raymoco


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "raymoco", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "digits", "method.temprature=0.2"], "did you mean 'method.temperature'"),
        (["train", "digist"], "did you mean 'digits'"),
        (["train", "none.yaml"], "no such file"),
        (["train", "digits", "epochs=many"], "epochs is 'many'"),
        (["train", "folder"], "data.root is null"),
        (["sweep", "none.yaml"], "no such file"),
        (["shards", "verify", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "no such folder, and no sweep or run"),
        (["schema", "all"], "there are run and sweep"),
        (["ui", "nowhere"], "nothing has been logged there"),
        (["report", "nowhere"], "no sweep or run of that name"),
        (["status", "nowhere"], "no sweep or run of that name"),
        (["sync", "nowhere"], "no sweep or run of that name"),
    ],
)
def test_bad_input_gets_one_clear_message_and_exit_code_2(tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.iterdir()), "nothing may be left behind"


SWEEP = "kind: search\nname: s\nrun: {{preset: digits}}\nsearch: {{{axis}}}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "digits", "method.loss=nowhere.at_all:X"], "there is no module 'nowhere'"),
        (["train", "digits", "model.backbone=resnet81"], "did you mean 'resnet8'"),
        (["shards", "build", "digits", "method.loss=mylab.losses:No"], "must keep raymoco.ssl.pro"),
        (["sweep", "s.yaml"], "search.method.loss: method.loss is 'mylab.losses:No', but it is no"),
        (["sweep", "s.yaml", "--dry-run"], "mylab.losses:No(temperature) cannot be called"),
    ],
)
def test_code_that_is_not_what_it_must_be_is_refused_before_anything_starts(
    tmp_path, arguments, words
):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "losses.py").write_text("class No:\n    pass\n")
    (tmp_path / "s.yaml").write_text(
        SWEEP.format(axis='method.loss: {choice: [unicon, "mylab.losses:No"]}')
    )
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words.replace("mylab.losses:No(", "No(") in done.stderr
    assert done.stderr.count("error: ") == 1
    assert not (tmp_path / "runs").exists(), "nothing may be left behind"


def test_debug_shows_where(tmp_path):
    done = run("train", "digits", "nothing=1", "--debug", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_command_typed_in_a_deleted_directory_finds_an_absolute_path(tmp_path):
    place = tmp_path / "gone"
    place.mkdir()
    typed = f"rmdir {place}; {sys.executable} -P -m raymoco status {tmp_path / 'none'}"
    done = subprocess.run(
        ["bash", "-c", typed],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(raymoco.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr


def test_an_unknown_command_and_a_missing_argument_are_wrong_usage(tmp_path):
    assert run("tarin", cwd=tmp_path).returncode == 2
    assert run("train", cwd=tmp_path).returncode == 2


def test_an_empty_folder_of_images_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "my.yaml").write_text("preset: digits\ndata: {source: folder, root: images}\n")
    done = run("shards", "build", "my.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "images" in done.stderr
    assert "Traceback" not in done.stderr


def test_shards_are_built_looked_at_and_verified(tmp_path):
    built = run("shards", "build", "digits", f"output={tmp_path}")
    assert built.returncode == 0, built.stderr
    folder = built.stdout.splitlines()[-1]
    looked = run("shards", "inspect", folder, "--sheet", str(tmp_path / "sheet.png"))
    assert looked.returncode == 0, looked.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert run("shards", "verify", folder).returncode == 0
    victim = next((tmp_path / "shards").rglob("train-*.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    found = run("shards", "verify", folder)
    assert found.returncode == 2
    assert victim.name in found.stderr


def test_schemas_are_json():
    assert json.loads(run("schema", "run").stdout)["type"] == "object"
    assert len(json.loads(run("schema", "sweep").stdout)["anyOf"]) == 2


def test_the_public_names_are_there():
    import raymoco.ssl

    expected = {"RunConfig", "SweepSpec", "train", "sweep", "evaluate", "report", "load_encoder"}
    assert expected <= set(raymoco.__all__)
    assert all(getattr(raymoco, name) for name in raymoco.__all__)
    method = {
        "MoCo", "KeyQueue", "info_nce", "sup_con", "unified_contrastive", "cross_consistency",
        "negative_uniformity",
    }  # fmt: skip
    assert method <= set(raymoco.ssl.__all__)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"name={'x' * 300}"], "with 300 bytes, but names of files in"),
        (["output=file"], "output is "),
        (["name=mlflow.db"], "which is taken in an output folder"),
        (["output=sweep", "name=logs"], "would be inside of"),
        (
            ["checkpoint.keep=100000000", "epochs=100000000", "checkpoint.every=1"],
            "no room for 100000000 checkpoints of ",
        ),
    ],
)
def test_what_a_disk_does_not_take_is_told_by_a_dry_run(tmp_path, words, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "sweep").mkdir()
    for name in ("sweep.yaml", "journal.jsonl"):
        (tmp_path / "sweep" / name).write_text("")
    done = run("train", "digits", "--dry-run", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_sweeps_dry_run_says_what_it_takes_and_refuses_what_is_not_there(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(SWEEP.format(axis="optim.lr: {uniform: [0.1, 0.2]}"))
    done = run("sweep", "s.yaml", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "checkpoints of 10 trials x 1.2 MB, 6 others x 3" in done.stdout
    assert " are free" in done.stdout
    done = run("sweep", "s.yaml", "--dry-run", "budget.trials=1000000000", cwd=tmp_path)
    assert done.returncode == 2
    assert "others x 3" in done.stderr
    assert "checkpoint.losers" in done.stderr


def test_the_ui_says_where_a_run_or_a_sweep_logged_nothing(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "config.yaml").write_text("tracking: {uri: none}\n")
    (folder / "journal.jsonl").write_text("")
    done = run("ui", str(folder))
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {folder}: it logged nothing (tracking.uri is none).\n",
    )
