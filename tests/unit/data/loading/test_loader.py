"""Order, shares and labels of batches, with the images in memory and no Ray."""

import functools
import hashlib
import operator
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.memory import MemoryLoader
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.shuffle_buffer import ShuffleBuffer, prefetch, rebatched
from raymoco.data.loading.stream import StreamLoader
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import build_shards
from raymoco.data.shards.manifest import load_shards
from raymoco.data.shards.row_groups import DecodedRows, RowGroupSlice, cut_slices
from raymoco.data.sources.open import open_source
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


def opened(handle, seed=0, batch_size=16, rank=0, workers=1, labeled_only=False, **keys):
    reader = Reader(seed, batch_size, rank, workers)
    return open_images(handle, DataConfig(**keys), reader, labeled_only=labeled_only)


def test_every_image_comes_once_an_epoch_but_for_the_short_batch(handle):
    images = opened(handle)
    seen = functools.reduce(operator.iadd, indices(images, 0), [])
    assert len(seen) == len(set(seen)) == images.steps(0) * 16
    assert len(seen) + images.short_batch(0) == handle.rows("train")
    assert 0 < images.short_batch(0) < 16


def test_no_eval_or_test_image_is_ever_trained_on(either):
    held_out = {
        image.numpy().tobytes()
        for name in ("eval", "test")
        for batch in opened(either).split(name, 64)
        for image in batch.images
    }
    trained = {i.numpy().tobytes() for b in opened(either, batch_size=1).epoch(0) for i in b.images}
    assert len(held_out) == either.rows("eval") + either.rows("test")
    assert len(trained) == either.rows("train")
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


def test_labeled_only_cycles_the_visible_images_for_as_many_steps(handle):
    full = opened(handle, labelled_fraction=0.2)
    some = opened(handle, labelled_fraction=0.2, labeled_only=True)
    batches = list(some.epoch(0))
    assert len(batches) == full.steps(0) == some.steps(0)
    labels = torch.cat([batch.labels for batch in batches])
    assert (labels >= 0).all()
    counts = torch.cat([batch.index for batch in batches]).bincount()
    used = counts[counts > 0]
    assert len(used) == some.visible
    assert used.max() - used.min() <= 1


def test_labeled_only_without_a_visible_label_is_refused(handle):
    with pytest.raises(DataError, match=r"no training image has a visible label"):
        opened(handle, labelled_fraction=0.0, labeled_only=True)


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
    with pytest.raises(ConfigError, match=r"data.limit is 5, but .* None .* cannot vary"):
        opened(handle, limit=5)
    with pytest.raises(ConfigError, match=r"data.image_size is 16, but .* 8 .* cannot vary"):
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
    images = open_images(load_images(data, shards), data, Reader(seed=0, batch_size=4))
    assert next(images.epoch(0)).images.shape == (4, 1, 6, 6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 5))
def test_cut_slices_share_all_rows_evenly(sizes, workers):
    ends = np.cumsum(sizes)
    slices = [
        RowGroupSlice("x", 0, "", 0, int(n), np.arange(n), np.arange(end - n, end))
        for n, end in zip(sizes, ends, strict=True)
    ]
    share = int(ends[-1]) // workers
    parts = [
        np.concatenate([p.index for p in cut_slices(slices, r * share, (r + 1) * share)] or [[]])
        for r in range(workers)
    ]
    assert [len(part) for part in parts] == [share] * workers
    assert np.concatenate(parts).tolist() == list(range(share * workers))


def decoded_in(sizes):
    first = 0
    for size in sizes:
        index = np.arange(first, first + size)
        yield DecodedRows(index.astype(np.uint8)[:, None], index, index)
        first += size


def shuffled(sizes, batch_size, rows):
    buffer, found = ShuffleBuffer(np.random.default_rng(3), batch_size, rows), []
    for decoded in decoded_in(sizes):
        buffer.add(decoded)
        while buffer.ready:
            found.append(buffer.draw())
    buffer.close()
    while buffer.ready:
        found.append(buffer.draw())
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 50))
def test_a_shuffle_buffer_loses_and_repeats_nothing_however_the_rows_come(sizes, batch_size, rows):
    found = shuffled(sizes, batch_size, rows)
    index = np.concatenate([decoded.index for decoded in found])
    assert sorted(index) == list(range(sum(sizes)))
    assert all((got.images[:, 0] == got.index % 256).all() for got in found)
    assert all(len(decoded.index) == batch_size for decoded in found[:-1])
    others = (
        shuffled([sum(sizes)], batch_size, rows),
        shuffled([1] * sum(sizes), batch_size, rows),
    )
    for other in others:
        assert [decoded.index.tolist() for decoded in other] == [c.index.tolist() for c in found]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 40))
def test_rebatching_keeps_the_order(sizes, batch_size):
    found = list(rebatched(decoded_in(sizes), batch_size))
    assert np.concatenate([decoded.index for decoded in found]).tolist() == list(range(sum(sizes)))
    assert {len(decoded.index) for decoded in found[:-1]} <= {batch_size}


def test_what_is_made_ahead_is_bounded_and_ends_with_its_taker():
    made, closed = [], []

    def numbers():
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    items = prefetch(numbers(), 2)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert len(made) <= 5 + 2 + 1 + 1
    assert closed == [True]


def test_an_error_in_the_background_is_raised_where_its_item_would_come():
    def numbers():
        yield 1
        raise DataError("gone")

    items = prefetch(numbers(), 2)
    assert next(items) == 1
    with pytest.raises(DataError, match="gone"):
        next(items)


@pytest.fixture(scope="module")
def streamed(shards):
    return load_images(DataConfig(cache="stream"), shards)


@pytest.fixture(params=["memory", "stream"])
def either(request, handle, streamed):
    return handle if request.param == "memory" else streamed


def parts_of(images_handle, epoch, workers, **keys):
    return [
        indices(opened(images_handle, rank=rank, workers=workers, **keys), epoch)
        for rank in range(workers)
    ]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_image_comes_once_at_any_number_of_workers(either, workers):
    parts = parts_of(either, 1, workers)
    images = opened(either)
    assert {len(part) for part in parts} == {images.steps(1)}
    assert {len(batch) for part in parts for batch in part} == {16 // workers}
    seen = [row for part in parts for batch in part for row in batch]
    assert len(seen) == len(set(seen)) == images.steps(1) * 16
    assert len(seen) + images.short_batch(1) == either.rows("train")
    assert parts == parts_of(either, 1, workers)
    assert parts != parts_of(either, 2, workers)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(("mix", "fraction"), [("1:3", 0.1), ("1:3", 0.8), ("3:1", 0.5)])
def test_the_ratio_is_exact_in_every_batch_of_every_worker(either, workers, mix, fraction):
    one, other = map(int, mix.split(":"))
    keys = {"mix": mix, "labelled_fraction": fraction}
    counts = np.zeros(either.rows("train"), dtype=int)
    first = opened(either, **keys)
    for rank in range(workers):
        images = opened(either, rank=rank, workers=workers, **keys)
        assert images.steps(0) == first.steps(0)
        batches = list(images.epoch(0))
        assert len(batches) == first.steps(0)
        for batch in batches:
            assert len(batch.labels) == 16 // workers
            assert int((batch.labels >= 0).sum()) * other == int((batch.labels < 0).sum()) * one
            assert torch.equal(batch.labels, images.visible_labels[batch.index])
            counts += np.bincount(batch.index.numpy(), minlength=len(counts))
    visible = first.visible_labels.numpy() >= 0
    strata = sorted((counts[visible], counts[~visible]), key=lambda stratum: stratum.mean())
    assert strata[0].max() == 1  # the stratum that lasts longest: each at most once
    assert (strata[0] == 0).sum() == first.short_batch(0)
    assert strata[1].min() >= 1
    assert strata[1].max() - strata[1].min() <= 1  # the other one is cycled evenly


def test_a_mixed_order_repeats_after_reopening_and_changes_with_the_epoch(either):
    keys = {"mix": "1:3", "labelled_fraction": 0.3}
    assert parts_of(either, 2, 2, **keys) == parts_of(either, 2, 2, **keys)
    assert parts_of(either, 2, 2, **keys) != parts_of(either, 3, 2, **keys)


def test_the_strata_of_a_batch_are_not_its_halves(either):
    images = opened(either, mix="1:1", labelled_fraction=0.5)
    batches = list(images.epoch(0))
    assert any((batch.labels[:8] >= 0).any() and (batch.labels[8:] >= 0).any() for batch in batches)


def test_streamed_batches_hold_the_images_of_their_index(handle, streamed):
    everything = next(opened(handle).split("train", 10_000))
    for keys in ({}, {"mix": "1:3", "labelled_fraction": 0.3}):
        for batch in opened(streamed, **keys).epoch(0):
            assert torch.equal(batch.images, everything.images[batch.index])


def test_labeled_only_with_a_ratio_takes_as_many_steps_as_the_ratio(either):
    keys = {"mix": "1:3", "labelled_fraction": 0.3}
    only = opened(either, labeled_only=True, **keys)
    batches = list(only.epoch(0))
    assert len(batches) == only.steps(0) == opened(either, **keys).steps(0)
    assert all((batch.labels >= 0).all() for batch in batches)


def test_a_ratio_that_does_not_divide_the_batch_of_a_worker_is_refused(handle):
    with pytest.raises(
        ConfigError,
        match=r"1:7, so .* a multiple of 8, but optim.batch_size 24 over 2 workers is 12",
    ):
        opened(handle, mix="1:7", batch_size=24, workers=2)


def test_a_ratio_needs_both_strata(handle, tmp_path):
    with pytest.raises(DataError, match=r"1:1, but none of the .* has a visible label"):
        opened(handle, mix="1:1", labelled_fraction=0.0)
    for name in "ab":
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(40):
            pixels = np.full((8, 8), i, np.uint8)
            (tmp_path / "in" / name / f"{i}.png").write_bytes(encode_png(pixels))
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    labelled = load_images(DataConfig(), build_shards(source, tmp_path / "out"))
    with pytest.raises(DataError, match=r"1:1, but none of the .* is without one"):
        opened(labelled, mix="1:1")


def delete(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def replace_by_the_next(path):
    path.write_bytes(path.with_name("train-00002.parquet").read_bytes())


@pytest.mark.parametrize("spoil", [delete, cut_off, replace_by_the_next])
def test_a_shard_that_is_spoilt_between_epochs_is_named(shards, tmp_path, spoil):
    shutil.copytree(shards.folder, tmp_path / "copy")
    copy = load_shards(tmp_path / "copy")
    data = DataConfig(cache="stream")
    images = opened(load_images(data, copy))
    assert len(indices(images, 0)) == images.steps(0)
    victim = copy.folder / "labelled/train-00001.parquet"
    spoil(victim)
    with pytest.raises(DataError, match=f"{victim}: the shard is damaged"):
        list(images.epoch(1))
    with pytest.raises(DataError, match=f"{victim}"):
        load_images(data, load_shards(copy.folder))


# of version 0.1: SHA-256 of rows, labels and pixels of three epochs on each worker in turn
GOLDEN = {
    ("memory", "natural", False, 1): "03a04108e9a38f23",
    ("memory", "natural", False, 2): "086f32c7683ba4fc",
    ("memory", "1:7", False, 1): "d345747be9865b4c",
    ("memory", "1:7", False, 2): "4e8fb1c7a21c6948",
    ("memory", "natural", True, 2): "0bad8676a5a046ee",
    ("memory", "1:7", True, 2): "275d384f29cea284",
    ("stream", "natural", False, 1): "bf940794429ffc92",
    ("stream", "natural", False, 2): "e15cf4ac34a9f2de",
    ("stream", "1:7", False, 1): "b6b330bc97060c6e",
    ("stream", "1:7", False, 2): "0335b39a60a90695",
    ("stream", "natural", True, 2): "1f4dab3bbf0f5216",
    ("stream", "1:7", True, 2): "31c4a9b73f5e56a9",
}


@pytest.mark.parametrize(("cache", "mix", "labeled_only", "workers"), GOLDEN)
def test_the_batches_are_those_of_version_0_1(handle, streamed, cache, mix, labeled_only, workers):
    images = {"memory": handle, "stream": streamed}[cache]
    fraction = 0.3 if labeled_only or mix != "natural" else 1.0
    keys = {"mix": mix, "labelled_fraction": fraction, "labeled_only": labeled_only}
    found = hashlib.sha256()
    for rank in range(workers):
        loader = opened(images, seed=3, rank=rank, workers=workers, **keys)
        for epoch in range(3):
            found.update(f"{loader.steps(epoch)} {loader.short_batch(epoch)}".encode())
            for batch in loader.epoch(epoch):
                for tensor in (batch.index, batch.labels, batch.images):
                    found.update(tensor.numpy().tobytes())
    assert found.hexdigest()[:16] == GOLDEN[cache, mix, labeled_only, workers]


def test_decoded_images_are_read_from_memory_and_large_data_is_streamed(handle, streamed):
    assert type(opened(handle)) is MemoryLoader
    assert type(opened(streamed)) is StreamLoader
