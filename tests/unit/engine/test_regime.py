"""The regime of a run, by hand and against the loaders and the queue that it describes."""

import math

import numpy as np
import pytest

from raymoco.config import RunConfig
from raymoco.data.loading.sampling import Stratum, batch_rows, epoch_generator
from raymoco.engine.regime import TrainImages, regime
from raymoco.engine.regime_advice import SLOW, advice, regime_warning
from raymoco.errors import DataError

EQUAL = TrainImages(1280, (128.0,) * 10)


def config(**values):
    start = {"epochs": 20, "optim.batch_size": 256, "method.queue_size": 256}
    return RunConfig().with_values(start | {k.replace("__", "."): v for k, v in values.items()})


def test_a_hundred_steps_leave_37_percent_of_the_key_encoder():
    found = regime(config(), EQUAL)
    assert (found.epoch_steps, found.steps) == (5, 100)
    assert found.first_weights == pytest.approx(0.99**100)  # 0.366
    assert (found.fills, found.oldest, found.oldest_epochs) == (100, 1, 0.2)
    # every image is labeled, and each of ten classes has a tenth of the queue
    assert found.positives == pytest.approx(25.6)


def test_an_incomplete_batch_is_no_step():
    assert regime(config(), TrainImages(1535)).epoch_steps == 5
    assert regime(config(scale__workers=2), TrainImages(1536)).epoch_steps == 6


def test_changes_of_the_momentum_count_from_their_epoch():
    changes = {0: {"method.key_momentum": 0.9}, 2: {"optim.lr": 0.1}, 4: {"method.key_momentum": 1}}
    found = regime(config(epochs=6, changes=changes), EQUAL)
    assert found.first_weights == pytest.approx(0.9 ** (4 * 5))


def test_symmetric_runs_fill_the_queue_twice_as_fast():
    found = regime(config(method__symmetric=True, method__queue_size=1024), EQUAL)
    assert (found.oldest, found.fills) == (2, 50)


@pytest.mark.parametrize(
    ("mix", "labels", "steps", "positives"),
    [
        ("natural", 0.25, 5, 256 * 0.25 / 10),
        # 320 images of 1,280 have a label: 128 in a batch of 256; the others decide, 960 // 128
        ("1:1", 0.25, 7, 256 * 0.5 / 10),
        # 64 in a batch: the labeled ones last 320 // 64 steps, the others 960 // 192
        ("1:3", 0.25, 5, 256 * 0.25 / 10),
    ],
)
def test_the_mix_decides_steps_and_positives(mix, labels, steps, positives):
    found = regime(config(data__mix=mix, data__labelled_fraction=labels), EQUAL)
    assert found.epoch_steps == steps
    assert found.positives == pytest.approx(positives)


def test_unequal_classes_give_more_positives():
    # two labeled images are of one class with 0.75^2 + 0.25^2 = 0.625
    found = regime(config(), TrainImages(1280, (960.0, 320.0)))
    assert found.positives == pytest.approx(256 * 0.625)


def test_what_a_loss_does_not_have_is_not_told():
    supervised = regime(config(method__loss="cross_entropy"), EQUAL)
    assert supervised.steps == 100
    assert supervised.first_weights is None
    assert supervised.fills is None
    assert supervised.oldest_epochs is None
    assert supervised.facts[1] == ("key encoder", "none: this loss has neither keys nor a queue")
    assert regime_warning(config(method__loss="cross_entropy"), EQUAL) is None
    assert regime(config(method__loss="info_nce"), EQUAL).positives is None
    assert regime(config(data__labelled_fraction=0), EQUAL).positives is None
    assert regime(config(), TrainImages(1280)).positives is None


def test_a_label_list_is_counted(tmp_path):
    listed = tmp_path / "labels.txt"
    listed.write_text("".join(f"image-{n}\n" for n in range(320)))
    found = regime(config(data__labelled_list=str(listed)), EQUAL)
    assert found.positives == pytest.approx(25.6 / 4)


def test_a_mix_without_labels_is_refused_as_by_the_loaders():
    with pytest.raises(DataError, match=r"none of the 1280 training images has a visible label"):
        regime(config(data__mix="1:1", method__loss="info_nce", data__labelled_fraction=0), EQUAL)


def share_of_the_loaders(strata, steps, queue):
    """Go through many epochs in the loaders' order, with the images of the keys, newest last."""
    met = seen = 0
    held = np.full(queue, -1)
    for epoch in range(300):
        for rows in batch_rows(strata, steps, 0, 1, epoch_generator(0, epoch)):
            if epoch > 2:
                met, seen = met + np.isin(rows, held).sum(), seen + len(rows)
            held = np.concatenate([held, rows])[-queue:]
    return met / seen


@pytest.mark.parametrize("images", [640, 700])  # with 700 an epoch leaves 60 out
@pytest.mark.parametrize("queue", [64, 160, 416, 640])
def test_the_share_that_meets_its_own_key_is_that_of_the_loaders_order(images, queue):
    strata = (Stratum(np.arange(images), 64),)
    found = regime(config(optim__batch_size=64, method__queue_size=queue), TrainImages(images))
    # a long queue also holds keys of two epochs ago, of images that an epoch left out
    near = 0.02 if queue == 640 else 0.006
    there = share_of_the_loaders(strata, found.epoch_steps, queue)
    assert found.own_key == pytest.approx(there, abs=near)


def test_a_small_stratum_that_comes_often_meets_itself_often():
    strata = (Stratum(np.arange(160), 32), Stratum(np.arange(160, 640), 32))
    values = {"data__mix": "1:1", "optim__batch_size": 64, "method__queue_size": 256}
    found = regime(config(data__labelled_fraction=0.25, **values), TrainImages(640, (320.0,) * 2))
    assert found.epoch_steps == 15
    # 4 steps reach 10 of 25 pairs of the labeled images, which come every 5 steps, and 10 of 225
    assert found.own_key == pytest.approx((10 / 25 + 10 / 225) / 2)
    assert found.own_key == pytest.approx(share_of_the_loaders(strata, 15, 256), abs=0.006)
    assert found.own_negative == pytest.approx(10 / 225 / 2)


def test_a_queue_of_one_batch_meets_few_and_of_half_an_epoch_an_eighth():
    # ages 1 to 10 of 20 steps: 1 + 2 + ... + 10 pairs of 400
    found = regime(config(optim__batch_size=64, method__queue_size=640), EQUAL)
    assert found.own_key == pytest.approx(55 / 400)


def test_a_labeled_query_has_its_own_older_key_as_a_positive():
    half = config(optim__batch_size=64, method__queue_size=640, data__labelled_fraction=0.5)
    assert regime(half, EQUAL).own_negative == pytest.approx(55 / 400 / 2)
    blind = half.with_values({"method.loss": "info_nce"})
    assert regime(blind, EQUAL).own_negative == pytest.approx(55 / 400)


def test_one_warning_says_what_would_help_and_by_how_much():
    said = regime_warning(config(), EQUAL)
    assert said == (
        "0.37 of the key encoder's first weights are left after 100 steps (with "
        "optim.batch_size=64 it would be 0.018, with epochs=60 0.049, with "
        "method.key_momentum=0.97 0.048)."
    )
    for values in ({"optim__batch_size": 64}, {"epochs": 60}, {"method__key_momentum": 0.97}):
        assert regime_warning(config(**values), EQUAL) is None
    # one epoch less is not enough
    assert regime(config(epochs=59), EQUAL).first_weights > 0.05


def test_a_queue_that_is_not_filled_twice_and_one_that_holds_old_selves_are_warned_of():
    short = config(epochs=1, method__queue_size=1000, method__key_momentum=0.5)
    assert regime_warning(short, EQUAL) == (
        "the queue is filled 1.3 times in 5 steps (with epochs=2 it would be 2.6 times, with "
        "method.queue_size=500 2.6 times)."
    )
    crowded = config(method__loss="info_nce", method__queue_size=768, method__key_momentum=0.9)
    assert regime_warning(crowded, EQUAL) == (
        "24% of the queries meet an older key of their own image as a negative (with "
        "method.queue_size=192 it would be 3%)."
    )


def test_advice_leaves_out_what_does_not_help_or_cannot_be():
    never = config(method__key_momentum=1.0)
    assert advice(SLOW, never, EQUAL) == "with method.key_momentum=0.97 it would be 0.048"
    later = config(changes={1: {"method.key_momentum": 0.99}})
    assert "method.key_momentum" not in advice(SLOW, later, EQUAL)
    # half of 144 and less is no multiple of the ratio's sum
    mixed = config(data__mix="1:47", optim__batch_size=144, data__labelled_fraction=0.1, epochs=2)
    assert "with epochs=8 it would be 0.034" in advice(SLOW, mixed, EQUAL)
    assert "batch_size" not in advice(SLOW, mixed, EQUAL)
    assert math.isclose(regime(never, EQUAL).first_weights, 1.0)
