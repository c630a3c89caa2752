"""Sources and views that live outside the package: built, trained with, resumed, refused."""

import re
import subprocess
import sys

import pytest

from raymoco.config import DataConfig, RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards import build as building
from raymoco.data.shards.contact_sheet import contact_sheet
from raymoco.data.shards.ensure import ensure_shards, shards_folder
from raymoco.data.shards.inspection import verify_shards
from raymoco.data.sources.open import open_source
from raymoco.data.views.build import build_views, resolve_views
from raymoco.engine.check_choices import check_choices
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.engine.train import _resume_point
from raymoco.errors import ConfigError, DataError
from tests.small import small_run
from tests.unit.data.third_party import write_arrays, write_package

NOISE = {"name": "mylab.views:Noise", "strength": 0.3}
SMALL = {"data__limit": 200, "optim__batch_size": 32, "eval__linear__epochs": 2}


def named(source, **keys):
    return DataConfig(source=source, **keys)


def test_a_run_trains_on_somebodys_source_with_somebodys_views(mylab, tmp_path):
    config = small_run(**SMALL, data__source=mylab, data__views=NOISE, epochs=2)
    check_choices(config)
    shards = ensure_shards(config.data, tmp_path / "out")
    assert shards.manifest.source == "arrays"
    assert re.fullmatch(r"Arrays-[0-9a-f]{8}", shards.folder.name)
    assert verify_shards(shards.folder) == []
    images = load_images(config.data, shards)
    resolved = resolve(config, channels=1, train_images=images.rows("train"))
    assert resolved.data.views == NOISE
    assert re.fullmatch(r"Arrays-unicon-0-[0-9a-f]{8}", resolved.run_name)
    rows = []
    run_loop(resolved, images, Session(tmp_path / "run", on_report=lambda r, _: rows.append(r)))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["test/knn_top1"] > 0.9  # one class is brighter than the other
    again = RunConfig.model_validate(resolved.model_dump())  # as a resume reads it
    assert again == resolved
    assert "mylab.views:Noise" in resolved.to_yaml()


def test_a_run_goes_on_only_with_the_options_that_it_began_with(mylab, tmp_path):
    def resolved(source):
        config = small_run(**SMALL, data__source=source, epochs=1)
        return config, resolve(config, channels=1, train_images=200)

    config, begun = resolved({**mylab, "claimed_bytes": 64})
    images = load_images(config.data, ensure_shards(config.data, tmp_path / "out"))
    run_loop(begun, images, Session(tmp_path / "run" / "checkpoints"))
    assert _resume_point(tmp_path / "run", begun, print) is not None
    with pytest.raises(ConfigError, match=r"data\.source\.claimed_bytes: 64 -> None"):
        _resume_point(tmp_path / "run", resolved(mylab)[1], print)


def test_options_tell_folders_names_and_digests_apart(mylab, tmp_path):
    other = {**mylab, "claimed_bytes": 65}
    assert shards_folder(named(mylab), tmp_path) != shards_folder(named(other), tmp_path)
    assert shards_folder(named(mylab), tmp_path) == shards_folder(
        named(dict(reversed(mylab.items()))), tmp_path
    )
    digests = {RunConfig(data=named(value)).digest() for value in (mylab, other)}
    assert len(digests) == 2


def test_a_killed_build_of_somebodys_source_goes_on(mylab, tmp_path):
    whole = ensure_shards(named(mylab), tmp_path / "whole")
    built, build_shard = [], building.build_shard

    def dies_after_one(job, **keys):
        if built:
            raise KeyboardInterrupt
        built.append(job.path)
        return build_shard(job, **keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_shard", dies_after_one)
        with pytest.raises(KeyboardInterrupt):
            ensure_shards(named(mylab), tmp_path / "out")
    said = []
    found = ensure_shards(named(mylab), tmp_path / "out", said.append)
    assert said[0] == f"arrays: 1 of {len(whole.manifest.shards)} shards are built already"
    same = {"created": whole.manifest.created}
    assert found.manifest.model_copy(update=same) == whole.manifest


def test_somebodys_files_that_have_changed_are_noticed(mylab, tmp_path):
    ensure_shards(named(mylab), tmp_path / "out")
    write_arrays(tmp_path / "other", count=299)
    for file in (tmp_path / "other").iterdir():
        file.replace(tmp_path / "arrays" / file.name)
    with pytest.raises(DataError, match=r"arrays has changed since .*Arrays-"):
        ensure_shards(named(mylab), tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mylab.sauces:Arrays", "there is no module 'mylab.sauces'"),
        ("mylab.sources:Array", "mylab.sources has no 'Array'; did you mean 'Arrays'?"),
        ("mylab.sources:Unread", "it is no source: it has no read()"),
        ("mylab.sources:Nameless", "it is no source: it has no attribute name"),
        ("mylab.sources:Arrays", "data.source.path is missing: mylab.sources:Arrays needs it"),
        ({"name": "mylab.sources:Arrays", "pth": "x"}, "no such option; did you mean 'path'?"),
        ({"name": "digits", "path": "x"}, "data.source.path is given, but digits has no options"),
        (
            {"name": "mylab.sources:Closed", "path": "x"},
            "building it fails: RuntimeError: the database is locked",
        ),
    ],
)
def test_a_source_that_is_none_is_refused_in_one_sentence(mylab, source, words):
    with pytest.raises(ConfigError) as refused:
        open_source(named(source))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ("mylab.views:Noisy", "mylab.views has no 'Noisy'; did you mean 'Noise'?"),
        ("mylab.views:NoPixels", "it is no recipe of views: it has no to_pixels()"),
        (
            "mylab.views:TooFew",
            "TooFew(channels, image_size, mean, std) cannot be called",
        ),
        (
            {**NOISE, "strength": "much"},
            "data.views.strength is 'much', but must be a valid number",
        ),
        (
            {"name": "mylab.views:Noise", "flip": 1},
            "data.views.flip: mylab.views:Noise has no such option",
        ),
    ],
)
def test_views_that_are_none_are_refused_in_one_sentence(mylab, views, words):
    config = RunConfig(data=DataConfig(views=views))
    with pytest.raises(ConfigError) as refused:
        resolve(config, channels=1, train_images=1000)
    assert words in str(refused.value)


def test_somebodys_views_have_their_options_and_a_contact_sheet(mylab, tmp_path):
    built = build_views(NOISE, channels=1, image_size=8, mean=[0.5], std=[0.2])
    assert built.strength == 0.3
    shards = ensure_shards(named(mylab), tmp_path / "out")
    contact_sheet(shards, tmp_path / "sheet.png", views=NOISE)
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_auto_takes_what_suits_the_source():
    assert resolve_views("auto", "digits", 1) == "glyph"
    assert resolve_views("auto", "fashion_mnist", 1) == "grey"
    assert resolve_views("auto", "folder", 3) == "colour"
    assert resolve_views("auto", {"name": "mylab.sources:Arrays", "path": "x"}, 3) == "colour"
    assert resolve_views("glyph", "folder", 3) == "glyph"
    with pytest.raises(ConfigError, match=r"data.views is colour, but the images are gray"):
        resolve_views("colour", "folder", 1)


@pytest.mark.parametrize(
    ("key", "spelled", "kept"),
    [
        ("source", "parquet", "shards"),
        ("views", "gray", "grey"),
        ("views", "color", "colour"),
        ("views", {"name": "color"}, "colour"),
    ],
)
def test_both_spellings_are_one_value_and_one_digest(key, spelled, kept):
    ours, theirs = (RunConfig(data=DataConfig(**{key: value})) for value in (kept, spelled))
    assert theirs == ours
    assert theirs.digest() == ours.digest()
    assert getattr(theirs.data, key) == kept


@pytest.mark.parametrize("value", ["digit", 3, True, None, {}, {"path": "x"}, {"name": 3}, "a.b"])
def test_a_value_that_names_nothing_is_refused_when_the_config_is_read(value):
    with pytest.raises(ConfigError, match=r"data\.source(:| is) ") as refused:
        RunConfig().with_values({"data.source": value})
    assert "\n" not in str(refused.value)


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(ConfigError) as refused:
        RunConfig().with_values({"data.views": "glyphs"})
    assert str(refused.value) == (
        "data.views is 'glyphs', but must be one of auto, glyph, grey, colour, or your own "
        "package.module:Name (did you mean 'glyph'?)."
    )


@pytest.mark.parametrize("command", ["train", "shards build"])
def test_on_the_command_line_a_wrong_path_is_one_sentence_and_2(tmp_path, command):
    write_package(tmp_path)
    for source, words in (
        ("mylab.sauces:Arrays", "there is no module 'mylab.sauces'. It must be installed"),
        ("mylab.sources:Unread", "it is no source: it has no read()"),
    ):
        # -P: as under the console script, Python does not look into the working directory
        arguments = [*command.split(), "digits", f"data.source={source}"]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "raymoco", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"error: data.source is '{source}', but ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
        assert [entry.name for entry in tmp_path.iterdir()] == ["mylab"], "nothing is left behind"
