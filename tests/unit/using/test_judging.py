"""A trained run, judged again from its checkpoint."""

import pytest

from raymoco import evaluate
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import DataError
from tests.small import small_run


def train(folder, **changes):
    half = {"data__labelled_fraction": 0.5} | changes
    config = small_run(output=str(folder), epochs=1, eval__linear__epochs=2, **half)
    images = load_images(config.data, ensure_shards(config.data, folder))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    return run_loop(config, images, Session(folder / "one"))


@pytest.mark.parametrize("mix", ["natural", "1:7"])
def test_a_run_is_judged_as_it_was_at_its_end(tmp_path, mix):
    row = train(tmp_path, data__mix=mix)
    found = evaluate(tmp_path / "one")
    assert found == {name: value for name, value in row.items() if name.startswith("test/")}


def test_a_run_on_images_without_labels_cannot_be_judged(tmp_path):
    from PIL import Image

    source = tmp_path / "images" / "unlabelled"
    source.mkdir(parents=True)
    for number in range(120):
        Image.new("L", (8, 8), number * 2).save(source / f"{number}.png")
    train(
        tmp_path,
        data__source="folder",
        data__root=str(source.parent),
        data__image_size=8,
        data__labelled_fraction=0,
    )
    with pytest.raises(DataError, match="have no labels to judge by"):
        evaluate(tmp_path / "one")
