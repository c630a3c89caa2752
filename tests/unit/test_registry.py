"""Names become code: ours, somebody else's, and what is refused with which words."""

import sys
from typing import Protocol

import pytest
from pydantic import BaseModel, ConfigDict

from raymoco.errors import ConfigError
from raymoco.registry import Choice, Registry, what_is_missing

THEIRS = """
from pydantic import BaseModel

class Good:
    class Options(BaseModel):
        margin: float = 0.1
    def __init__(self, options=None):
        self.options = options
    def score(self, query, key):
        return 0

class Short:
    def score(self, query):
        return 0

class Other:
    pass

number = 3
"""


class Scores(Protocol):
    """What the registry of these tests wants."""

    def score(self, query: object, key: object) -> object:
        """A score."""


class Ours:
    """Shipped; it is not looked at again."""

    def score(self, query, key):
        return 1


@pytest.fixture
def registry(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(THEIRS)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry(
        "method.score",
        "score",
        f"{__name__}:Scores",
        {"ours": Choice(f"{__name__}:Ours", "ours")},
        others=("auto",),
    )
    for name in ("theirs", "broken"):
        sys.modules.pop(name, None)


def test_a_short_name_is_ours_and_a_path_is_somebody_elses(registry):
    assert registry.load("ours") is Ours
    assert registry.load("theirs:Good").__name__ == "Good"
    assert registry.names == ("auto", "ours")
    assert registry.find("ours").summary == "ours"
    assert registry.find("theirs:Good") is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere.at_all:X", "no module 'nowhere'. It must be installed, or lie in the working"),
        ("theirs:God", "theirs has no 'God'; did you mean 'Good'?"),
        ("broken:X", "importing broken fails: ZeroDivisionError: division by zero"),
        ("theirs:Other", "it is no score: it has no score()"),
        ("theirs:Short", r"score(query, key) cannot be called: too many positional arguments"),
        ("theirs:number", "it cannot be called"),
    ],
)
def test_what_is_no_such_thing_is_refused_in_words(registry, value, words):
    with pytest.raises(ConfigError) as refused:
        registry.load(value)
    assert str(refused.value).startswith(f"method.score is '{value}', but ")
    assert words in str(refused.value)


def test_options_are_checked_by_their_own_model(registry):
    good = registry.load("theirs:Good")
    assert registry.options("theirs:Good", good).margin == 0.1
    assert registry.options({"name": "theirs:Good", "margin": 0.3}, good).margin == 0.3
    with pytest.raises(ConfigError, match=r"method.score.margn: theirs:Good has no such opt"):
        registry.options({"name": "theirs:Good", "margn": 0.3}, good)
    with pytest.raises(ConfigError, match=r"method.score.margin is 'wide', but must be a valid"):
        registry.options({"name": "theirs:Good", "margin": "wide"}, good)
    with pytest.raises(ConfigError, match=r"method.score.margin is given, but ours has no"):
        registry.options({"name": "ours", "margin": 1}, Ours)


def test_in_a_config_a_name_is_checked_and_a_lone_name_is_a_word(registry):
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        score: registry.annotation = "ours"

    assert Config().score == "ours"
    assert Config(score={"name": "ours"}).score == "ours"
    assert Config(score={"name": "theirs:Good", "margin": 1}).score["margin"] == 1
    assert Config(score="somebody.elses:Thing").score == "somebody.elses:Thing"  # not looked at yet
    for wrong in ("our", "a:b:c", "a.b", {"margin": 1}, ""):
        with pytest.raises(ValueError, match=r"method\.score is "):
            Config(score=wrong)
    schema = Config.model_json_schema()["properties"]["score"]
    assert schema["anyOf"][0] == {"enum": ["auto", "ours"]}


def test_a_function_keeps_a_protocol_of_one_call():
    class Calls(Protocol):
        def __call__(self, a: int, b: int) -> int: ...

    assert what_is_missing(lambda a, b: a, Calls) == ""
    assert what_is_missing(lambda a, b, c=0: a, Calls) == ""
    assert "cannot be called" in what_is_missing(lambda a: a, Calls)
    assert what_is_missing(lambda a, b: a, Scores) == "a function has no score()"
