"""Each loss against its slow loop, in value and gradient, and at the edges of its domain.

All of it on every way in which the losses can be computed.
"""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raymoco.errors import ConfigError
from raymoco.ssl import KeyQueue, info_nce, sup_con, unified_contrastive
from tests.unit.ssl import reference as slow
from tests.unit.ssl.both_paths import way as way  # a fixture

pytestmark = pytest.mark.usefixtures("way")
B, D, K, CLASSES = 5, 6, 11, 3
LOSSES = ["info_nce", "unicon_sum", "unicon_mean", "sup_con_in", "sup_con_out"]


def some_batch(labelled: str, dtype=torch.float64, seed=0, queue_size=K):
    generator = torch.Generator().manual_seed(seed)

    def unit(rows):
        return F.normalize(torch.randn(rows, D, generator=generator, dtype=torch.float64), dim=1)

    query, key, queue = unit(B).to(dtype), unit(B).to(dtype), unit(queue_size).to(dtype)
    labels = torch.arange(B) % CLASSES
    queue_labels = torch.randint(CLASSES, (queue_size,), generator=generator)
    if labelled == "none":
        labels, queue_labels = torch.full_like(labels, -1), torch.full_like(queue_labels, -1)
    elif labelled == "some":
        labels[::2], queue_labels[1::3] = -1, -1
    return query, key, queue, labels, queue_labels


def fast_loss(name, query, key, queue, labels, queue_labels, temperature):
    if name == "info_nce":
        return info_nce(query, key, queue, temperature)
    family, _, option = name.rpartition("_")
    loss = unified_contrastive if family == "unicon" else sup_con
    return loss(query, key, queue, labels, queue_labels, temperature, option)


def slow_loss(name, query, key, queue, labels, queue_labels, temperature):
    if name == "info_nce":
        return slow.info_nce(query, key, queue, temperature)
    family, _, option = name.rpartition("_")
    loss = slow.unicon if family == "unicon" else slow.sup_con
    return loss(query, key, queue, labels, queue_labels, temperature, option)


@functools.cache  # the slow loops are the same for every way
def expected_of(name, labelled, dtype, temperature):
    batch = some_batch(labelled, dtype)
    wide = [tensor.double() if tensor.is_floating_point() else tensor for tensor in batch]
    return value_and_gradient(slow_loss, name, *wide, temperature)


def value_and_gradient(loss, name, query, *rest):
    query = query.clone().requires_grad_()
    value = loss(name, query, *rest)
    (gradient,) = torch.autograd.grad(value, query)
    return value.detach(), gradient


@pytest.mark.parametrize("temperature", [0.005, 0.07, 0.2, 1.0])
@pytest.mark.parametrize("labelled", ["none", "some", "all"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_the_value_and_gradient_of_its_formula(name, labelled, temperature):
    batch = some_batch(labelled)
    value, gradient = value_and_gradient(fast_loss, name, *batch, temperature)
    expected, expected_gradient = expected_of(name, labelled, torch.float64, temperature)
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_finite_and_right_at_the_lowest_temperature_in_low_precision(name, dtype):
    batch = some_batch("some", dtype)
    value, gradient = value_and_gradient(fast_loss, name, *batch, 0.005)
    expected, expected_gradient = expected_of(name, "some", dtype, 0.005)
    assert gradient.dtype == dtype
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-4)
    tolerance = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}[dtype]
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=0.01, atol=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_does_not_lower_the_precision_of_a_loss(name):
    batch = some_batch("some", torch.float32)
    expected = fast_loss(name, *batch, 0.005)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast_loss(name, *batch, 0.005), expected)


def test_unicon_is_info_nce_where_each_query_has_one_positive():
    query, key, queue, labels, queue_labels = some_batch("none")
    for positives in ("sum", "mean"):
        united = unified_contrastive(query, key, queue, labels, queue_labels, 0.1, positives)
        torch.testing.assert_close(united, info_nce(query, key, queue, 0.1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_an_unlabelled_query_never_matches_an_unlabelled_key(name):
    query, key, queue, _, queue_labels = some_batch("none")
    labels = torch.full((B,), -1)
    expected = info_nce(query, key, queue, 0.1)
    got = fast_loss(name, query, key, queue, labels, queue_labels, 0.1)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [0.005, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_with_an_empty_queue_loss_and_gradient_are_exactly_zero(name, temperature):
    batch = some_batch("all", queue_size=0)
    value, gradient = value_and_gradient(fast_loss, name, *batch, temperature)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("positives", ["sum", "mean"])
def test_unicon_is_exactly_zero_where_every_queue_key_is_a_positive(positives, dtype):
    query, key, queue, labels, queue_labels = some_batch("all", dtype)
    batch = query, key, queue, torch.zeros_like(labels), torch.zeros_like(queue_labels)
    value, gradient = value_and_gradient(fast_loss, f"unicon_{positives}", *batch, 0.005)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", LOSSES)
def test_keys_and_queue_get_no_gradient(name):
    query, key, queue, labels, queue_labels = some_batch("some")
    for tensor in (query, key, queue):
        tensor.requires_grad_()
    fast_loss(name, query, key, queue, labels, queue_labels, 0.1).backward()
    assert query.grad is not None
    assert key.grad is None
    assert queue.grad is None


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_passes_gradcheck(name):
    query, *rest = some_batch("some")
    query.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: 3 * fast_loss(name, q, *rest, 0.2), (query,))


@given(seed=st.integers(0, 2**16))
@settings(
    max_examples=10,
    deadline=None,
    # the way is the same for all examples
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_permuting_the_queue_changes_nothing(seed):
    query, key, queue, labels, queue_labels = some_batch("some")
    order = torch.randperm(K, generator=torch.Generator().manual_seed(seed))
    for name in LOSSES:
        expected = fast_loss(name, query, key, queue, labels, queue_labels, 0.1)
        got = fast_loss(name, query, key, queue[order], labels, queue_labels[order], 0.1)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_queue_may_be_overwritten_before_the_backward_pass(name):
    query, key, queue_rows, labels, queue_labels = some_batch("some", torch.float32)
    _, expected = value_and_gradient(
        fast_loss, name, query, key, queue_rows, labels, queue_labels, 0.1
    )
    queue = KeyQueue(K, D)
    queue.enqueue(queue_rows, queue_labels)
    query.requires_grad_()
    loss = fast_loss(name, query, key, queue.keys, labels, queue.labels, 0.1)
    queue.enqueue(key, labels)
    loss.backward()
    torch.testing.assert_close(query.grad, expected)


def test_without_grad_a_loss_is_only_a_value():
    query, *rest = some_batch("some")
    query.requires_grad_()
    with torch.no_grad():
        assert not unified_contrastive(query, *rest).requires_grad


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", LOSSES)
def test_a_temperature_out_of_range_is_refused_by_name_value_and_range(name, temperature):
    with pytest.raises(ConfigError, match=rf"temperature is {temperature}, but must be above 0"):
        fast_loss(name, *some_batch("some"), temperature)


def test_an_unknown_option_is_refused():
    batch = some_batch("some")
    with pytest.raises(ConfigError, match="form is 'outer', but must be one of: out, in"):
        sup_con(*batch, form="outer")
    with pytest.raises(ConfigError, match="positives is 'max', but must be one of: sum, mean"):
        unified_contrastive(*batch, positives="max")


@pytest.mark.parametrize(
    ("field", "shape", "named"),
    [
        ("key", (B - 1, D), r"\(5, 6\).*\(4, 6\)"),
        ("queue", (K, D + 1), r"\(11, 7\).*\(5, 6\)"),
        ("labels", (B + 1,), r"\(6,\).*\(5, 6\)"),
        ("queue_labels", (K - 1,), r"\(10,\).*\(11, 6\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_and_both_are_named(field, shape, named):
    names = ("query", "key", "queue", "labels", "queue_labels")
    batch = dict(zip(names, some_batch("some"), strict=True))
    batch[field] = torch.zeros(shape, dtype=batch[field].dtype)
    for loss in (unified_contrastive, sup_con):
        with pytest.raises(ConfigError, match=named):
            loss(**batch)
