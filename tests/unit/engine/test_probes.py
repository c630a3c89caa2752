import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from raymoco.engine import probes
from raymoco.engine.probes import (
    Features,
    alignment,
    effective_rank,
    knn_top1,
    linear_probe,
    uniformity,
)


def blobs(n, seed, classes=4, dim=8, spread=0.6):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(n) % classes
    noise = torch.randn(n, dim, generator=generator)
    return Features(centers[labels] + spread * noise, labels)


def test_knn_is_the_weighted_vote_written_as_a_loop():
    bank, queries = blobs(60, 0, spread=1.5), blobs(40, 1, spread=1.5)
    right = 0
    for query, label in zip(queries.features_NF, queries.labels_N, strict=True):
        cosine = [float(torch.cosine_similarity(query, b, dim=0)) for b in bank.features_NF]
        nearest = sorted(range(60), key=lambda i: -cosine[i])[:7]
        votes = [0.0] * 4
        for i in nearest:
            votes[int(bank.labels_N[i])] += math.exp(cosine[i] / 0.2)
        right += votes.index(max(votes)) == int(label)
    assert knn_top1(bank, queries, k=7, temperature=0.2) == right / 40


def test_knn_takes_no_more_neighbors_than_there_are_and_small_temperatures():
    bank = blobs(12, 0, spread=0.1)
    assert knn_top1(bank, bank, k=1, temperature=0.001) == 1.0
    assert 0 <= knn_top1(bank, bank, k=500, temperature=0.001) <= 1


def test_a_bank_in_blocks_votes_as_a_whole_one(monkeypatch):
    torch.manual_seed(0)
    bank = Features(torch.randn(101, 8), torch.randint(5, (101,)))
    queries = Features(torch.randn(40, 8), torch.randint(5, (40,)))
    whole = knn_top1(bank, queries, k=7, temperature=0.1)
    monkeypatch.setattr(probes, "BANK_BLOCK", 4)  # fewer rows than neighbors
    assert knn_top1(bank, queries, k=7, temperature=0.1) == whole


def test_the_probe_reaches_what_logistic_regression_reaches():
    train, choose, test = (
        blobs(400, 0, spread=1.2),
        blobs(100, 1, spread=1.2),
        blobs(400, 2, spread=1.2),
    )
    found = linear_probe(train, choose, test, epochs=50, seed=0)
    peer = LogisticRegression(max_iter=2000).fit(train.features_NF.numpy(), train.labels_N.numpy())
    expected = peer.score(test.features_NF.numpy(), test.labels_N.numpy())
    assert found["top1"] == pytest.approx(expected, abs=0.02)
    assert found["top5"] == 1.0


def test_the_probe_is_repeatable_and_never_reads_the_test_labels_to_choose():
    train, choose, test = blobs(200, 0), blobs(50, 1), blobs(100, 2)
    once = linear_probe(train, choose, test, epochs=5, seed=3)
    assert linear_probe(train, choose, test, epochs=5, seed=3) == once
    flipped = Features(test.features_NF, (test.labels_N + 1) % 4)
    worse = linear_probe(train, choose, flipped, epochs=5, seed=3)
    assert worse["top1"] <= 1 - once["top1"] + 1e-6


def test_collapse_shows_in_every_metric():
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(500, 16, generator=generator)
    point = torch.ones(500, 16) + 1e-6 * spread
    line = torch.randn(500, 1, generator=generator) * torch.ones(1, 16)
    assert effective_rank(spread) > 14
    assert effective_rank(line) == pytest.approx(1, abs=1e-6)
    assert uniformity(point) == pytest.approx(0, abs=1e-6)
    assert uniformity(spread) < -3
    assert alignment(spread, spread) == 0
    assert alignment(spread, -spread) == pytest.approx(4)
