"""Checkpoints on disks that are full or shared, and what stays of a trial that lost."""

import pytest
import torch

from raymoco import evaluate, load_encoder
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import (
    find_checkpoint,
    keep_encoder,
    list_checkpoints,
    load_newest,
    save_checkpoint,
)
from raymoco.engine.disk import at_once, check_room, checkpoint_size, run_in_words
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import DataError, DiskFullError
from raymoco.using.export import export_encoder
from tests.full_disk import room
from tests.small import small_run


def trained(folder, **changes):
    config = small_run(output=str(folder), epochs=1, eval__linear__epochs=2, **changes)
    images = load_images(config.data, ensure_shards(config.data, folder))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    run_loop(config, images, Session(folder / "one" / "checkpoints"))
    return config, images, folder / "one" / "checkpoints"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture
def copy(run, tmp_path):
    """Its checkpoints, to be changed."""
    (path,) = list_checkpoints(run[2])
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "checkpoints"


def test_a_full_disk_leaves_the_checkpoint_before_and_no_other_file(copy):
    before = load_newest(find_checkpoint(copy), "cpu", print)
    before.epoch = 2
    size = find_checkpoint(copy).stat().st_size
    for limit in (0, 1000, size // 2, size - 1):
        with room(limit), pytest.raises(DiskFullError, match=r"no room for epoch-00002\.pt, which"):
            save_checkpoint(copy, before, keep=1)
        assert [path.name for path in copy.iterdir()] == ["epoch-00001.pt"]
    save_checkpoint(copy, before, keep=1)
    assert [path.name for path in copy.iterdir()] == ["epoch-00002.pt"]


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(copy):
    (copy / ".epoch-00002.pt.abcdefgh").write_bytes(bytes(1000))
    before = load_newest(find_checkpoint(copy), "cpu", print)
    save_checkpoint(copy, before, keep=1)
    assert [path.name for path in copy.iterdir()] == ["epoch-00001.pt"]


@pytest.mark.parametrize(
    "changes", [{}, {"optim__name": "adamw"}, {"method__loss": "cross_entropy"}], ids=str
)
def test_what_a_checkpoint_takes_is_known_before_the_first_step(tmp_path, changes):
    config, images, folder = trained(tmp_path, **changes)
    size = checkpoint_size(config, channels=1, image_size=images.seen, classes=10)
    (path,) = list_checkpoints(folder)
    # names and headers are not counted: little beside the weights of a network of some size
    assert size.whole <= path.stat().st_size < size.whole + 100_000
    keep_encoder(folder)
    (path,) = folder.iterdir()
    assert size.encoder <= path.stat().st_size < size.encoder + 50_000
    assert size.encoder < size.whole


def test_a_disk_that_is_too_small_is_refused_with_all_that_is_needed(run, tmp_path):
    config, images, _ = run
    size = checkpoint_size(config, channels=1, image_size=images.seen, classes=10)
    many = config.with_values({"epochs": 10**9, "checkpoint.keep": 10**9})
    assert at_once(many) == 10**9
    with pytest.raises(DiskFullError) as refused:
        check_room(tmp_path / "o", *run_in_words(many, size), "checkpoint.keep")
    assert f"{tmp_path}/o: no room for 1000000000 checkpoints of " in str(refused.value)
    assert "are free" in str(refused.value)
    assert "keep less: checkpoint.keep." in str(refused.value)
    assert "are free" in check_room(tmp_path, *run_in_words(config, size), "")


@pytest.mark.parametrize("loss", ["unicon", "cross_entropy"])
def test_the_query_encoder_alone_is_loaded_judged_and_exported_as_before(tmp_path, loss):
    _, _, folder = trained(tmp_path, method__loss=loss)
    images = torch.randn(4, 1, 8, 8)
    before = load_encoder(folder).features(images)
    judged = evaluate(folder)
    assert keep_encoder(folder)
    assert [path.name for path in folder.iterdir()] == ["encoder-00001.pt"]
    assert torch.equal(load_encoder(folder).features(images), before)
    assert evaluate(folder) == judged
    export_encoder(folder, tmp_path / "e.pt")
    assert not keep_encoder(folder)  # there is nothing left to do


def test_no_training_goes_on_from_an_encoder(run, copy):
    config, images, _ = run
    keep_encoder(copy)
    with pytest.raises(DataError, match="has the query encoder only"):
        run_loop(config, images, Session(copy), copy / "encoder-00001.pt")


def test_of_losers_none_nothing_stays_and_the_sentence_says_so(copy, tmp_path):
    assert keep_encoder(copy, none=True)
    assert list(copy.iterdir()) == []
    trial = tmp_path / "sweep" / "checkpoints" / "t003"
    trial.mkdir(parents=True)
    (tmp_path / "sweep" / "sweep.yaml").write_text("")
    with pytest.raises(DataError, match=r"no checkpoint of this trial .* checkpoint\.losers"):
        load_encoder(trial)


def test_a_checkpoint_that_is_not_listed_yet_is_opened_by_its_name(copy, monkeypatch):
    path = find_checkpoint(copy)
    monkeypatch.setattr(type(path), "glob", lambda *_: iter(()))
    assert list_checkpoints(copy) == []
    assert load_newest(path, "cpu", print).epoch == 1
    assert keep_encoder(copy, path)


def test_an_export_that_finds_no_room_leaves_the_file_from_before(run, tmp_path):
    target = tmp_path / "encoder.pt"
    target.write_text("before")
    with room(100), pytest.raises(DiskFullError, match=r"no room for encoder\.pt"):
        export_encoder(run[2], target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
