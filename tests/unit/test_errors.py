"""An error that says which key it is about gets file and line from whoever has the file."""

import pickle

import pytest

from raymoco.errors import ConfigError, concerning
from raymoco.yamlfile import Document, read_yaml


def test_file_and_line_of_the_key_come_before_the_message(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("search:\n  optim.lr:\n    when: {a: 1}\n")
    document = read_yaml(path)
    for key, place in (
        (("search", "optim.lr", "when"), f"{path}:3"),
        (("search", "optim.lr", "or"), f"{path}:2"),  # nobody wrote it: its nearest parent
        (("sampler",), str(path)),
    ):
        with pytest.raises(ConfigError) as caught, document.locating(str(path)):
            raise ConfigError("wrong.", key)
        assert str(caught.value) == f"{place}: wrong."
        assert caught.value.key is None, "or the next one would say the place again"


def test_an_error_about_no_key_names_the_file():
    with pytest.raises(ConfigError, match=r"^a\.yaml: wrong\.$"), Document({}).locating("a.yaml"):
        raise ConfigError("wrong.")


def test_an_error_that_knows_its_key_keeps_it():
    for known, expected in ((None, ("search", "lr")), (("sampler",), ("sampler",))):
        with pytest.raises(ConfigError) as caught, concerning("search", "lr"):
            raise ConfigError("wrong.", known)
        assert caught.value.key == expected
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.key) == ("wrong.", expected)
