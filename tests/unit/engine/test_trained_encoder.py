"""A trained run, judged again from its checkpoint."""

import pytest

from raymoco import evaluate
from raymoco.config import load_run_config
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import DataError

SMALL = (
    "data.limit=200", "data.labelled_fraction=0.5", "model.width=4", "optim.batch_size=64",
    "method.queue_size=32", "epochs=1", "eval.linear.epochs=2",
)  # fmt: skip


def train(folder, *overrides):
    config = load_run_config("digits", [f"output={folder}", *SMALL, *overrides])
    images = load_images(config.data, ensure_shards(config.data, folder))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    return run_loop(config, images, Session(folder / "one"))


@pytest.mark.parametrize("mix", ["natural", "1:7"])
def test_a_run_is_judged_as_it_was_at_its_end(tmp_path, mix):
    row = train(tmp_path, f"data.mix={mix}")
    found = evaluate(tmp_path / "one")
    assert found == {name: value for name, value in row.items() if name.startswith("test/")}


def test_a_run_on_images_without_labels_cannot_be_judged(tmp_path):
    from PIL import Image

    source = tmp_path / "images" / "unlabelled"
    source.mkdir(parents=True)
    for number in range(120):
        Image.new("L", (8, 8), number * 2).save(source / f"{number}.png")
    train(
        tmp_path, "data.source=folder", f"data.root={source.parent}", "data.image_size=8",
        "data.labelled_fraction=0",
    )  # fmt: skip
    with pytest.raises(DataError, match="have no labels to judge by"):
        evaluate(tmp_path / "one")
