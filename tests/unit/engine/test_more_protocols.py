"""Protocols that are asked for by name agree with independent implementations."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from raymoco.config import EvalConfig
from raymoco.engine.probes import Features
from raymoco.engine.protocols.fewshot import FewShot
from raymoco.engine.protocols.judge import build_protocols, measure
from raymoco.engine.protocols.logreg import LogReg, LogRegConfig
from raymoco.engine.protocols.protocol import Evaluation
from raymoco.engine.protocols.retrieval import Retrieval
from raymoco.metrics import LISTED

CLASSES = 4


def features(count, seed, spread=1.5):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(CLASSES, 12))
    labels = rng.integers(0, CLASSES, count)
    x = centers[labels] + spread * rng.normal(size=(count, 12))
    return Features(torch.tensor(x, dtype=torch.float32), torch.tensor(labels))


TRAIN, CHOOSE, TEST = features(300, 1), features(60, 2), features(200, 3)
ABOUT = Evaluation("test", choose=CHOOSE, classes=CLASSES, seed=0)


def test_logistic_regression_is_scikit_learns_with_c_chosen_on_eval():
    found = LogReg(LogRegConfig()).measure(TRAIN, TEST, ABOUT)["logreg_top1"]
    mean, std = TRAIN.features_NF.double().mean(0), TRAIN.features_NF.double().std(0, False)

    def plain(part):
        return ((part.features_NF.double() - mean) / std).numpy(), part.labels_N.numpy()

    (x, y), (held, wanted), (asked, true) = map(plain, (TRAIN, CHOOSE, TEST))
    scores = {
        c: LogisticRegression(C=c, max_iter=5000).fit(x, y).score(held, wanted)
        for c in np.geomspace(1e-6, 1e5, 12)
    }
    best = max(scores, key=scores.get)
    final = LogisticRegression(C=best, max_iter=5000)
    final.fit(np.concatenate([x, held]), np.concatenate([y, wanted]))
    assert found == pytest.approx(final.score(asked, true), abs=1e-3)
    assert found > 0.6


def test_logistic_regression_never_looks_at_test():
    turned = Features(TEST.features_NF, (TEST.labels_N + 1) % CLASSES)
    kept = []
    for judged in (TEST, turned):
        about = Evaluation(
            "test", choose=CHOOSE, classes=CLASSES, seed=0, keep=lambda _, found: kept.append(found)
        )
        LogReg(LogRegConfig()).measure(TRAIN, judged, about)
    assert torch.equal(*kept)


def test_few_shots_are_nearest_means_of_centered_features():
    torch.manual_seed(0)
    found = FewShot().measure(TRAIN, TEST, ABOUT)
    x = TRAIN.features_NF.double().numpy()
    mean = x.mean(0)

    def unit(part):
        centered = part.features_NF.double().numpy() - mean
        return centered / np.linalg.norm(centered, axis=1, keepdims=True)

    bank, asked = unit(TRAIN), unit(TEST)
    rng = np.random.default_rng(5)
    for shots in (1, 5):
        shares = []
        for _ in range(300):
            rows = np.concatenate(
                [
                    rng.permutation(np.flatnonzero(TRAIN.labels_N.numpy() == c))[:shots]
                    for c in range(CLASSES)
                ]
            )
            drawn = TRAIN.labels_N.numpy()[rows]
            centers = np.stack([bank[rows][drawn == c].mean(0) for c in range(CLASSES)])
            centers /= np.linalg.norm(centers, axis=1, keepdims=True)
            shares.append((np.argmax(asked @ centers.T, 1) == TEST.labels_N.numpy()).mean())
        half = found[f"fewshot{shots}_half_width"]
        assert 0 < half < 0.05
        assert found[f"fewshot{shots}"] == pytest.approx(np.mean(shares), abs=3 * half)
    assert found["fewshot5"] > found["fewshot1"]


def test_a_class_without_an_example_is_never_predicted():
    some = TRAIN.labels_N != 3
    train = Features(TRAIN.features_NF[some], TRAIN.labels_N[some])
    found = FewShot().measure(train, TEST, ABOUT)
    assert found["fewshot5"] <= float((TEST.labels_N != 3).double().mean())


def by_loops(judged):
    """Recall at 1 and 5, R-precision and MAP at R in float64, one query after the other."""
    x = judged.features_NF.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    labels = judged.labels_N.numpy()
    rows = []
    for query in range(len(x)):
        order = [i for i in np.argsort(-(x @ x[query]), kind="stable") if i != query]
        hits = [labels[i] == labels[query] for i in order]
        total = sum(hits)
        if total:
            precision = [sum(hits[: i + 1]) / (i + 1) for i in range(total) if hits[i]]
            rows.append(
                [any(hits[:1]), any(hits[:5]), sum(hits[:total]) / total, sum(precision) / total]
            )
    return np.mean(np.array(rows, dtype=float), axis=0)


@pytest.mark.parametrize("block", [1024, 7])
def test_retrieval_agrees_with_loops_in_float64(monkeypatch, block):
    monkeypatch.setattr("raymoco.engine.protocols.retrieval.BLOCK", block)
    few = Features(TEST.features_NF[:80], TEST.labels_N[:80].clone())
    few.labels_N[0] = CLASSES  # alone in its class
    about = Evaluation("test", choose=CHOOSE, classes=CLASSES + 1, seed=0)
    found = Retrieval().measure(TRAIN, few, about)
    assert list(found.values()) == pytest.approx(by_loops(few).tolist(), abs=1e-6)


def test_retrieval_where_no_class_has_two_images_measures_nothing():
    alone = Features(TEST.features_NF[:3], torch.tensor([0, 1, 2]))
    assert all(math.isnan(value) for value in Retrieval().measure(TRAIN, alone, ABOUT).values())


def test_they_are_measured_where_a_config_lists_them_and_are_in_the_list_of_metrics():
    config = EvalConfig(protocols=["logreg", "fewshot", {"name": "retrieval"}])
    row = measure(list(build_protocols(config).values()), TRAIN, TEST, ABOUT)
    assert set(row) == {
        "test/logreg_top1",
        *(f"test/fewshot{n}{rest}" for n in (1, 5) for rest in ("", "_half_width")),
        *(f"test/{name}" for name in ("recall_1", "recall_5", "r_precision", "map_at_r")),
    }
    assert set(row) <= set(LISTED)
