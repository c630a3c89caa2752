"""Cells are paired by seed: what a cell does not change is the same in all of them."""

import pytest
import torch

from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.ssl import build_method
from tests.small import small_run

BASE = small_run(data__limit=160, data__labelled_fraction=0.3)
CELLS = [
    {},
    {"method.loss": "info_nce"},
    {"method.queue_size": 64},
    {"method.key_momentum": 0.9},
    {"method.cross_consistency.weight": 1.0},
    {"method.temperature": 0.2},
    {"optim.lr": 0.1},
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(BASE.data, ensure_shards(BASE.data, tmp_path_factory.mktemp("shards")))


def start_of(images, values, seed):
    """Initial weights of the encoders, order of the first epoch, visible labels."""
    config = BASE.with_values({**values, "seed": seed})
    opened = open_images(images, config.data, Reader(seed=config.seed, batch_size=64))
    module = build_method(
        config.model,
        config.method,
        channels=1,
        image_size=opened.image_size,
        classes=len(opened.classes),
        seed=config.seed,
    )
    weights = {name: value for name, value in module.state_dict().items() if "queue" not in name}
    batches = list(opened.epoch(0))
    order = torch.cat([batch.images for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    return weights, order, labels


@pytest.mark.parametrize("values", CELLS[1:], ids=lambda values: next(iter(values)))
def test_one_seed_gives_every_cell_the_same_weights_order_and_labels(images, values):
    weights, order, labels = start_of(images, {}, seed=3)
    found = start_of(images, values, seed=3)
    assert found[0].keys() == weights.keys()
    assert all(torch.equal(found[0][name], weights[name]) for name in weights)
    assert torch.equal(found[1], order)
    assert torch.equal(found[2], labels)
    assert 0 < int((labels >= 0).sum()) < len(labels)


def test_another_seed_gives_others(images):
    weights, order, labels = start_of(images, {}, seed=3)
    found = start_of(images, {}, seed=4)
    assert not all(torch.equal(found[0][name], weights[name]) for name in weights)
    assert not torch.equal(found[1], order)
    assert not torch.equal(found[2], labels)
