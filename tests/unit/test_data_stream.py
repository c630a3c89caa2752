"""Order, shares and labels of batches, with the images in memory and no Ray."""

import functools
import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.pieces import Chunk, Piece, cut_pieces
from raymoco.data.shards import build_shards
from raymoco.data.sources import open_source
from raymoco.data.stream import load_images, open_images, shuffled
from raymoco.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, count in (("a", 100), ("b", 100), ("unlabelled", 40)):
        (root / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            (root / name / f"{i}.png").write_bytes(encode_png(pixels))
    source = open_source(DataConfig(source="folder", root=str(root)))
    return build_shards(source, root.parent / "shards", shard_bytes=3000)


@pytest.fixture(scope="module")
def handle(shards):
    return load_images(DataConfig(), shards)


def indices(images, epoch):
    return [batch.index.tolist() for batch in images.epoch(epoch)]


def opened(handle, seed=0, batch_size=16, rank=0, workers=1, labelled_only=False, **keys):
    return open_images(
        handle,
        DataConfig(**keys),
        seed=seed,
        batch_size=batch_size,
        rank=rank,
        workers=workers,
        labelled_only=labelled_only,
    )


def test_every_image_comes_once_an_epoch_but_for_the_short_batch(handle):
    images = opened(handle)
    seen = functools.reduce(operator.iadd, indices(images, 0), [])
    assert len(seen) == len(set(seen)) == images.steps(0) * 16
    assert len(seen) + images.short_batch(0) == handle.rows("train")
    assert 0 < images.short_batch(0) < 16


def test_no_eval_or_test_image_is_ever_trained_on(handle):
    held_out = {
        image.numpy().tobytes()
        for name in ("eval", "test")
        for batch in opened(handle).split(name, 64)
        for image in batch.images
    }
    trained = {i.numpy().tobytes() for b in opened(handle, batch_size=1).epoch(0) for i in b.images}
    assert len(held_out) == handle.rows("eval") + handle.rows("test")
    assert len(trained) == handle.rows("train")
    assert not held_out & trained


def test_the_order_repeats_after_reopening_and_changes_with_epoch_and_seed(handle):
    assert indices(opened(handle), 3) == indices(opened(handle), 3)
    assert indices(opened(handle), 3) != indices(opened(handle), 4)
    assert indices(opened(handle), 3) != indices(opened(handle, seed=1), 3)


def test_hiding_labels_does_not_change_the_order(handle):
    assert indices(opened(handle), 0) == indices(opened(handle, labelled_fraction=0.1), 0)


@pytest.mark.parametrize("workers", [2, 4])
def test_the_parts_of_all_workers_are_the_batches_of_one(handle, workers):
    whole = indices(opened(handle), 2)
    parts = [indices(opened(handle, rank=r, workers=workers), 2) for r in range(workers)]
    assert [
        functools.reduce(operator.iadd, batch, []) for batch in zip(*parts, strict=True)
    ] == whole


def test_batches_hold_the_images_and_labels_of_their_index(handle):
    images = opened(handle, labelled_fraction=0.5)
    everything = next(images.split("train", 10_000))
    for batch in images.epoch(0):
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (16, 1, 8, 8)
        assert torch.equal(batch.images, everything.images[batch.index])
        assert torch.equal(batch.labels, images.visible_labels[batch.index])
    assert images.visible == (images.visible_labels >= 0).sum() < (everything.labels >= 0).sum()


def test_batches_are_copies_of_an_array_that_nobody_can_write(handle):
    assert not handle.splits["train"].images.flags.writeable
    images = opened(handle)
    before = next(images.split("train", 32)).images.clone()
    for batch in (next(images.epoch(0)), next(images.split("train", 32))):
        batch.images.zero_()
        batch.labels.zero_()
    assert torch.equal(next(images.split("train", 32)).images, before)


def test_splits_come_in_a_fixed_order_with_true_labels(handle):
    images = opened(handle, labelled_fraction=0.0)
    batches = list(images.split("eval", 8))
    assert sum(len(batch.labels) for batch in batches) == handle.rows("eval")
    assert torch.cat([b.index for b in batches]).tolist() == list(range(handle.rows("eval")))
    assert set(torch.cat([b.labels for b in batches]).tolist()) == {0, 1}
    assert -1 in torch.cat([b.labels for b in images.split("train", 64)])


def test_labelled_only_cycles_the_visible_images_for_as_many_steps(handle):
    full = opened(handle, labelled_fraction=0.2)
    some = opened(handle, labelled_fraction=0.2, labelled_only=True)
    batches = list(some.epoch(0))
    assert len(batches) == full.steps(0) == some.steps(0)
    labels = torch.cat([batch.labels for batch in batches])
    assert (labels >= 0).all()
    counts = torch.cat([batch.index for batch in batches]).bincount()
    used = counts[counts > 0]
    assert len(used) == some.visible
    assert used.max() - used.min() <= 1


def test_labelled_only_without_a_visible_label_is_refused(handle):
    with pytest.raises(DataError, match=r"no training image has a visible label"):
        opened(handle, labelled_fraction=0.0, labelled_only=True)


def test_a_limit_takes_the_same_images_each_time_and_a_larger_one_contains_it(shards):
    def pixels(limit):
        handle = load_images(DataConfig(limit=limit), shards)
        found = [b.images for b in opened(handle, batch_size=8, limit=limit).split("train", 50)]
        return {image.numpy().tobytes() for image in torch.cat(found)}

    assert len(pixels(40)) == 40
    assert pixels(40) == pixels(40)
    assert pixels(40) < pixels(80)


def test_a_batch_that_no_epoch_can_fill_is_refused(handle):
    with pytest.raises(ConfigError, match=r"batch_size is 1000, but must be at most"):
        opened(handle, batch_size=1000)
    with pytest.raises(ConfigError, match=r"must be a multiple of 3 workers"):
        opened(handle, workers=3)


def test_another_image_size_or_limit_than_prepared_is_refused(handle):
    with pytest.raises(ConfigError, match=r"were prepared with 8 and None"):
        opened(handle, limit=5)
    with pytest.raises(ConfigError, match=r"were prepared with 8 and None"):
        opened(handle, image_size=16)


def test_images_of_different_sizes_need_an_image_size(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(100):
        path = tmp_path / "in" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(rng.integers(0, 256, (8, 8 + i % 3), dtype=np.uint8)))
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    shards = build_shards(source, tmp_path / "out")
    assert shards.image_size is None
    with pytest.raises(ConfigError, match=r"data.image_size is null, but .* of different sizes"):
        load_images(DataConfig(), shards)
    data = DataConfig(image_size=6)
    images = open_images(load_images(data, shards), data, seed=0, batch_size=4)
    assert next(images.epoch(0)).images.shape == (4, 1, 6, 6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 5))
def test_cut_pieces_share_all_rows_evenly(sizes, workers):
    ends = np.cumsum(sizes)
    pieces = [
        Piece("x", 0, 0, int(n), np.arange(n), np.arange(end - n, end))
        for n, end in zip(sizes, ends, strict=True)
    ]
    share = int(ends[-1]) // workers
    parts = [
        np.concatenate([p.index for p in cut_pieces(pieces, r * share, (r + 1) * share)] or [[]])
        for r in range(workers)
    ]
    assert [len(part) for part in parts] == [share] * workers
    assert np.concatenate(parts).tolist() == list(range(share * workers))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 50))
def test_a_window_loses_and_repeats_nothing_however_the_chunks_come(sizes, batch_size, window):
    def chunks():
        first = 0
        for size in sizes:
            index = np.arange(first, first + size)
            yield Chunk(index.astype(np.uint8), index, index)
            first += size

    def batches():
        return list(shuffled(chunks(), np.random.default_rng(3), batch_size, window))

    assert sorted(np.concatenate([b.index for b in batches()])) == list(range(sum(sizes)))
    assert all(len(b.index) == batch_size for b in batches()[:-1])
    assert all((a.index == b.index).all() for a, b in zip(batches(), batches(), strict=True))
