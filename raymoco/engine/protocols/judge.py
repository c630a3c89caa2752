"""Build and check the evaluation protocols of a run, and measure with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from raymoco.choices import PROTOCOLS
from raymoco.config import EvalConfig
from raymoco.engine.probes import Features, share_right
from raymoco.engine.protocols.protocol import LABELS, NEEDS, Evaluation, EvaluationProtocol
from raymoco.engine.protocols.reported import active_protocols
from raymoco.errors import ConfigError
from raymoco.metrics import LISTED, TOP1, Metric, Row, describe, short_name
from raymoco.registry import NAME, name_of

KEY = PROTOCOLS.key
FLOAT_ROUNDING = 1e-6  # of an accuracy that is a mean in float32


def build_protocol(config: EvalConfig, value: str | dict[str, Any]) -> EvaluationProtocol:
    """Build one protocol with its options.

    Raises:
        ConfigError: its code is not there or is none, or an option is wrong; says which and why.
    """
    found, name = PROTOCOLS.load(value), name_of(value)
    options = _options(config, value, found)
    try:
        built = found() if options is None else found(options=options)
    except Exception as error:
        if PROTOCOLS.find(value) is not None or isinstance(error, ConfigError):
            raise
        # third-party code may raise anything: show its message
        raise ConfigError(
            f"{KEY} is '{name}', but building it fails: {type(error).__name__}: {error}"
        ) from error
    problem = _problem(built, ours=PROTOCOLS.find(value) is not None)
    if problem:
        raise ConfigError(f"{KEY} is '{name}', but {problem}. It must keep {PROTOCOLS.protocol}.")
    return built  # type: ignore[no-any-return]


def build_protocols(config: EvalConfig) -> dict[str, EvaluationProtocol]:
    """Build every protocol that evaluates a run, by name.

    Raises:
        ConfigError: as `build_protocol`, or two report the same metric.
    """
    built = {name_of(one): build_protocol(config, one) for one in active_protocols(config)}
    reports: dict[str, str] = {}
    for name, protocol in built.items():
        for metric in protocol.metrics:
            other = reports.setdefault(metric.name, name)
            if other != name:
                raise ConfigError(
                    f"{KEY} has {other} and {name}, but both report {metric.name}: leave one out."
                )
    return built


def spelled_protocols(config: EvalConfig) -> list[str | dict[str, Any]]:
    """Return the config's list with every option of third-party protocols written out."""
    spelled: list[str | dict[str, Any]] = []
    for value in config.protocols:
        options = None
        if PROTOCOLS.find(value) is None:
            options = PROTOCOLS.options(value, PROTOCOLS.load(value))
        written = {} if options is None else options.model_dump(mode="json")
        spelled.append({NAME: name_of(value), **written} if written else value)
    return spelled


def of_split(protocols: Iterable[EvaluationProtocol], split: str) -> list[EvaluationProtocol]:
    """Return the protocols that report a metric on a split."""
    return [one for one in protocols if any(metric.split == split for metric in one.metrics)]


def needed(protocols: Iterable[EvaluationProtocol], what: str) -> bool:
    """Whether one of the protocols needs this."""
    return any(what in one.needs for one in protocols)


def needs_labels(config: EvalConfig, metric: str) -> bool:
    """Whether a metric is left out where no image has a label."""
    return any(
        LABELS in protocol.needs
        for protocol in build_protocols(config).values()
        if metric in {one.name for one in protocol.metrics}
    )


def measure(
    protocols: Sequence[EvaluationProtocol], train: Features, judged: Features, about: Evaluation
) -> Row:
    """Measure one split by all protocols that report a metric on it.

    Raises:
        ConfigError: a protocol does not return the metrics that it names, or keeps predictions
            that cannot be theirs.
    """
    row: Row = {}
    device = judged.features_NF.device
    for protocol in of_split(protocols, about.split):
        kept: dict[str, Tensor] = {}
        # restore the generators: the number of evaluations must not affect training
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(about.seed)
            found = protocol.measure(train, judged, replace(about, keep=kept.__setitem__))
        names = [short_name(m.name) for m in protocol.metrics if m.split == about.split]
        path = f"{type(protocol).__module__}:{type(protocol).__qualname__}"
        if set(found) != set(names):
            raise ConfigError(
                f"{KEY}: {path} returned {_listed(found)} for the {about.split} split, but its "
                f"metrics there are {_listed(names)}."
            )
        values = {name: float(value) for name, value in found.items()}
        for name, predicted_M in kept.items():
            problem = _wrong_predictions(name, predicted_M, values, judged.labels_N, about)
            if problem:
                raise ConfigError(f"{KEY}: {path} keeps predictions of '{name}', but {problem}.")
            values[name] = share_right(predicted_M, judged.labels_N)  # without its float's rounding
            about.keep(name, predicted_M)
        row |= {f"{about.split}/{name}": value for name, value in values.items()}
    return row


def finite(row: Row) -> Row:
    """Only what could be measured: the spread of one image is NaN, and JSON has no NaN."""
    return {name: value for name, value in row.items() if math.isfinite(value)}


def _wrong_predictions(
    name: str, predicted_M: Any, values: Row, labels_M: Tensor, about: Evaluation
) -> str:
    """Why these cannot be the predictions behind a metric, in words; '' if they can."""
    if name not in values or not describe(f"{about.split}/{name}").outcomes:
        top1 = _listed(one for one in values if one.endswith(TOP1))
        return f"its metrics of one class per image on {about.split} are {top1}"
    if not isinstance(predicted_M, Tensor) or predicted_M.dtype != torch.int64:
        return f"they are {getattr(predicted_M, 'dtype', type(predicted_M))}, not a tensor of int64"
    if predicted_M.shape != labels_M.shape:
        found, wanted = tuple(predicted_M.shape), tuple(labels_M.shape)
        return f"their shape is {found}, and that of the judged images is {wanted}"
    if len(labels_M) and not 0 <= int(predicted_M.min()) <= int(predicted_M.max()) < about.classes:
        low, high = int(predicted_M.min()), int(predicted_M.max())
        return f"they go from {low} to {high}, and classes from 0 to {about.classes - 1}"
    share = share_right(predicted_M, labels_M)
    if not abs(share - values[name]) <= FLOAT_ROUNDING:
        return f"{share} of them are right, and it reports {values[name]}"
    return ""


def _options(config: EvalConfig, value: str | dict[str, Any], found: Any) -> Any:
    choice, name = PROTOCOLS.find(value), name_of(value)
    if choice is None or not choice.section:
        return PROTOCOLS.options(value, found)
    if not isinstance(value, str):
        option = next(key for key in value if key != NAME)
        raise ConfigError(
            f"{KEY}.{option} is given, but what {name} takes stands at eval.{choice.section}."
        )
    return getattr(config, choice.section)


def _problem(built: Any, *, ours: bool) -> str:
    """What is wrong with a protocol's attributes, in words; '' if nothing is."""
    metrics = getattr(built, "metrics", None)
    if not isinstance(metrics, tuple) or not all(isinstance(one, Metric) for one in metrics):
        return "its metrics are no tuple of raymoco.metrics.Metric"
    if not metrics:
        return "it reports no metric"
    for metric in metrics:
        if metric.split not in ("eval", "test") or not short_name(metric.name):
            return f"its metric {metric.name!r} must be named eval/NAME or test/NAME"
        if not metric.better:
            return f"its metric {metric.name} does not say which way is better"
        if not ours and metric.name in LISTED:
            return f"its metric {metric.name} is one of raymoco's own"
    needs = getattr(built, "needs", None)
    if not isinstance(needs, tuple) or not set(needs) <= set(NEEDS):
        return f"its needs are {needs!r}, but must be a tuple of {', '.join(NEEDS)}"
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"
