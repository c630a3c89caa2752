"""Dotted keys in files are what they are on the command line."""

import pytest

from raymoco.config import load_run_config
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.load import load_sweep


def written(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_dotted_key_is_the_key_of_a_section(tmp_path):
    text = "preset: digits\noptim.lr: 0.3\ndata: {views.flip: 0.5, views: glyph}\nepochs: 3\n"
    config = load_run_config(str(written(tmp_path, text)), ["optim.batch_size=64"])
    assert (config.optim.lr, config.optim.batch_size) == (0.3, 64)
    assert config.data.views == {"recipe": "glyph", "flip": 0.5}


def test_the_command_line_is_laid_over_a_dotted_key(tmp_path):
    path = written(tmp_path, "preset: digits\noptim.lr: 0.3\n")
    assert load_run_config(str(path), ["optim.lr=0.1"]).optim.lr == 0.1


def test_a_wrong_value_of_a_dotted_key_has_its_line(tmp_path):
    path = written(tmp_path, "preset: digits\noptim.lr: -1\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: optim\.lr is -1"):
        load_run_config(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim.lr: 0.3\noptim: {lr: 0.2}\n", r"c\.yaml:1: optim\.lr is written twice, also at"),
        ("optim.lr: 0.3\noptim: 5\n", r"optim is written twice"),
        ("optm.lr: 0.3\n", r"unknown key 'optm\.lr'; did you mean 'optim\.lr'"),
        ("optim.l: 0.3\n", r"unknown key 'optim\.l'; did you mean 'optim\.lr'"),
    ],
)
def test_a_key_that_is_written_twice_or_unknown_is_refused(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        load_run_config(str(written(tmp_path, text)))


def test_a_sweep_file_takes_dotted_keys_too(tmp_path):
    sweep = load_sweep(
        written(
            tmp_path,
            "kind: search\nname: x\nrun.preset: digits\nrun.optim.lr: 0.2\nbudget.trials: 3\n"
            "search.method.queue_size: {choice: [32, 64]}\n"
            "search: {method.temperature: {uniform: [0.1, 0.2]}}\n",
        )
    )
    assert (sweep.base.optim.lr, sweep.spec.budget.trials) == (0.2, 3)
    assert set(sweep.axes) == {"method.queue_size", "method.temperature"}
