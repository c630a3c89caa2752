"""The step of a method: its order, what moves and what does not, and that a resumed one goes on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch._subclasses import FakeTensorMode

from raymoco.config import (
    CrossConsistencyConfig,
    MethodConfig,
    ModelConfig,
    NegativeUniformityConfig,
    ProjectorConfig,
)
from raymoco.errors import ConfigError
from raymoco.ssl import (
    MoCo,
    build_encoder,
    build_method,
    cross_consistency,
    info_nce,
    negative_uniformity,
    objective,
    regularizers,
    sup_con,
    unified_contrastive,
)
from raymoco.ssl.batch_norm import SplitBatchNorm
from raymoco.ssl.collectives import (
    all_gather_with_grad,
    batch_order,
    batch_shuffle,
    batch_unshuffle,
)
from raymoco.ssl.supervised import Supervised

MODEL = ModelConfig(width=2, projector=ProjectorConfig(hidden=8, dim=6))
LABELS = torch.tensor([0, 1, -1, 1, 0, 2, -1, 0])


def some_views(seed=0):
    generator = torch.Generator().manual_seed(seed)
    view = torch.randn(8, 1, 8, 8, generator=generator)
    return view, view + 0.3 * torch.randn(8, 1, 8, 8, generator=generator)


def some_moco(seed=0, **options):
    method = MethodConfig(**({"queue_size": 20, "key_momentum": 0.9} | options))
    return build_method(MODEL, method, channels=1, image_size=8, classes=3, seed=seed)


def train_step(method, optimizer, seed):
    output = method(*some_views(seed), LABELS)
    optimizer.zero_grad()
    output["loss"].backward()
    optimizer.step()
    return output


def test_at_the_start_keys_equal_queries():
    method = some_moco()
    view, _ = some_views()
    torch.testing.assert_close(method.encoders.key(view), method.encoder(view), rtol=0, atol=0)
    method(view, view, LABELS)
    torch.testing.assert_close(method.queue.keys[:8], method.encoder(view).detach())


@pytest.mark.parametrize("loss", ["info_nce", "unicon", "sup_con_in", "sup_con_out"])
def test_the_loss_is_taken_against_the_queue_as_it_was_with_the_moved_key_encoder(loss):
    method = some_moco(loss=loss, positives="mean", queue_init="empty")
    optimizer = torch.optim.SGD(method.encoder.parameters(), lr=0.5)
    train_step(method, optimizer, 1)
    before = copy.deepcopy(method)
    view_a, view_b = some_views(2)
    output = method(view_a, view_b, LABELS)

    before.encoders.move_key(0.9)
    query, key = before.encoder(view_a), before.encoders.key(view_b)
    queue, queue_labels = before.queue.filled()
    assert len(queue) == 8
    expected = {
        "info_nce": lambda: info_nce(query, key, queue, 0.1),
        "unicon": lambda: unified_contrastive(query, key, queue, LABELS, queue_labels, 0.1, "mean"),
        "sup_con_in": lambda: sup_con(query, key, queue, LABELS, queue_labels, 0.1, "in"),
        "sup_con_out": lambda: sup_con(query, key, queue, LABELS, queue_labels, 0.1, "out"),
    }[loss]()
    torch.testing.assert_close(output["loss"], expected)
    torch.testing.assert_close(output["contrast"], expected.detach())
    torch.testing.assert_close(method.queue.keys[8:16], key)
    assert torch.equal(method.queue.labels[:16], LABELS.repeat(2))
    assert set(output) == {"loss", "contrast"}


def test_only_the_query_encoder_gets_a_gradient():
    method = some_moco(cross_consistency={"weight": 1}, negative_uniformity={"weight": 1})
    method(*some_views(), LABELS)["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.encoder.parameters())
    assert all(parameter.grad is None for parameter in method.encoders.key.parameters())
    assert not method.queue.keys.requires_grad


def test_the_momentum_update_leaves_the_buffers_of_the_key_encoder():
    method = some_moco(key_momentum=0.0)
    with torch.no_grad():
        for buffer in method.encoder.buffers():
            buffer.add_(5)
    before = [buffer.clone() for buffer in method.encoders.key.buffers()]
    method.encoders.move_key(0.0)
    for buffer, old in zip(method.encoders.key.buffers(), before, strict=True):
        assert torch.equal(buffer, old)


def test_symmetric_is_the_mean_of_both_directions_against_one_queue_and_enqueues_both():
    method = some_moco(symmetric=True, cross_consistency={"weight": 0.5})
    view_a, view_b = some_views()
    one_way = copy.deepcopy(method)
    one_way.symmetric = False
    other_way = copy.deepcopy(one_way)
    output = method(view_a, view_b, LABELS)
    forth = one_way(view_a, view_b, LABELS)
    back = other_way(view_b, view_a, LABELS)
    for name in ("loss", "contrast", "cross_consistency"):
        torch.testing.assert_close(output[name], (forth[name] + back[name]) / 2)
    expected = torch.cat([one_way.queue.keys[:8], other_way.queue.keys[:8]])
    torch.testing.assert_close(method.queue.keys[:16], expected)
    assert torch.equal(method.queue.labels[:16], LABELS.repeat(2))
    assert method.step == 1


def test_the_total_is_the_weighted_sum_of_the_terms():
    consistency = CrossConsistencyConfig(weight=0.7, form="queue_kl", temperature=0.3)
    uniformity = NegativeUniformityConfig(weight=0.2, form="entropy", temperature=0.4)
    method = some_moco(cross_consistency=consistency, negative_uniformity=uniformity)
    before = copy.deepcopy(method)
    view_a, view_b = some_views()
    output = method(view_a, view_b, LABELS)
    query, key = before.encoder(view_a), before.encoders.key(view_b)
    terms = {
        "contrast": output["contrast"],
        "cross_consistency": cross_consistency(query, key, before.queue.keys, "queue_kl", 0.3),
        "negative_uniformity": negative_uniformity(query, key, LABELS, "entropy", 0.4),
    }
    for name, term in terms.items():
        torch.testing.assert_close(output[name], term.detach())
        assert not output[name].requires_grad
    total = sum(w * t for w, t in zip((1, 0.7, 0.2), terms.values(), strict=True))
    torch.testing.assert_close(output["loss"].detach(), total.detach())


def test_a_weight_of_zero_costs_nothing_and_shows_nothing(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a term of weight 0 was computed")

    for name in ("cross_consistency", "negative_uniformity"):
        monkeypatch.setattr(regularizers, name, refuse)
    monkeypatch.setattr(objective, "all_gather_with_grad", refuse)
    settings = {"cross_consistency": {"weight": 0.0}, "negative_uniformity": {"weight": 0.0}}
    assert set(some_moco(**settings)(*some_views(), LABELS)) == {"loss", "contrast"}
    encoder = build_encoder(MODEL, 1, 8)
    assert set(MoCo(encoder, queue_size=4)(*some_views(), LABELS)) == {"loss", "contrast"}
    with pytest.raises(AssertionError, match="weight 0"):
        some_moco(cross_consistency={"weight": 0.1})(*some_views(), LABELS)


def test_in_eval_mode_nothing_moves():
    method = some_moco().eval()
    before = copy.deepcopy(method.state_dict())
    method(*some_views(), LABELS)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


@pytest.mark.parametrize("batch_norm", ["shuffle", "split"])
def test_a_restored_method_goes_on_bit_for_bit(batch_norm):
    options = {"batch_norm": batch_norm, "bn_groups": 2, "symmetric": True, "queue_init": "empty"}
    method, restored = some_moco(**options), some_moco(seed=0, **options)
    optimizer = torch.optim.SGD(method.encoder.parameters(), lr=0.1)
    for seed in range(3):
        train_step(method, optimizer, seed)
    restored.load_state_dict(copy.deepcopy(method.state_dict()))
    again = torch.optim.SGD(restored.encoder.parameters(), lr=0.1)
    for seed in range(3, 6):
        output = train_step(method, optimizer, seed)
        assert torch.equal(output["loss"], train_step(restored, again, seed)["loss"])
    state = restored.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())
    assert restored.step == 6


def test_split_permutes_the_keys_by_seed_and_step_and_puts_them_back():
    method = some_moco(batch_norm="split", bn_groups=4, seed=5)
    assert isinstance(method.encoder.backbone.bn, SplitBatchNorm)
    reference = copy.deepcopy(method)
    _, view_b = some_views()
    method(view_b, view_b, LABELS)
    order = batch_order(8, 5, 0)
    expected = torch.empty(8, 6)
    expected[order] = reference.encoders.key(view_b[order])
    torch.testing.assert_close(method.queue.keys[:8], expected)
    assert not torch.equal(batch_order(8, 5, 1), order)
    assert not torch.equal(batch_order(8, 6, 0), order)


def test_with_one_worker_plain_shuffle_and_sync_coincide():
    losses = set()
    for batch_norm in ("plain", "shuffle", "sync"):
        method = some_moco(batch_norm=batch_norm)
        optimizer = torch.optim.SGD(method.encoder.parameters(), lr=0.1)
        train_step(method, optimizer, 0)
        losses.add(train_step(method, optimizer, 1)["loss"].item())
    assert len(losses) == 1


def test_shuffle_then_unshuffle_is_the_identity():
    images = torch.randn(6, 2, 4, 4).contiguous(memory_format=torch.channels_last)
    before = torch.get_rng_state()
    order = batch_order(6, 0, 3)
    assert torch.equal(torch.get_rng_state(), before)
    shuffled = batch_shuffle(images, order)
    assert not torch.equal(shuffled, images)
    assert shuffled.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch_unshuffle(shuffled, order), images)
    assert batch_shuffle(images, None) is images
    assert all_gather_with_grad(images) is images


def test_the_seed_alone_decides_a_method_and_the_global_state_stays():
    before = torch.get_rng_state()
    first = some_moco(seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    second, other = some_moco(seed=3).state_dict(), some_moco(seed=4)
    assert all(torch.equal(value, second[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.queue.keys, other.queue.keys)
    weight = first.encoder.projector[0].weight
    assert not torch.equal(weight, other.encoder.projector[0].weight)


@pytest.mark.parametrize("symmetric", [False, True])
def test_on_cuda_everything_stays_on_cuda(symmetric):
    with FakeTensorMode(), torch.device("cuda"):
        method = MoCo(
            build_encoder(MODEL, 1, 8),
            queue_size=20,
            batch_norm="split",
            bn_groups=2,
            symmetric=symmetric,
            cross_consistency=CrossConsistencyConfig(weight=1, form="queue_kl"),
            negative_uniformity=NegativeUniformityConfig(weight=1),
        )
        views = torch.randn(8, 1, 8, 8), torch.randn(8, 1, 8, 8)
        output = method(*views, torch.zeros(8, dtype=torch.int64))
        devices = {value.device.type for value in output.values()}
        assert devices == {"cuda"}
        assert {buffer.device.type for buffer in method.buffers()} == {"cuda"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "triplet"}, "loss is 'triplet', but must be one of"),
        ({"temperature": 0.0}, "temperature is 0.0, but must be above 0"),
        ({"queue_size": 0}, "queue_size is 0, but must be at least 1"),
        ({"key_momentum": 1.5}, "key_momentum is 1.5, but must be from 0 to 1"),
        ({"batch_norm": "group"}, "batch_norm is 'group'"),
        ({"positives": "max"}, "positives is 'max'"),
        ({"queue_init": "zeros"}, "init is 'zeros'"),
    ],
)
def test_an_argument_out_of_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MoCo(build_encoder(MODEL, 1, 8), **options)


def test_cross_entropy_trains_the_backbone_on_the_visible_labels():
    method = some_moco(loss="cross_entropy")
    assert isinstance(method, Supervised)
    view_a, view_b = some_views()
    output = method(view_a, view_b, LABELS)
    visible = LABELS >= 0
    logits = method.classifier(method.encoder.features(view_a))[visible]
    expected = torch.nn.functional.cross_entropy(logits, LABELS[visible])
    torch.testing.assert_close(output["loss"], expected)
    assert not output["contrast"].requires_grad
    output["loss"].backward()
    learning = [p for p in method.parameters() if p.requires_grad]
    assert all(parameter.grad is not None for parameter in learning)
    assert not any(p.requires_grad for p in method.encoder.projector.parameters())


def test_cross_entropy_without_a_visible_label_is_zero_with_zero_gradient():
    method = some_moco(loss="cross_entropy")
    loss = method(*some_views(), torch.full((8,), -7))["loss"]
    loss.backward()
    assert loss == 0
    assert all(not p.grad.any() for p in method.parameters() if p.requires_grad)
