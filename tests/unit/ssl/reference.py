"""The formulas of the losses and regularizers as slow loops in float64, one pair at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax(values: list[Tensor]) -> list[Tensor]:
    highest = max(value.item() for value in torch.stack(values).detach())
    exps = [torch.exp(value - highest) for value in values]
    return [e / sum(exps) for e in exps]


def mean(values: list[Tensor]) -> Tensor:
    return sum(values) / len(values)


def positives_and_rest(i, key, queue, labels, queue_labels):
    positives, rest = [key[i]], []
    for row, label in zip(queue, queue_labels.tolist(), strict=True):
        same = labels[i].item() >= 0 and labels[i].item() == label
        (positives if same else rest).append(row)
    return positives, rest


def unicon(query, key, queue, labels, queue_labels, temperature, positives="sum"):
    losses = []
    for i, q in enumerate(query):
        near, far = positives_and_rest(i, key, queue, labels, queue_labels)
        sum_far = sum((torch.exp(q @ n / temperature) for n in far), torch.zeros((), dtype=q.dtype))
        sum_near = sum(torch.exp(-(q @ p) / temperature) for p in near)
        if positives == "mean":
            sum_near = sum_near / len(near)
        losses.append(torch.log1p(sum_far * sum_near))
    return mean(losses)


def info_nce(query, key, queue, temperature):
    losses = []
    for i, q in enumerate(query):
        shares = softmax([q @ key[i] / temperature, *[q @ row / temperature for row in queue]])
        losses.append(-torch.log(shares[0]))
    return mean(losses)


def sup_con(query, key, queue, labels, queue_labels, temperature, form):
    losses = []
    for i, q in enumerate(query):
        near, far = positives_and_rest(i, key, queue, labels, queue_labels)
        shares = softmax([q @ row / temperature for row in near + far])[: len(near)]
        if form == "out":
            losses.append(mean([-torch.log(share) for share in shares]))
        else:
            losses.append(-torch.log(mean(shares)))
    return mean(losses)


def cross_consistency(query, key, queue, form, temperature):
    size = len(query)
    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    if form == "batch_transpose":
        return mean([(query[i] @ key[j] - query[j] @ key[i]) ** 2 for i, j in pairs])
    if form == "batch_pairs":
        return mean([(query[i] @ query[j] - key[i] @ key[j]) ** 2 for i, j in pairs])
    divergences = []
    for i in range(size):
        others = list(queue) if form == "queue_kl" else [key[j] for j in range(size) if j != i]
        target = softmax([key[i] @ row / temperature for row in others])
        guess = softmax([query[i] @ row / temperature for row in others])
        divergences.append(sum(t * torch.log(t / g) for t, g in zip(target, guess, strict=True)))
    return mean(divergences)


def negative_uniformity(query, key, labels, form, temperature):
    terms = []
    for i in range(len(query)):
        negatives = [
            j
            for j in range(len(query))
            if j != i and not (labels[i].item() >= 0 and labels[i].item() == labels[j].item())
        ]
        if not negatives:
            terms.append(0 * query[i].sum())
            continue
        n = len(negatives)
        p = softmax([query[i] @ key[j] / temperature for j in negatives])
        if form == "kl":
            terms.append(sum((1 / n) * torch.log((1 / n) / share) for share in p))
        else:
            entropy = -sum(share * torch.log(share) for share in p)
            terms.append(torch.log(torch.tensor(float(n), dtype=query.dtype)) - entropy)
    return mean(terms)
