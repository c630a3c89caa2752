"""The losses over the queue: streamed, as the readable formula, as published, and two products."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.memory import peak_megabytes
from benchmarks.tables import Table
from benchmarks.timing import interleaved
from raymoco.ssl import cross_consistency, info_nce, losses, query_gradient, regularizers, sup_con
from raymoco.ssl import unified_contrastive as unicon

B, D, K, CLASSES, LABELLED, T = 256, 128, 65536, 1000, 0.5, 0.2
KINDS = ("info_nce", "unicon", "sup_con_out", "sup_con_in", "queue_kl")
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def run(quick: bool) -> list[Table]:
    """All tables; `quick` takes fewer rounds and sizes."""
    rounds = 3 if quick else 11
    tables = [targets(rounds), by_queue(rounds, quick), by_labels(rounds), by_batch(rounds)]
    return [*tables, crossover(rounds), low_precision(rounds)]


def inputs(
    batch: int = B,
    queue: int = K,
    classes: int = CLASSES,
    labelled: float = LABELLED,
) -> Inputs:
    """Queries, keys and queue on the sphere, and labels of which a share is visible."""
    generator = torch.Generator().manual_seed(0)

    def unit(rows: int) -> Tensor:
        return F.normalize(torch.randn(rows, D, generator=generator), dim=1)

    def some(rows: int) -> Tensor:
        labels = torch.randint(classes, (rows,), generator=generator)
        return labels.masked_fill_(torch.rand(rows, generator=generator) >= labelled, -1)

    return unit(batch), unit(batch), unit(queue), some(batch), some(queue)


def value(kind: str, given: Inputs, query: Tensor, temperature: float = T) -> Tensor:
    """A loss by name."""
    _, key, queue, labels, queue_labels = given
    if kind == "info_nce":
        return info_nce(query, key, queue, temperature)
    if kind == "queue_kl":
        return cross_consistency(query, key, queue, "queue_kl", temperature)
    if kind == "unicon":
        return unicon(query, key, queue, labels, queue_labels, temperature)
    form = "out" if kind == "sup_con_out" else "in"
    return sup_con(query, key, queue, labels, queue_labels, temperature, form)


def published(given: Inputs) -> Callable[[], Tensor]:
    """UniCon as its equation stands, with torch's operations: sums of exponentials of (B, K)."""
    query, key, queue, labels, queue_labels = given

    def step() -> Tensor:
        leaf = query.clone().requires_grad_()
        kept = queue.clone()  # the step overwrites the queue before its backward pass
        logits_BK = leaf @ kept.T / T
        same_BK = ((labels[:, None] == queue_labels) & (labels[:, None] >= 0)).float()
        negatives_B = (logits_BK.exp() * (1 - same_BK)).sum(1)
        own_B = (leaf * key).sum(1) / T
        positives_B = ((-logits_BK).exp() * same_BK).sum(1) + (-own_B).exp()
        return _gradient(torch.log1p(negatives_B * positives_B).mean(), leaf)

    return step


def ours(
    kind: str, given: Inputs, *, stream: bool, temperature: float = T, half: bool = False
) -> Callable[[], Tensor]:
    """Forward and backward of one of our losses, on the path that is asked for."""

    def step() -> Tensor:
        leaf = given[0].clone().requires_grad_()
        with (
            mock.patch.object(losses, "pays", return_value=stream),
            mock.patch.object(regularizers, "pays", return_value=stream),
            mock.patch.object(query_gradient, "bf16_is_fast", return_value=True),
            torch.autocast("cpu", torch.bfloat16, enabled=half),
        ):
            return _gradient(value(kind, given, leaf, temperature), leaf)

    return step


def products(given: Inputs) -> Callable[[], Tensor]:
    """The floor: logits of all queries, and as many weights times the keys."""
    query, _, queue, _, _ = given
    return lambda: (query @ queue.T) @ queue


def _gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(loss, leaf)[0]


def _prepare(form: str, kind: str, queue: int) -> Callable[[], Tensor]:
    given = inputs(queue=queue)
    if form == "published":
        return published(given)
    return ours(kind, given, stream=form == "streamed")


def targets(rounds: int) -> Table:
    """What the losses are held to, at ImageNet's usual sizes."""
    given = inputs()
    work = {"two products": products(given), "UniCon as published": published(given)}
    for kind in KINDS:
        work[f"{kind}, readable"] = ours(kind, given, stream=False)
        work[f"{kind}, streamed"] = ours(kind, given, stream=True)
    found = interleaved(work, rounds)
    table = Table(
        f"Forward and backward, B={B}, D={D}, K={K}, {LABELLED:.0%} labeled, {CLASSES} classes",
        ["", "median ms", "min to max ms", "times two products", "published / this", "MiB"],
    )
    for name, timing in found.items():
        kind, _, form = name.partition(", ")
        memory = None
        if name != "two products":
            form = form or "published"
            memory = peak_megabytes(_prepare, form, kind, K)
        table.add(
            name,
            timing.median * 1e3,
            timing.spread,
            timing.over(found["two products"]),
            found["UniCon as published"].over(timing),
            memory,
        )
    table.notes.append("MiB: peak resident memory above the inputs, in a process of its own.")
    return table


def by_queue(rounds: int, quick: bool) -> Table:
    """Time and memory of the streamed UniCon as the queue grows."""
    table = Table(
        f"Streamed UniCon as the queue grows, B={B}",
        ["K", "median ms", "ns per query and key", "times two products", "MiB"],
    )
    for power in (14, 16, 18, 20)[: 2 if quick else 4]:
        size = 2**power
        given = inputs(queue=size)
        pair = {"floor": products(given), "ours": ours("unicon", given, stream=True)}
        found = interleaved(pair, rounds if size <= K else 3)
        seconds = found["ours"].median
        table.add(
            size,
            seconds * 1e3,
            seconds * 1e9 / (B * size),
            found["ours"].over(found["floor"]),
            peak_megabytes(_prepare, "streamed", "unicon", size),
        )
    return table


def by_labels(rounds: int) -> Table:
    """What positives cost: few are picked, many are multiplied."""
    table = Table(
        f"Streamed UniCon by labels, B={B}, K={K}",
        ["classes", "labelled", "median ms", "times two products", "published / this"],
    )
    for classes, labelled in (
        (1000, 0.0),
        (1000, 0.1),
        (1000, 1.0),
        (100, 1.0),
        (10, 0.1),
        (10, 1.0),
    ):
        given = inputs(classes=classes, labelled=labelled)
        found = interleaved(
            {
                "floor": products(given),
                "published": published(given),
                "ours": ours("unicon", given, stream=True),
            },
            max(3, rounds // 2),
        )
        table.add(
            classes,
            f"{labelled:.0%}",
            found["ours"].median * 1e3,
            found["ours"].over(found["floor"]),
            found["published"].over(found["ours"]),
        )
    return table


def by_batch(rounds: int) -> Table:
    """How the cost grows with the batch."""
    table = Table(
        f"Streamed UniCon by batch, K={K}",
        ["B", "median ms", "ns per query and key", "times two products"],
    )
    for batch in (64, 256, 1024):
        given = inputs(batch=batch)
        pair = {"floor": products(given), "ours": ours("unicon", given, stream=True)}
        found = interleaved(pair, max(3, rounds // 2))
        table.add(
            batch,
            found["ours"].median * 1e3,
            found["ours"].median * 1e9 / (batch * K),
            found["ours"].over(found["floor"]),
        )
    return table


def crossover(rounds: int) -> Table:
    """From which size on streaming is faster than the readable formula."""
    table = Table(
        "Where streaming pays: UniCon, half labeled, 10 classes",
        ["B", "K", "B x K", "readable ms", "streamed ms", "readable / streamed"],
    )
    for batch, queue in (
        (64, 1024),
        (256, 256),
        (256, 1024),
        (256, 2048),
        (256, 4096),
        (256, 16384),
    ):
        given = inputs(batch=batch, queue=queue, classes=10)
        found = interleaved(
            {
                "readable": ours("unicon", given, stream=False),
                "streamed": ours("unicon", given, stream=True),
            },
            3 * rounds,
            warm_up=3,
        )
        table.add(
            batch,
            queue,
            f"2^{(batch * queue).bit_length() - 1}",
            found["readable"].median * 1e3,
            found["streamed"].median * 1e3,
            found["readable"].over(found["streamed"]),
        )
    return table


def low_precision(rounds: int) -> Table:
    """Products in bf16: how fast, and how far the gradient turns from that of float64."""
    given = inputs()
    query, key, queue, labels, queue_labels = given
    wide = (query.double(), key.double(), queue.double(), labels, queue_labels)
    fast = {
        t: ours("unicon", given, stream=True, temperature=t, half=True) for t in (0.05, 0.1, 0.2)
    }
    found = interleaved(
        {"published": published(given), **{str(t): step for t, step in fast.items()}}, 3
    )
    table = Table(
        "Streamed UniCon with products in bf16",
        ["T", "cosine to float64's gradient", "median ms", "published fp32 / this"],
    )
    for temperature, step in fast.items():
        exact = ours("unicon", wide, stream=True, temperature=temperature)()
        cosine = F.cosine_similarity(step().double().flatten(), exact.flatten(), dim=0)
        table.add(
            temperature,
            f"{cosine.item():.6f}",
            found[str(temperature)].median * 1e3,
            found["published"].over(found[str(temperature)]),
        )
    capability = torch.cpu.get_capabilities()
    has = [name for name in ("avx512_bf16", "amx_bf16") if capability.get(name)]
    table.notes.append(f"This CPU multiplies in bf16 by: {', '.join(has) or 'emulation only'}.")
    return table
