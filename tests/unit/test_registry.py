"""Names become code: ours, somebody else's, and what is refused with which words."""

import sys
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pytest
from pydantic import BaseModel, ConfigDict

from raymoco.conformance import options_model, what_is_missing
from raymoco.errors import ConfigError
from raymoco.registry import Choice, Registry, Rule

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


@dataclass(frozen=True)
class ScoreChoice(Choice):
    """An entry with facts."""

    exact: bool = True
    shipped: bool = False

    attributes: ClassVar[tuple[str, ...]] = ("exact",)


class Keyed:
    """Shipped; its option stands beside its name in the config."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        margin: float = 0.1

    def __init__(self, options):
        self.options = options

    def score(self, query, key):
        return 1


class Rough:
    """Somebody's, that says so."""

    exact, shipped = False, True

    def score(self, query, key):
        return 1


def ruled(name):
    if name != "ruled":
        raise ConfigError(f"no {name}")
    return lambda: name


KEYED = Registry(
    "method.score",
    "score",
    f"{__name__}:Scores",
    {"keyed": ScoreChoice(f"{__name__}:Keyed", "ours", keys=("margin",), shipped=True)},
    rule=Rule(f"{__name__}:ruled", "by a rule"),
)


def test_facts_of_ours_stand_in_the_entry_and_of_others_are_assumed_until_somebody_looks():
    path = f"{__name__}:Rough"
    assert KEYED.facts("keyed").shipped
    assert KEYED.facts("nowhere.at_all:X").exact
    assert (KEYED.facts(path).exact, KEYED.facts(path, look=True).exact) == (True, False)
    assert not KEYED.facts(path, look=True).shipped, "that is for entries alone"


def test_options_of_ours_stand_in_their_section():
    assert KEYED.make("keyed", beside={"margin": 0.5, "other": 1}).options.margin == 0.5
    assert KEYED.make("keyed").options.margin == 0.1
    with pytest.raises(ConfigError, match=r"method\.score\.margin is given, but its place is"):
        KEYED.make({"name": "keyed", "margin": 0.5})
    with pytest.raises(ConfigError, match=r"method\.margin is 'x', but must be a valid number"):
        KEYED.make("keyed", beside={"margin": "x"})


def test_a_rule_knows_names_that_no_list_has():
    assert KEYED.make("ruled") == "ruled"
    assert KEYED.validate("rulde") == "rulde"
    with pytest.raises(ConfigError, match="no rulde"):
        KEYED.load("rulde")


def test_a_value_is_spelled_with_every_option_of_somebodys_code(registry):
    assert registry.spelled("ours") == "ours"
    assert registry.spelled("theirs:Good") == {"name": "theirs:Good", "margin": 0.1}
    assert registry.spelled({"name": "theirs:Good", "margin": 1}) == {
        "name": "theirs:Good",
        "margin": 1.0,
    }


def test_what_somebodys_constructor_raises_is_told_with_the_key(registry):
    with pytest.raises(ConfigError, match="building it fails: TypeError"):
        registry.make("theirs:Good", 1, 2, 3)


class Options(BaseModel):
    size: int = 1


def takes_options(*, size: int, options: Options) -> object: ...


def test_a_class_keeps_a_factorys_protocol_by_its_constructor():
    class Makes(Protocol):
        def __call__(self, *, size: int) -> object: ...

    class Made:
        def __init__(self, *, size):
            self.size = size

    assert what_is_missing(Made, Makes, factory=True) == ""
    assert what_is_missing(takes_options, Makes, factory=True) == ""
    assert "Ours(size) cannot be called" in what_is_missing(Ours, Makes, factory=True)
    assert options_model(takes_options) is Options
    assert options_model(Made) is None


def test_a_protocol_may_say_how_a_class_is_built():
    class Built(Protocol):
        def __init__(self, heat: float) -> None: ...

        def __call__(self, a: int) -> int: ...

    class Right:
        def __init__(self, heat):
            self.heat = heat

        def __call__(self, a):
            return a

    class Without(Right):
        Options = Options

    assert what_is_missing(Right, Built) == ""
    assert "Without(heat, options) cannot be called" in what_is_missing(Without, Built)
    assert what_is_missing(lambda a: a, Built) == "it is no class"
