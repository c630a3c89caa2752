"""Warn of values of a sweep with which the key encoder hardly moves, or the queue hardly fills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raymoco.config import RunConfig
from raymoco.engine.regime import Regime, TrainImages, regime
from raymoco.engine.regime_advice import PROBLEMS, Problem, advice
from raymoco.errors import InputError
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.axis import format_value
from raymoco.study.sweepfile.load import Sweep

CELLS = "cells"
AS_IT_STANDS = "the run as it stands"
SHOWN = 6  # cells that a warning names


@dataclass(frozen=True)
class Judged:
    """A config of a sweep: the axis or the kind of cell, its value in words, and its regime."""

    group: str
    value: str
    config: RunConfig
    regime: Regime


def sweep_regime_warning(sweep: Sweep, images: TrainImages) -> str | None:
    """Return one warning with all values whose runs have a problem, and what would help; or None.

    Each value of an axis is judged with the others at their default, each cell as a whole.
    """
    judged = list(_judged(sweep, images))
    found = [_said(problem, judged, sweep, images) for problem in PROBLEMS]
    said = [text for text in found if text]
    return f"{'; '.join(said)}." if said else None


def _said(problem: Problem, judged: list[Judged], sweep: Sweep, images: TrainImages) -> str:
    """One problem of all values that have it, '' if none has."""
    own = problem.of(regime_of(sweep.base, images) or Regime(0, 0))
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(one.group, []).append(one)
    said, bad = [], list[Judged]()
    for group, members in groups.items():
        # an axis that does not touch it would only repeat what the run as it stands says
        touched = any(problem.of(one.regime) != own for one in members)
        mine = [one for one in members if problem.has(one.regime)]
        if mine and (touched or group in (CELLS, AS_IT_STANDS)):
            names = _names(group, [one.value for one in mine], len(members))
            said.append(f"{names}: {problem.words([one.regime for one in mine])}")
            bad += mine
    if not bad:
        return ""
    subject, whose = bad[0], ""
    if subject.group != AS_IT_STANDS:
        subject = max(bad, key=lambda one: problem.severity(one.regime))
        alike = len({problem.severity(one.regime) for one in bad}) == 1
        whose = "" if alike else "for the worst of them, "
    elif len(bad) > 1:
        whose = f"for {AS_IT_STANDS}, "
    helps = advice(problem, subject.config, images, without=sweep.axes)
    return "; ".join(said) + (f" ({whose}{helps})" if helps else "")


def _judged(sweep: Sweep, images: TrainImages) -> Iterator[Judged]:
    for group, value, values in _variants(sweep):
        try:
            config = sweep.base.with_values(values)
        except InputError:  # with the others at their default no run can have it
            continue
        found = regime_of(config, images)
        if found is not None:
            yield Judged(group, value, config, found)


def _variants(sweep: Sweep) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the axis or the kind of cell, the value in words, and the config values it sets."""
    spec = sweep.spec
    if isinstance(spec, AblationSpec):
        for cell in spec.cells:
            yield CELLS, cell.name, cell.values
        for key, axis in spec.sampled.items():
            for end in axis.extremes:
                yield f"tune.axes.{key}", format_value(end), {key: end}
        return
    yield AS_IT_STANDS, "", {}
    for where, values in sweep.corners:
        key = where.removeprefix("search.")
        # else it is a baseline of `confirm`
        yield (key, format_value(values[key]), values) if key != where else (where, "", values)
    for number, point in enumerate(spec.enqueue):
        yield f"enqueue.{number}", "", point


def regime_of(config: RunConfig, images: TrainImages) -> Regime | None:
    """Return the regime of a config; None where it cannot be trained on these images."""
    try:
        return regime(config, images)
    except InputError:  # data.mix without such images: the trial that has it says so
        return None


def _names(group: str, values: list[str], members: int) -> str:
    if group != CELLS:
        return f"{group} {', '.join(values)}".rstrip()
    if len(values) == members:
        return "every cell"
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return f"the cell{'s' * (len(values) > 1)} {', '.join(values[:SHOWN])}{more}"
