"""Conformance of an evaluation protocol."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import torch

from raymoco.choices import PROTOCOLS
from raymoco.config import EvalConfig
from raymoco.engine.probes import Features
from raymoco.engine.protocols.judge import build_protocol, measure, of_split
from raymoco.engine.protocols.protocol import LABELS, VIEWS, Evaluation, EvaluationProtocol
from raymoco.errors import ConfigError
from raymoco.metrics import Metric, Row, Split
from raymoco.registry import NAME
from raymoco.testing.expect import expect

CLASSES, DIM = 8, 16
TRAIN_ROWS, ROWS = 400, 400
NEAR_CHANCE = 0.12  # five standard errors of an accuracy on ROWS images


def check_protocol(protocol: str, **options: Any) -> None:
    """Check that an evaluation protocol can evaluate a run.

    The suite finds it by its path and builds it as for a run. It must report exactly the metrics
    that it names, with finite values that are equal in each call, and must not change the features.
    Its predictions must be one class for each judged image, and as often right as its metric says.
    A protocol that needs labels must give the best value where classes lie far apart, and a value
    near chance where labels are shuffled; one that needs none must work without labels. One class,
    one image and a bank of three must not stop it.

    Args:
        protocol: a name, or `package.module:Name`.
        options: the keys beside the name in `eval.protocols`; for raymoco's own protocols, those
            of `eval.NAME`.
    Raises:
        AssertionError: says in a sentence what is wrong.
    """
    build = _builder(protocol, options)
    built = build()
    for split in ("eval", "test"):
        if of_split([built], split):
            _check_split(protocol, built, build(), split)


def _builder(name: str, options: dict[str, Any]) -> Any:
    choice = PROTOCOLS.find(name)
    sections = {choice.section: options} if choice is not None and choice.section else {}
    value: Any = {NAME: name, **options} if options and not sections else name
    try:
        config = EvalConfig.model_validate({"protocols": [value], **sections})
        build_protocol(config, value)
    except (ConfigError, ValueError) as error:
        raise AssertionError(str(error)) from error
    return lambda: build_protocol(config, value)


def _check_split(
    name: str, built: EvaluationProtocol, twin: EvaluationProtocol, split: Split
) -> None:
    metrics = {metric.name: metric for metric in built.metrics if metric.split == split}
    labeled = LABELS in built.needs
    perfect = _Case(built, split)
    best = _checked(name, built, perfect, metrics)
    torch.rand(3)  # other draws of the process must not matter
    expect(best == perfect.measure(twin), f"{name} gives other values for equal seeds.")
    if labeled:
        shuffled = _checked(name, built, perfect.shuffled(), metrics)
        for metric in metrics.values():
            _check_sense(name, metric, best[metric.name], shuffled[metric.name])
    else:
        _checked(name, built, perfect.without_labels(), metrics)
    _checked(name, built, perfect.of_one_class(), metrics)
    _checked(name, built, perfect.with_bank(3), metrics)
    _checked(name, built, perfect.of_one_image(), metrics, may_be_nan=True)


def _checked(
    name: str,
    built: EvaluationProtocol,
    case: _Case,
    metrics: dict[str, Metric],
    *,
    may_be_nan: bool = False,
) -> Row:
    before = [part.clone() for part in case.tensors]
    row = case.measure(built)
    for metric, value in row.items():
        finite = math.isfinite(value) or (may_be_nan and math.isnan(value))
        expect(finite, f"{name}: {metric} is {value} {case.words}.")
        if metrics[metric].is_accuracy and not math.isnan(value):
            expect(
                0 <= value <= 1,
                f"{name}: {metric} is {value} {case.words}, but is a share, 0 to 1.",
            )
    same = all(torch.equal(a, b) for a, b in zip(before, case.tensors, strict=True))
    expect(same, f"{name} changes the features or labels that it is given, {case.words}.")
    return row


def _check_sense(name: str, metric: Metric, best: float, shuffled: float) -> None:
    said = f"{name}: {metric.name}"
    better = best > shuffled if metric.higher else best < shuffled
    expect(
        better,
        f"{said} is {best} where classes lie far apart and {shuffled} where labels are shuffled, "
        f"but {metric.better} is better.",
    )
    if metric.is_accuracy:
        expect(best > 0.999, f"{said} is {best} where classes lie far apart, but must be 1.")
    top = re.search(r"_top(\d+)$", metric.name)
    if metric.is_accuracy and top:
        chance = min(1.0, int(top[1]) / CLASSES)
        expect(
            abs(shuffled - chance) < NEAR_CHANCE,
            f"{said} is {shuffled} where labels are shuffled, but chance is {chance}: does it see "
            "the labels that it judges by?",
        )


class _Case:
    """Features to judge: CLASSES classes that lie far apart, unless `words` says otherwise."""

    def __init__(self, built: EvaluationProtocol, split: Split) -> None:
        self.words = "where classes lie far apart"
        self.train, choose, self.judged = (
            _classes(rows, seed) for seed, rows in enumerate((TRAIN_ROWS, ROWS, ROWS))
        )
        if split == "eval":
            self.judged = choose
        views = None
        if VIEWS in built.needs and split == "eval":
            views = (choose.features_NF + 0.1, choose.features_NF.roll(1, dims=1))
        self.about = Evaluation(split, choose, CLASSES, seed=0, views=views)

    @property
    def tensors(self) -> list[torch.Tensor]:
        parts = (self.train, self.judged, self.about.choose)
        found = [tensor for part in parts for tensor in (part.features_NF, part.labels_N)]
        return [*found, *(self.about.views or ())]

    def measure(self, protocol: EvaluationProtocol) -> Row:
        try:
            return measure([protocol], self.train, self.judged, self.about)
        except ConfigError as error:
            raise AssertionError(str(error)) from error

    def shuffled(self) -> _Case:
        draw = torch.Generator().manual_seed(7)

        def shuffle(labels: torch.Tensor) -> torch.Tensor:
            return labels[torch.randperm(len(labels), generator=draw)]

        return self._with_labels("where labels are shuffled", shuffle)

    def without_labels(self) -> _Case:
        case = self._with_labels("where no image has a label", lambda labels: labels * 0 - 1)
        case.about = replace(case.about, classes=0)
        return case

    def of_one_class(self) -> _Case:
        case = self._with_labels("where all images are of one class", lambda labels: labels * 0)
        case.about = replace(case.about, classes=1)
        return case

    def with_bank(self, rows: int) -> _Case:
        case = self._with_labels(f"with {rows} images in the train split", lambda labels: labels)
        case.train = _first(case.train, rows)
        return case

    def of_one_image(self) -> _Case:
        case = self._with_labels("where one image is judged", lambda labels: labels)
        case.judged, chosen = _first(case.judged, 1), _first(case.about.choose, 1)
        views = case.about.views
        case.about = replace(
            case.about, choose=chosen, views=views and (views[0][:1], views[1][:1])
        )
        return case

    def _with_labels(self, words: str, change: Any) -> _Case:
        case = object.__new__(_Case)
        case.words = words
        parts = (self.train, self.judged, self.about.choose)
        case.train, case.judged, choose = (
            Features(part.features_NF, change(part.labels_N)) for part in parts
        )
        if self.judged is self.about.choose:
            case.judged = choose
        case.about = replace(self.about, choose=choose)
        return case


def _classes(rows: int, seed: int) -> Features:
    labels = torch.arange(rows) % CLASSES
    centers = 4 * torch.eye(CLASSES, DIM)
    noise = torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))
    return Features(centers[labels] + 0.05 * noise, labels)


def _first(part: Features, rows: int) -> Features:
    return Features(part.features_NF[:rows], part.labels_N[:rows])
