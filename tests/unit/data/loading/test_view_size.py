"""`data.view_size`: whole photographs for views, the published center for what judges."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as tv

from raymoco import evaluate, load_encoder
from raymoco.config import DataConfig, load_run_config
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import build_shards, ensure_shards
from raymoco.data.sources.open import open_source
from raymoco.data.views.whole import aspects, canvas_shape
from raymoco.engine.check_choices import check_choices
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import ConfigError
from tests.small import small_run

SIZES = {"image_size": 40, "view_size": 32}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for number in range(60):
            small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            size = (90, 60) if number % 2 else (60, 90)
            image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
            image.save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def shards(photographs, tmp_path_factory):
    source = open_source(DataConfig(source="folder", root=str(photographs)))
    return build_shards(source, tmp_path_factory.mktemp("shards") / "s", parallel=False)


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_views_get_whole_photographs_and_judges_the_published_center(shards, photographs, cache):
    data = DataConfig(cache=cache, **SIZES)
    handle = load_images(data, shards)
    images = open_images(handle, data, Reader(seed=0, batch_size=16))
    assert (images.image_size, images.view_size) == (40, 32)
    drawn = [batch.images for batch in images.epoch(0)]
    assert {tuple(batch.shape[1:]) for batch in drawn} == {(3, *canvas_shape(40))}
    found = {round(aspect, 2) for batch in drawn for aspect in aspects(batch).tolist()}
    assert found == {1.5, 0.67}
    whole = next(iter(images.split("eval", 99, whole=True))).images
    assert tuple(whole.shape[1:]) == (3, *canvas_shape(40))
    centers = torch.cat([batch.images for batch in images.split("test", 99)])
    assert tuple(centers.shape[1:]) == (3, 32, 32)
    published = []
    for path in photographs.glob("*/*.png"):
        resized = tv.resize(Image.open(path), 40, Image.Resampling.BICUBIC)
        published.append(torch.from_numpy(np.asarray(tv.center_crop(resized, 32)).copy()))
    candidates = torch.stack(published).permute(0, 3, 1, 2).int()
    for center in centers.int():
        # the same image is among them, to the rounding of where the crop begins
        assert (candidates - center).abs().float().mean((1, 2, 3)).min() < 8


def test_without_a_view_size_nothing_is_different(shards):
    data = DataConfig(image_size=40)
    handle = load_images(data, shards)
    images = open_images(handle, data, Reader(seed=0, batch_size=16))
    assert handle.image_bytes == 3 * 40 * 40
    assert images.view_size == 40
    batch = next(images.epoch(0))
    split = torch.cat([part.images for part in images.split("train", 99)])
    assert torch.equal(batch.images, split[batch.index])


def test_the_budget_counts_both_forms(shards):
    handle = load_images(DataConfig(**SIZES), shards)
    held = sum(
        array.nbytes
        for split in handle.splits.values()
        for array in (split.images, split.wholes)
        if array is not None
    )
    assert handle.decoded_bytes == held
    assert handle.splits["test"].wholes is None


def test_a_run_on_whole_photographs_trains_and_is_evaluated_again(photographs, tmp_path):
    config = small_run(
        data__source="folder",
        data__root=str(photographs),
        data__image_size=40,
        data__view_size=32,
        optim__batch_size=16,
        method__queue_size=16,
        eval__linear__epochs=2,
        epochs=1,
        output=str(tmp_path),
    )
    built = ensure_shards(config.data, tmp_path)
    handle = load_images(config.data, built)
    resolved = resolve(config, channels=3, train_images=handle.rows("train"))
    folder = tmp_path / resolved.run_name
    rows = []
    run_loop(
        resolved,
        handle,
        Session(folder / "checkpoints", on_report=lambda row, _: rows.append(row)),
    )
    assert rows[-1]["eval/alignment"] > 0
    again = evaluate(folder)
    assert again["test/knn_top1"] == rows[-1]["test/knn_top1"]
    assert load_encoder(folder).features(torch.zeros(1, 3, 32, 32)).shape[0] == 1


def test_what_cannot_be_is_refused_with_both_sizes(shards):
    with pytest.raises(ConfigError, match=r"data.view_size is 64, but must be at most data.image_"):
        load_run_config("digits", ["data.image_size=40", "data.view_size=64"])
    digits = load_run_config("digits", ["data.view_size=9"])
    with pytest.raises(ConfigError, match=r"data.view_size is 9, but must be at most .* 8"):
        load_images(digits.data, ensure_shards(digits.data, shards.folder.parent))
    handle = load_images(DataConfig(image_size=40), shards)
    with pytest.raises(ConfigError, match=r"data.view_size is 32, but the images were prepared"):
        open_images(handle, DataConfig(**SIZES), Reader(seed=0, batch_size=16))


class Squares:
    """Somebody's views, which do not say that they take whole photographs."""

    def __init__(self, channels, image_size, mean, std): ...

    def __call__(self, images): ...

    def to_pixels(self, views): ...


def test_somebodys_views_get_squares_only():
    config = load_run_config("digits").with_values({"data.views": f"{__name__}:Squares"})
    check_choices(config)
    with pytest.raises(ConfigError, match=r"data.view_size is set, but data.views is tests.unit"):
        check_choices(config.with_values({"data.view_size": 6}))


@pytest.mark.parametrize("preset", ["imagenet_moco_v2", "imagenet_unimoco"])
def test_the_imagenet_presets_crop_and_judge_as_published(preset):
    data = load_run_config(preset).data
    assert (data.image_size, data.view_size) == (256, 224)
