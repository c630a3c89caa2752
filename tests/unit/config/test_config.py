import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymoco.config import (
    RunConfig,
    axis_keys,
    build_run_config,
    load_run_config,
    preset_names,
)
from raymoco.errors import ConfigError
from raymoco.yamlfile import Document, merge, parse_override, read_yaml


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_unknown_key_names_the_nearest_one_the_file_and_the_line(tmp_path):
    path = write(tmp_path / "my.yaml", "epochs: 3\nmethod:\n  temprature: 0.2\n")
    with pytest.raises(ConfigError) as caught:
        load_run_config(path)
    assert str(caught.value) == (
        f"{path}:3: unknown key 'method.temprature'; did you mean 'method.temperature'?"
    )


def test_a_right_name_at_the_wrong_depth_is_found():
    with pytest.raises(ConfigError, match=r"unknown key 'lr'; did you mean 'optim.lr'\?"):
        load_run_config("digits", ["lr=0.1"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("method.temperature=warm", "method.temperature is 'warm'"),
        ("method.temperature=0", "method.temperature is 0"),
        ("method.temperature=.inf", "method.temperature is inf"),
        ("data.labelled_fraction=1.5", "data.labelled_fraction is 1.5"),
        ("epochs=2.5", "epochs is 2.5"),
        ("epochs=true", "true is not a value"),
        ("method.loss=unicorn", "method.loss is 'unicorn'"),
        ("optim=3", "optim is 3"),
        ("name=../up", "name is '../up'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_where_it_was_typed(override, words):
    with pytest.raises(ConfigError) as caught:
        load_run_config("digits", [override])
    assert words in str(caught.value)
    assert f"command line: {override}" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optim.batch_size=255", "scale.workers=2"], "must be a multiple of scale.workers"),
        (["method.batch_norm=split", "method.bn_groups=7"], "must divide the batch of a worker"),
        (["method.loss=cross_entropy", "data.labelled_fraction=0"], "labelled_fraction is 0"),
        (
            ["method.loss=cross_entropy", "method.cross_consistency.weight=1"],
            "which has no keys",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        load_run_config("digits", overrides)


def test_every_preset_loads_and_reads_back_what_it_writes(tmp_path):
    assert {"digits", "fashion_mnist"} <= set(preset_names())
    for name in preset_names():
        config = load_run_config(name)
        again = load_run_config(write(tmp_path / "again.yaml", config.to_yaml()))
        assert again == config


def test_a_preset_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        load_run_config("digit")


def test_a_file_starts_from_its_preset_and_the_command_line_has_the_last_word(tmp_path):
    path = write(tmp_path / "my.yaml", "preset: digits\nepochs: 7\nmethod: {temperature: 0.3}\n")
    config = load_run_config(path, ["method.temperature=0.4"])
    assert (config.epochs, config.method.temperature) == (7, 0.4)
    assert config.method.queue_size == load_run_config("digits").method.queue_size


def test_on_off_and_numbers_without_a_point_are_what_they_look_like(tmp_path):
    path = tmp_path / "words.yaml"
    write(path, "a: on\nb: off\nc: 1e-4\nd: yes\n")
    assert read_yaml(path).values == {"a": "on", "b": "off", "c": 1e-4, "d": "yes"}


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\n", 2), ("a: 1\na: 2\n", 2), ("- a\n", 1), ("a: 'x\n", 2)]
)
def test_a_file_that_is_not_a_yaml_mapping_is_named_with_the_line(tmp_path, text, line):
    path = tmp_path / "broken.yaml"
    write(path, text)
    with pytest.raises(ConfigError, match=rf"broken\.yaml:{line}: "):
        read_yaml(path)


def test_a_missing_file_and_a_bare_word_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_run_config(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="write key=value"):
        load_run_config("digits", ["epochs"])


def test_sweep_axes_leave_out_where_and_on_what_a_run_is_executed():
    keys = axis_keys()
    assert {"method.temperature", "optim.lr", "data.labelled_fraction"} <= set(keys)
    fixed = ("scale", "tracking", "output", "seed", "data.source", "data.root", "data.limit")
    assert not [key for key in keys if key.startswith(fixed)]


def test_the_name_of_a_run_changes_with_what_decides_it_and_not_with_where_it_lies():
    config = RunConfig()
    assert config.with_values({"output": "elsewhere"}).run_name == config.run_name
    assert config.with_values({"optim.lr": 0.1}).run_name != config.run_name


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().epochs = 3


@settings(deadline=None)  # YAML files on a busy disk
@given(
    temperature=st.floats(0.001, 10),
    queue=st.integers(1, 10**6),
    seed=st.integers(0, 2**31 - 1),
    symmetric=st.booleans(),
)
def test_any_valid_config_survives_its_yaml(tmp_path_factory, temperature, queue, seed, symmetric):
    config = RunConfig().with_values(
        {
            "method.temperature": temperature,
            "method.queue_size": queue,
            "seed": seed,
            "method.symmetric": symmetric,
        }
    )
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert build_run_config(read_yaml(path)) == config


trees = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6
).filter(lambda tree: isinstance(tree, dict))


@given(base=trees, over=trees)
def test_merging_takes_every_value_of_the_second_tree(base, over):
    merged = merge(base, over)

    def holds(tree, inside):
        return all(
            holds(value, inside[key]) if isinstance(value, dict) else inside[key] == value
            for key, value in tree.items()
        )

    assert holds(over, merged)
    assert set(merged) == set(base) | set(over)


def test_an_override_reads_its_value_as_yaml():
    assert parse_override("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_override("a=null") == ("a", None)
    assert parse_override("a=x=y") == ("a", "x=y")


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("output", "/x/a #b"),
        ("output", "a: b"),
        ("data.root", "!x"),
        ("data.root", "[a] {b}"),
        ("data.root", "*.d"),
        ("name", "2024"),
        ("name", "0123"),
        ("name", "1e3"),
        ("name", "true"),
        ("tracking.experiment", "2025-02-30"),
        ("data.labelled_list", " l.txt"),
        ("data.columns.image", "0x10"),
    ],
)
def test_a_key_that_wants_text_gets_it_as_typed(key, typed):
    assert load_run_config("stl10", [f"{key}={typed}"]).flat()[key] == typed


def test_text_that_may_be_missing_or_a_mapping_is_still_that():
    config = load_run_config("digits", ["data.root=null", "method.loss={name: info_nce}"])
    assert config.data.root is None
    assert config.method.loss == load_run_config("digits", ["method.loss=info_nce"]).method.loss


def test_a_mapping_that_is_a_word_is_refused_with_its_place():
    document = Document({"run": "digits"}, {("run",): "s.yaml:2"})
    with pytest.raises(ConfigError, match=r"s\.yaml:2: run is 'digits'"):
        document.part("run")
