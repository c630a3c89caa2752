"""`data.views`: a word or a mapping, its bounds, its axes, and the names of runs."""

from dataclasses import fields

import pytest

from raymoco.config import RunConfig, axis_keys, load_run_config
from raymoco.config.views import FIELDS, RECIPES, ViewParameters, ViewsConfig, written_out
from raymoco.errors import ConfigError


def views(*overrides, preset="digits"):
    return load_run_config(preset, overrides).data.views


def test_every_key_is_a_parameter_of_every_recipe():
    keys = {FIELDS.get(key, key) for key in ViewsConfig.model_fields} - {"recipe"}
    assert keys == {field.name for field in fields(ViewParameters)} - {"padding"}


def test_a_word_stays_a_word_and_a_parameter_turns_it_into_a_mapping():
    assert views() == "auto"
    assert views("data.views=color") == "colour"
    assert views("data.views={recipe: color}") == views("data.views={name: color}") == "colour"
    assert views("data.views=color", "data.views.flip=0") == {"recipe": "colour", "flip": 0.0}
    # the preset's word stays too
    assert views("data.views.flip=0", preset="imagenet_moco_v2")["recipe"] == "colour"
    assert views("data.views.flip=0") == {"recipe": "auto", "flip": 0.0}
    assert views("data.views={recipe: mylab.views:Noise, strength: 1}") == {
        "name": "mylab.views:Noise",
        "strength": 1,
    }


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("flip=7", "data.views.flip is 7, but must be less than or equal to 1"),
        ("flip=true", "data.views.flip: true is not a value"),
        ("hue=0.6", "data.views.hue is 0.6, but must be less than or equal to 0.5"),
        ("flp=1", "unknown key 'data.views.flp'; did you mean 'data.views.flip'?"),
        ("recipe=glyf", "data.views.recipe is 'glyf', but must be one of auto, glyph"),
        *(
            (f"crop_scale={value}", "but must be [low, high] with 0 < low <= high <= 1")
            for value in ("[1, 0.2]", "[0, 1]", "[0.2, 2]", "0.2", "[0.2]", "[true, 1]", "[a, b]")
        ),
        ("crop_ratio=[0, 1]", "data.views.crop_ratio is [0, 1], but must be [low, high]"),
        ("blur_sigma=[1, 50]", "data.views.blur_sigma is [1, 50], but must be [low, high]"),
    ],
)
def test_a_wrong_parameter_is_one_message_with_key_value_and_bound(override, words):
    with pytest.raises(ConfigError) as caught:
        views(f"data.views.{override}")
    assert words in str(caught.value)
    assert len(str(caught.value).split("\n")) == 1
    assert str(caught.value).startswith(f"command line: data.views.{override}")


def test_parameters_that_are_the_recipes_own_do_not_rename_a_run():
    plain = RunConfig().with_values({"data.views": "glyph"})
    same = RunConfig().with_values({"data.views": written_out("glyph")})
    assert same.run_name == plain.run_name
    assert same.effective() == plain.effective()
    other = plain.with_values({"data.views.flip": 0.5})
    assert other.run_name != plain.run_name
    assert other.effective().items() ^ plain.effective().items() == {("data.views.flip", 0.5)}


def test_a_parameter_without_effect_does_not_tell_two_runs_apart():
    still = RunConfig().with_values({"data.views": {"recipe": "glyph", "jitter": 0}})
    assert still.with_values({"data.views.contrast": 1}).effective() == still.effective()
    moving = still.with_values({"data.views.jitter": 0.5})
    assert moving.with_values({"data.views.contrast": 1}).effective() != moving.effective()


def test_every_parameter_can_be_an_axis_and_has_a_value_to_start_from():
    base = RunConfig().with_values({"data.views": "colour"})
    flat = base.flat()
    for key in ViewsConfig.model_fields:
        assert f"data.views.{key}" in axis_keys(base)
        assert f"data.views.{key}" in flat
    assert "data.views" in axis_keys(base)
    assert flat["data.views.crop_scale"] == list(RECIPES["colour"].area)
    # a whole is set before its parts, in whichever order they are given
    values = {"data.views.flip": 0.1, "data.views": "glyph"}
    assert base.with_values(values).data.views == {"recipe": "glyph", "flip": 0.1}


def test_what_is_written_is_read_back(tmp_path):
    config = RunConfig().with_values({"data.views": {"recipe": "grey", "crop_scale": (0.5, 1)}})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_run_config(str(path)) == config
