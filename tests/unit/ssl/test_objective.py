"""Somebody's loss, terms and backbone inside MoCo: called, added up, differentiated in time."""

from __future__ import annotations

import copy

import pytest
import torch

from raymoco.choices import LOSSES, TERMS
from raymoco.config import MethodConfig, ModelConfig, ProjectorConfig, TermConfig
from raymoco.errors import ConfigError
from raymoco.ssl import MoCo, build_encoder, build_method, objective
from raymoco.ssl.build import check_method
from raymoco.ssl.supervised import Supervised
from tests import somebodys
from tests.unit.ssl.test_moco import LABELS, MODEL, some_moco, some_views

SPREAD = {"use": "tests.somebodys:Spread", "weight": 0.3, "margin": -0.2}
ANCHOR = {"use": "tests.somebodys:Anchor", "weight": 0.7}


def test_a_plain_formula_over_the_queue_trains_as_ours_does():
    ours, theirs = some_moco(loss="info_nce"), some_moco(loss="tests.somebodys:Contrast")
    gradients = []
    for method in (ours, theirs):
        method(*some_views(), LABELS)["loss"].backward()  # the queue is overwritten by now
        gradients.append([parameter.grad for parameter in method.encoder.parameters()])
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in theirs.encoders.key.parameters())


def test_terms_come_by_their_names_after_ours_and_the_total_is_summed_in_that_order():
    method = some_moco(
        terms={"spread": SPREAD, "anchor": ANCHOR},
        cross_consistency={"weight": 0.5},
        negative_uniformity={"weight": 0.2},
    )
    before = copy.deepcopy(method)
    view_a, view_b = some_views()
    output = method(view_a, view_b, LABELS)
    names = ["contrast", "cross_consistency", "negative_uniformity", "spread", "anchor"]
    assert list(output) == ["loss", *names]
    total = output["contrast"]
    for name, weight in zip(names[1:], (0.5, 0.2, 0.3, 0.7), strict=True):
        total = total + weight * output[name]
    assert torch.equal(output["loss"].detach(), total)
    query, key = before.encoder(view_a), before.encoders.key(view_b)
    spread = somebodys.Spread(somebodys.Spread.Options(margin=-0.2))
    expected = spread(query, key, *before.queue.filled(), LABELS)
    torch.testing.assert_close(output["spread"], expected.detach())


def test_the_whole_batch_is_gathered_once_and_only_for_who_needs_it(monkeypatch):
    calls = []

    def gather(rows):
        calls.append(rows.shape)
        return rows

    monkeypatch.setattr(objective, "all_gather_with_grad", gather)
    some_moco(terms={"anchor": ANCHOR})(*some_views(), LABELS)
    assert not calls
    terms = {"spread": SPREAD, "again": SPREAD, "anchor": ANCHOR}
    some_moco(terms=terms, cross_consistency={"weight": 1})(*some_views(), LABELS)
    assert len(calls) == 1


def test_a_term_of_weight_zero_is_not_even_imported_by_a_step():
    method = some_moco(terms={"spread": {**SPREAD, "use": "nowhere.at_all:X", "weight": 0}})
    assert set(method(*some_views(), LABELS)) == {"loss", "contrast"}


def test_a_weight_and_a_temperature_can_change_between_two_steps():
    method = some_moco(loss="tests.somebodys:Contrast", terms={"spread": {**SPREAD, "weight": 0}})
    settings = MethodConfig(
        loss="tests.somebodys:Contrast", temperature=0.5, terms={"spread": SPREAD}
    )
    method.adjust(settings)
    assert method.objective.loss.temperature == 0.5
    assert "spread" in method(*some_views(), LABELS)


def test_moco_alone_takes_a_name_a_path_and_options():
    encoder = build_encoder(MODEL, 1, 8)
    loss = {"name": "tests.somebodys:Contrast", "shift": 2.0}
    terms = {"spread": TermConfig(**SPREAD)}
    method = MoCo(encoder, loss=loss, terms=terms, temperature=0.2, queue_size=20)
    assert (method.objective.loss.shift, method.objective.terms[0].weight) == (2.0, 0.3)
    with pytest.raises(ConfigError, match=r"loss\.shift is -1, but must be greater"):
        MoCo(encoder, loss={**loss, "shift": -1}, queue_size=20)
    with pytest.raises(ConfigError, match="cross_entropy', which has no keys"):
        MoCo(encoder, loss="cross_entropy", queue_size=20)


def test_a_loss_that_is_no_scalar_ends_the_step_in_words():
    class PerImage:
        def __call__(self, query, key, queue, labels, queue_labels):
            return (query * key).sum(dim=1)

    rows = torch.randn(3, 4, requires_grad=True)
    with pytest.raises(ConfigError, match=r"PerImage has shape \(3,\), but must be a scalar"):
        objective.compute(PerImage(), rows, rows.detach(), rows.detach(), LABELS[:3], LABELS[:3])


def test_what_the_registry_says_of_our_losses_and_terms_is_what_their_classes_say():
    for registry in (LOSSES, TERMS):
        for name, choice in registry.choices.items():
            found = registry.load(name)
            for fact in registry.kind.attributes:
                if hasattr(found, fact) or found is not Supervised:
                    said = getattr(found, fact, getattr(registry.kind("", ""), fact))
                    assert said == getattr(choice, fact), f"{name}.{fact}"


def test_somebodys_backbones_are_built_and_their_features_counted():
    model = ModelConfig(
        backbone={"name": "tests.somebodys:flat_net", "width": 5},
        projector=ProjectorConfig(hidden=8, dim=6),
    )
    encoder = build_encoder(model, 1, 8)
    assert encoder.feature_dim == 5
    assert build_encoder(ModelConfig(backbone="tests.somebodys:Net"), 3, 8).feature_dim == 6
    method = build_method(model, MethodConfig(), channels=1, image_size=8, classes=2, seed=0)
    assert method(*some_views(), LABELS)["loss"].isfinite()
    with pytest.raises(ConfigError, match="building it fails: ValueError: no more than 64 px"):
        build_encoder(model, 1, 65)


@pytest.mark.parametrize(
    ("model", "method", "words"),
    [
        ({"backbone": "resnet81"}, {}, "did you mean 'resnet8'"),
        ({"backbone": "tests.somebodys:Nett"}, {}, "has no 'Nett'; did you mean 'Net'"),
        ({"backbone": "tests.somebodys:Anchor"}, {}, "cannot be called"),
        (
            {"backbone": {"name": "tests.somebodys:flat_net", "width": 0}},
            {},
            "model.backbone.width",
        ),
        ({"backbone": {"name": "tests.somebodys:Net", "width": 1}}, {}, "Net has no options"),
        ({"backbone": {"name": "resnet18", "width": 1}}, {}, "resnet18 has no options"),
        ({"backbone": {"name": "resnet8", "width": 1}}, {}, "its place is model.width"),
        ({}, {"loss": "tests.somebodys:NoLoss"}, "it is no loss: __call__(query, key, queue"),
        ({}, {"loss": "tests.somebodys:NoTemperature"}, "NoTemperature(temperature) cannot be"),
        ({}, {"loss": "tests.somebodys:no_class"}, "it is no class"),
        ({}, {"loss": "nowhere.at_all:X"}, "no module 'nowhere'"),
        ({}, {"terms": {"s": {**SPREAD, "margin": 3}}}, "method.terms.s.margin is 3"),
        ({}, {"terms": {"s": {**SPREAD, "weight": 0, "margn": 1}}}, "method.terms.s.margn"),
    ],
)
def test_what_cannot_be_built_is_refused_without_building_it(model, method, words):
    with pytest.raises(ConfigError) as refused:
        check_method(ModelConfig(**model), MethodConfig(**method))
    assert words in str(refused.value)


def test_ours_are_never_refused():
    for loss in LOSSES.choices:
        check_method(ModelConfig(), MethodConfig(loss=loss))
    check_method(ModelConfig(backbone="resnet18"), MethodConfig())
