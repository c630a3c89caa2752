"""Ray Data decodes in a known order, in memory and streamed, and names a damaged shard."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.loading import decode as decode_module
from raymoco.data.loading import stream as stream_module
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images, prepare_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.ray_tasks import require_free_cpu
from raymoco.data.shards.ensure import build_shards
from raymoco.data.shards.manifest import load_shards
from raymoco.data.sources.open import open_source
from raymoco.errors import ConfigError, DataError
from tests.live_sweeps import wait_until

pytestmark = pytest.mark.usefixtures("cluster")
STREAM = DataConfig(cache="stream")


def build(root):
    rng = np.random.default_rng(0)
    for name, count in (("a", 100), ("b", 100), ("unlabelled", 60)):
        (root / "in" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            (root / "in" / name / f"{i}.png").write_bytes(encode_png(pixels))
    source = open_source(DataConfig(source="folder", root=str(root / "in")))
    return build_shards(source, root / "shards", root=str(root / "in"), shard_bytes=3000)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return build(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def in_memory(cluster, shards):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raymoco.data.loading.prepare.HERE_ROWS", 0)  # Ray Data, however few they are
        return prepare_images(DataConfig(), shards)


@pytest.fixture(scope="module")
def streamed(cluster, shards):
    return prepare_images(STREAM, shards)


def opened(handle, data=STREAM, batch_size=16, rank=0, workers=1, **keys):
    return open_images(handle, data, Reader(0, batch_size, rank, workers), **keys)


def indices(images, epoch):
    return [batch.index.tolist() for batch in images.epoch(epoch)]


def test_small_data_goes_to_memory_and_large_data_is_streamed(shards, in_memory, streamed):
    assert not in_memory.streamed
    assert streamed.streamed
    assert prepare_images(DataConfig(), shards, budget_bytes=1000).streamed


def test_ray_decodes_what_this_process_decodes(shards, in_memory, streamed):
    plain = load_images(DataConfig(), shards)
    few = prepare_images(DataConfig(), shards)
    for name in ("train", "eval", "test"):
        expected = next(opened(plain).split(name, 1000))
        for handle in (in_memory, few, streamed):
            batches = list(opened(handle).split(name, 7))
            assert {len(batch.labels) for batch in batches[:-1]} <= {7}
            assert torch.equal(torch.cat([b.images for b in batches]), expected.images)
            assert torch.equal(torch.cat([b.labels for b in batches]), expected.labels)
            assert torch.equal(torch.cat([b.index for b in batches]), expected.index)


def test_the_order_in_memory_is_the_order_without_ray(shards, in_memory):
    assert indices(opened(in_memory), 1) == indices(opened(load_images(DataConfig(), shards)), 1)


def test_arrays_in_the_store_cannot_be_written_and_batches_are_copies(in_memory):
    shared = ray.get(in_memory.splits["train"].images)
    assert not shared.flags.writeable
    before = shared.copy()
    images = opened(in_memory)
    next(images.epoch(0)).images.zero_()
    next(images.split("train", 16)).images.zero_()
    assert (ray.get(in_memory.splits["train"].images) == before).all()


def test_a_streamed_epoch_has_every_image_once_in_the_same_order_again(streamed):
    first, again = indices(opened(streamed), 0), indices(opened(streamed), 0)
    assert first == again
    seen = [row for batch in first for row in batch]
    images = opened(streamed)
    assert len(seen) == len(set(seen)) == images.steps(0) * 16
    assert len(seen) + images.short_batch(0) == streamed.rows("train")
    assert indices(opened(streamed), 1) != first
    assert seen != sorted(seen)


def test_streamed_batches_hold_the_images_and_visible_labels_of_their_index(in_memory, streamed):
    data = DataConfig(cache="stream", labelled_fraction=0.4)
    everything = next(opened(in_memory).split("train", 10_000))
    images = opened(streamed, data)
    for batch in images.epoch(0):
        assert torch.equal(batch.images, everything.images[batch.index])
        assert torch.equal(batch.labels, images.visible_labels[batch.index])


def test_two_streaming_workers_share_the_images_without_overlap(streamed):
    parts = [indices(opened(streamed, rank=rank, workers=2), 0) for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == opened(streamed).steps(0)
    assert {len(batch) for part in parts for batch in part} == {8}
    one, two = ({row for batch in part for row in batch} for part in parts)
    assert not one & two
    assert len(one | two) == opened(streamed).steps(0) * 16


def test_streaming_labeled_only_gives_visible_labels_for_as_many_steps(streamed):
    data = DataConfig(cache="stream", labelled_fraction=0.2)
    images = opened(streamed, data, labeled_only=True)
    batches = list(images.epoch(0))
    assert len(batches) == opened(streamed).steps(0)
    counts = torch.cat([batch.index for batch in batches]).bincount()
    assert (counts > 0).sum() == images.visible
    assert all((batch.labels >= 0).all() for batch in batches)


def test_a_limit_streams_the_images_that_memory_holds(shards):
    limited = DataConfig(cache="stream", limit=50)
    found = [
        next(opened(handle, limited, batch_size=5).split("train", 100)).images
        for handle in (prepare_images(limited, shards), load_images(limited, shards))
    ]
    assert len(found[0]) == 50
    assert torch.equal(*found)


def test_a_worker_process_opens_what_the_driver_prepared(in_memory, streamed):
    @ray.remote(num_cpus=1)
    def epoch(handle, open_images, data):
        images = open_images(handle, data, Reader(seed=0, batch_size=16))
        return [batch.index.tolist() for batch in images.epoch(0)]

    for handle in (in_memory, streamed):
        found = ray.get(epoch.remote(handle, open_images, STREAM))
        assert found == indices(opened(handle), 0)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_streamed_ratio_is_exact_in_every_batch_of_every_worker(in_memory, streamed, workers):
    data = DataConfig(cache="stream", mix="1:3", labelled_fraction=0.3)
    everything = next(opened(in_memory).split("train", 10_000)).images
    expected = opened(load_images(data, load_shards(streamed.folder)), data, workers=workers)
    for rank in range(workers):
        images = opened(streamed, data, rank=rank, workers=workers)
        batches = list(images.epoch(2))
        assert len(batches) == images.steps(2) == expected.steps(2)
        for batch in batches:
            assert int((batch.labels >= 0).sum()) * 4 == len(batch.labels) == 16 // workers
            assert torch.equal(batch.labels, images.visible_labels[batch.index])
            assert torch.equal(batch.images, everything[batch.index])


def test_streaming_through_ray_gives_the_order_of_streaming_without(streamed):
    plain = load_images(STREAM, load_shards(streamed.folder))
    assert indices(opened(streamed), 1) == indices(opened(plain), 1)


def test_shards_built_in_parallel_are_those_built_one_by_one(shards, tmp_path):
    source = open_source(DataConfig(source="folder", root=shards.manifest.root))
    counts = []
    found = build_shards(
        source,
        tmp_path / "out",
        root=shards.manifest.root,
        shard_bytes=3000,
        parallel=True,
        advance=lambda *now: counts.append(now),
    )
    assert found.manifest.model_copy(update={"created": shards.manifest.created}) == shards.manifest
    assert counts[-1] == (260, 260)


def test_a_file_that_vanishes_during_a_parallel_build_is_named(shards, tmp_path):
    shutil.copytree(shards.manifest.root, tmp_path / "in")
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    victim = tmp_path / "in" / "a" / "5.png"

    def vanish(*_):
        victim.unlink(missing_ok=True)

    class Forgetful(type(source)):
        def entries(self):
            yield from super().entries()
            vanish()

    source.__class__ = Forgetful
    with pytest.raises(DataError, match=f"{victim}: cannot be read") as caught:
        build_shards(source, tmp_path / "out", shard_bytes=3000, parallel=True)
    assert type(caught.value) is DataError


def test_memory_stays_flat_over_epochs_at_ten_times_the_budget(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(300):
            # smooth, so that 60 KiB of pixels are a small file
            corners = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
            corners.resize((144, 144)).save(tmp_path / "in" / name / f"{i}.jpg")
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    shards = build_shards(source, tmp_path / "out", shard_bytes=200_000)
    decoded = sum(shards.rows(split) for split in ("train", "eval", "test")) * 3 * 144 * 144
    handle = prepare_images(DataConfig(), shards, budget_bytes=decoded // 10)
    assert handle.streamed

    @ray.remote(num_cpus=0)
    class Epochs:
        def __init__(self, handle, open_images):
            self.images = open_images(handle, DataConfig(), Reader(seed=0, batch_size=64))

        def epoch(self, number):
            rows = sum(len(batch.index) for batch in self.images.epoch(number))
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            own = sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
            return rows, own / 1024

    reader = Epochs.remote(handle, open_images)
    found = [ray.get(reader.epoch.remote(number)) for number in range(10)]
    ray.kill(reader)
    assert {rows for rows, _ in found} == {handle.rows("train") // 64 * 64}
    memory = [mib for _, mib in found]
    # an epoch decodes 30 MiB, so what is not let go is 210 MiB by the end
    assert min(memory[-3:]) < memory[2] + 80


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("spoil", [damage, cut_off])
def test_a_damaged_shard_is_named_in_memory_and_streamed(tmp_path, spoil):
    shards = build(tmp_path)
    streamed = prepare_images(STREAM, shards)
    victim = shards.folder / shards.shards("train")[1].path
    spoil(victim)
    with pytest.raises(DataError, match=f"{victim}: the shard is damaged") as caught:
        prepare_images(DataConfig(), shards)
    assert type(caught.value) is DataError  # Ray's wrapper would print its traceback to the user
    with pytest.raises(DataError, match=f"{victim}: the shard is damaged"):
        list(opened(streamed).epoch(0))
    with pytest.raises(DataError, match=f"{victim}: the shard is damaged"):
        list(opened(streamed).split("train", 10))


def test_more_images_than_the_store_holds_cannot_be_cached(shards, monkeypatch):
    monkeypatch.setattr("raymoco.data.loading.prepare._object_store_bytes", lambda: 100)
    with pytest.raises(ConfigError, match=r"data.cache is memory, but .* use auto or stream"):
        prepare_images(DataConfig(cache="memory"), shards)


def test_a_cluster_without_a_free_cpu_is_an_error_and_no_hang(streamed):
    @ray.remote
    class Gang:
        def ready(self):
            return True

    gang = Gang.options(num_cpus=int(ray.cluster_resources()["CPU"])).remote()
    try:
        ray.get(gang.ready.remote())
        # what Ray says of its resources comes a moment later
        wait_until(lambda: ray.available_resources().get("CPU", 0) < 1)
        with pytest.raises(DataError, match=r"CPUs of the cluster are held"):
            list(opened(streamed).epoch(0))
    finally:
        ray.kill(gang)
    require_free_cpu(wait_s=10)


def test_a_stream_that_is_left_half_way_gives_its_cpus_back(streamed):
    batches = opened(streamed).epoch(0)
    next(batches)
    batches.close()
    require_free_cpu(wait_s=10)
    assert len(indices(opened(streamed), 0)) == opened(streamed).steps(0)


def threads_ahead():
    return [thread for thread in threading.enumerate() if thread.name == "data-ahead"]


def test_the_next_epoch_is_begun_before_it_is_asked_for(streamed, monkeypatch):
    begun, decode = [], stream_module.decode_slices

    def seen(slices, *sizes):
        begun.append(sum(len(some.take) for some in slices))
        return decode(slices, *sizes)

    monkeypatch.setattr(stream_module, "decode_slices", seen)
    images = opened(streamed)
    assert len(indices(images, 0)) == images.steps(0)
    assert len(begun) == 2
    second = indices(images, 1)
    assert len(begun) == 3
    assert indices(images, 1) == second  # what was begun for epoch 2 is let go
    images.close()
    wait_until(lambda: not threads_ahead())


def test_an_epoch_of_many_chunks_is_that_of_one(streamed, monkeypatch):
    whole = indices(opened(streamed), 0)
    monkeypatch.setattr(decode_module, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(decode_module, "BUNDLE_BYTES", 500)
    assert indices(opened(streamed), 0) == whole


def test_no_more_than_two_chunks_are_decoded_ahead_of_a_slow_taker(streamed, monkeypatch):
    wait_until(lambda: not threads_ahead())  # those of loaders that nobody holds any more
    started, decode = [], decode_module._decode_chunk

    def seen(bundles, *sizes):
        started.append(len(bundles))
        return decode(bundles, *sizes)

    monkeypatch.setattr(decode_module, "_decode_chunk", seen)
    monkeypatch.setattr(decode_module, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(decode_module, "BUNDLE_BYTES", 500)
    rows = decode_module.decode_slices(streamed.splits["train"].slices, 1, 8)
    next(rows)
    time.sleep(1)
    assert len(started) == 2
    assert len(list(rows)) > 2
    assert len(started) > 4


def test_epochs_one_after_another_are_those_read_apart(streamed):
    images = opened(streamed)
    apart = [indices(opened(streamed), epoch) for epoch in range(3)]
    assert [indices(images, epoch) for epoch in range(3)] == apart
    images.close()


def test_nothing_is_read_ahead_beyond_the_last_epoch(streamed):
    reader = Reader(0, 16, epochs=1)
    images = open_images(streamed, STREAM, reader)
    assert len(indices(images, 0)) == images.steps(0)
    assert not threads_ahead()


def test_splits_are_read_while_an_epoch_is_begun(streamed):
    images = opened(streamed)
    indices(images, 0)
    read = sum(len(batch.index) for batch in images.split("train", 32))
    assert read == sum(len(some.take) for some in streamed.splits["train"].slices)
    images.close()
