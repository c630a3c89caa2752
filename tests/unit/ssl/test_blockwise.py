"""The streamed losses at sizes where they are chosen: exact, without waiting, and in bf16."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode

from raymoco.ssl import cross_consistency, info_nce, losses, query_gradient, regularizers, sup_con
from raymoco.ssl import unified_contrastive as unicon
from raymoco.ssl.blockwise import PAYS_FROM, pays, stream_contrast, stream_divergence

LOSSES = {
    "info_nce": lambda q, k, queue, _labels, _queue_labels, t: info_nce(q, k, queue, t),
    "unicon_sum": unicon,
    "unicon_mean": lambda *batch: unicon(*batch, positives="mean"),
    "sup_con_in": lambda *batch: sup_con(*batch, form="in"),
    "sup_con_out": lambda *batch: sup_con(*batch, form="out"),
    "queue_kl": lambda q, k, queue, _labels, _queue_labels, t: cross_consistency(
        q, k, queue, "queue_kl", t
    ),
}


def large_batch(classes: int, labelled: float, dtype=torch.float32):
    """Queries near their keys and keys near their class, as a trained encoder has them."""
    batch, dim, queue = 128, 32, PAYS_FROM // 128 + 100
    generator = torch.Generator().manual_seed(1)
    centers = F.normalize(torch.randn(classes, dim, generator=generator), dim=1)

    def some(rows):
        labels = torch.randint(classes, (rows,), generator=generator)
        noise = torch.randn(rows, dim, generator=generator) / 8
        rows_ND = F.normalize(centers[labels] + noise, dim=1).to(dtype)
        hidden = torch.rand(rows, generator=generator) >= labelled
        return rows_ND, labels.masked_fill(hidden, -1)

    (query, labels), (queue_KD, queue_labels) = some(batch), some(queue)
    noise = torch.randn(batch, dim, generator=generator) / 16
    key = F.normalize(query + noise.to(dtype), dim=1)
    return query, key, queue_KD, labels, queue_labels


def value_and_gradient(loss, query, *rest):
    leaf = query.clone().requires_grad_()
    value = loss(leaf, *rest)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def widened(batch):
    return [part.double() if part.is_floating_point() else part for part in batch]


@pytest.mark.parametrize(("classes", "labelled"), [(1000, 0.5), (10, 0.1), (3, 1.0), (10, 0.0)])
@pytest.mark.parametrize("temperature", [0.005, 0.2])
@pytest.mark.parametrize("name", LOSSES)
def test_a_large_queue_is_streamed_to_the_same_value_and_gradient(
    name, temperature, classes, labelled, monkeypatch
):
    batch = large_batch(classes, labelled)
    assert pays(batch[0], batch[2])
    loss = LOSSES[name]
    got = value_and_gradient(loss, *batch, temperature)
    exact = value_and_gradient(loss, *widened(batch), temperature)
    for module in (losses, regularizers):
        monkeypatch.setattr(module, "pays", lambda query, queue: False)
    expected = value_and_gradient(loss, *widened(batch), temperature)
    readable = value_and_gradient(loss, *batch, temperature)
    for one, two in zip(exact, expected, strict=True):
        assert (one - two).norm() <= 1e-12 * two.norm().clamp_min(1e-3)
    for one, plain, two in zip(got, readable, expected, strict=True):
        # where what is left is a difference of nearly equal numbers, fp32 itself is the limit
        limit = (plain.double() - two).norm().clamp_min(1e-5 * two.norm().clamp_min(1e-3))
        assert (one.double() - two).norm() <= limit


@pytest.mark.parametrize("labelled", [0.5, 1.0])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "queue_kl"])
def test_products_in_bf16_keep_the_direction_of_the_gradient(name, labelled, monkeypatch):
    monkeypatch.setattr(query_gradient, "bf16_is_fast", lambda device: True)
    batch = large_batch(10, labelled)
    _, exact = value_and_gradient(LOSSES[name], *widened(batch), 0.1)
    _, full = value_and_gradient(LOSSES[name], *batch, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        _, half = value_and_gradient(LOSSES[name], *batch, 0.1)
        _, low = value_and_gradient(LOSSES[name], *batch, 0.01)
    # another path, but for the one whose gradient is what two means leave of each other
    assert torch.equal(half, full) == (name == "sup_con_out")
    assert half.dtype == torch.float32
    assert F.cosine_similarity(half.double().flatten(), exact.flatten(), dim=0) > 0.999
    # at a low temperature a rounded logit is another loss: there autocast changes nothing
    assert torch.equal(low, value_and_gradient(LOSSES[name], *batch, 0.01)[1])


@pytest.mark.parametrize("name", LOSSES)
def test_on_a_gpu_nothing_waits_for_the_device_and_all_stays_on_it(name):
    with FakeTensorMode(), torch.device("cuda"):
        query, key, queue = torch.empty(8, 4), torch.empty(8, 4), torch.empty(40000, 4)
        labels, queue_labels = torch.zeros(8, dtype=torch.int64), torch.zeros(40000).long()
        # a fake tensor has no values: asking for one raises
        if name == "queue_kl":
            loss, grad = stream_divergence(query, key, queue, 0.1)
        else:
            given = (labels, queue_labels) if name != "info_nce" else (None, None)
            loss, grad = stream_contrast(name, query, key, queue, *given, 0.1, half=True)
        assert loss.device.type == grad.device.type == "cuda"
        assert grad.shape == query.shape
