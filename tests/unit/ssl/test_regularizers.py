"""Each form of XMoCo's regularizers against its slow loop, and with nothing to compare."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raymoco.errors import ConfigError
from raymoco.ssl import cross_consistency, negative_uniformity
from tests.unit.ssl import reference as slow
from tests.unit.ssl.both_paths import way as way  # a fixture

B, D, K = 6, 5, 9
CONSISTENCY = ["batch_transpose", "batch_pairs", "queue_kl", "batch_kl"]
UNIFORMITY = ["kl", "entropy"]
LABELS = {
    "none": torch.full((B,), -1),
    "some": torch.tensor([0, 0, -1, 1, -1, 0]),
    "all": torch.tensor([0, 1, 0, 1, 2, 2]),
    "one class": torch.zeros(B, dtype=torch.int64),
    "one class but one": torch.tensor([0, 0, 0, 0, 0, 1]),
}


def some_batch(dtype=torch.float64, size=B):
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(2 * size + K, D, generator=generator, dtype=torch.float64)
    return F.normalize(rows, dim=1).to(dtype).split([size, size, K])


def value_and_gradient(function, query, *rest):
    query = query.clone().requires_grad_()
    value = function(query, *rest)
    (gradient,) = torch.autograd.grad(value, query)
    return value.detach(), gradient


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("temperature", [0.005, 0.1, 1.0])
@pytest.mark.parametrize("form", CONSISTENCY)
def test_cross_consistency_has_the_value_and_gradient_of_its_formula(form, temperature):
    query, key, queue = some_batch()
    got = value_and_gradient(cross_consistency, query, key, queue, form, temperature)
    expected = value_and_gradient(slow.cross_consistency, query, key, queue, form, temperature)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("labelled", LABELS)
@pytest.mark.parametrize("form", UNIFORMITY)
def test_negative_uniformity_has_the_value_and_gradient_of_its_formula(form, labelled, temperature):
    query, key, _ = some_batch()
    rest = key, LABELS[labelled], form, temperature
    got = value_and_gradient(negative_uniformity, query, *rest)
    expected = value_and_gradient(slow.negative_uniformity, query, *rest)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert got[0] >= 0


@pytest.mark.parametrize("form", UNIFORMITY)
def test_without_labels_every_other_image_is_a_negative(form):
    query, key, _ = some_batch()
    without = negative_uniformity(query, key, form=form)
    assert torch.equal(without, negative_uniformity(query, key, LABELS["none"], form=form))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", CONSISTENCY + UNIFORMITY)
def test_low_precision_is_finite_and_close_at_the_lowest_temperature(form, dtype):
    query, key, queue = some_batch(dtype)
    if form in CONSISTENCY:
        got = value_and_gradient(cross_consistency, query, key, queue, form, 0.005)
        wide = query.double(), key.double(), queue.double(), form, 0.005
        expected = cross_consistency(*wide)
    else:
        got = value_and_gradient(negative_uniformity, query, key, LABELS["some"], form, 0.005)
        expected = negative_uniformity(query.double(), key.double(), LABELS["some"], form, 0.005)
    assert got[1].isfinite().all()
    torch.testing.assert_close(got[0].double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", CONSISTENCY + UNIFORMITY)
def test_a_batch_of_one_image_gives_zero_with_zero_gradient(form):
    query, key, queue = some_batch(size=1)
    if form in CONSISTENCY:
        value, gradient = value_and_gradient(cross_consistency, query, key, queue[:0], form)
    else:
        value, gradient = value_and_gradient(negative_uniformity, query, key, None, form)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [2, 3, 7, 50])
@pytest.mark.parametrize("form", UNIFORMITY)
def test_uniformity_is_exactly_zero_where_all_negatives_are_equally_similar(form, size, dtype):
    # every key is orthogonal to every query: no rounding blurs the equality
    query = torch.eye(4, dtype=dtype)[:1].repeat(size, 1)
    key = torch.eye(4, dtype=dtype)[1:2].repeat(size, 1)
    labels = torch.full((size,), -1)
    labels[:2] = 0
    value, gradient = value_and_gradient(negative_uniformity, query, key, labels, form, 0.1)
    assert value == 0
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", CONSISTENCY)
def test_consistency_is_zero_where_both_views_agree(form):
    query, _, queue = some_batch()
    value = cross_consistency(query, query, queue, form)
    assert abs(value) < 1e-15


@pytest.mark.parametrize("form", CONSISTENCY + UNIFORMITY)
def test_keys_and_queue_get_no_gradient(form):
    query, key, queue = (tensor.clone().requires_grad_() for tensor in some_batch())
    if form in CONSISTENCY:
        cross_consistency(query, key, queue, form).backward()
    else:
        negative_uniformity(query, key, None, form).backward()
    assert query.grad is not None
    assert key.grad is None
    assert queue.grad is None


def test_wrong_arguments_are_refused_by_name():
    query, key, queue = some_batch()
    with pytest.raises(ConfigError, match="queue is None"):
        cross_consistency(query, key, form="queue_kl")
    with pytest.raises(ConfigError, match="form is 'transpose', but must be one of"):
        cross_consistency(query, key, form="transpose")
    with pytest.raises(ConfigError, match="form is 'max', but must be one of: kl, entropy"):
        negative_uniformity(query, key, form="max")
    for temperature in (0.0, -1.0):
        with pytest.raises(ConfigError, match=f"temperature is {temperature}"):
            cross_consistency(query, key, queue, "queue_kl", temperature)
        with pytest.raises(ConfigError, match=f"temperature is {temperature}"):
            negative_uniformity(query, key, temperature=temperature)
    with pytest.raises(ConfigError, match=r"\(6, 5\).*\(5, 5\)"):
        cross_consistency(query, key[1:])
    with pytest.raises(ConfigError, match=r"\(5,\).*\(6, 5\)"):
        negative_uniformity(query, key, LABELS["some"][1:])
