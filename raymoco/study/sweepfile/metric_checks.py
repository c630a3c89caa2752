"""Refuse a sweep whose metric none of its trials reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raymoco.config import RunConfig
from raymoco.engine.protocols.reported import reported_metrics, require_reported
from raymoco.errors import ConfigError
from raymoco.metrics import is_measured
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import CONFIRMED

if TYPE_CHECKING:
    from raymoco.study.sweepfile.load import Sweep


def check_metrics(
    spec: SearchSpec | AblationSpec, base: RunConfig, *, imports: bool = False
) -> None:
    """Check that the protocols of a sweep's run report the metrics that judge it.

    Args:
        imports: whether to import third-party protocols and read their metrics.
    Raises:
        ConfigError: no trial, or not every cell, reports the metric.
    """
    if isinstance(spec, SearchSpec):
        metrics = [objective.metric for objective in spec.objectives]
        configs = [("", base)]
        if spec.confirm:
            metrics.append(CONFIRMED)
            configs += [
                (f"confirm.against.{name}: ", base.with_values(values))
                for name, values in spec.confirm.against.items()
                if any(key.startswith("eval.") for key in values)
            ]
    else:
        metrics = [spec.metric, *([spec.tuned_on.metric] if spec.tune else [])]
        configs = [
            (f"the cell '{cell.name}': ", base.with_values(cell.values))
            for cell in spec.cells
            if any(key.startswith("eval.") for key in cell.values)
        ]
        if len(configs) < len(spec.cells):  # the others are judged as the base run is
            configs.insert(0, ("", base))
    for what, config in configs:
        for metric in metrics:
            try:
                require_reported(metric, config, imports=imports)
            except ConfigError as error:
                raise ConfigError(f"{what}{error}") from None


def ask_protocols(sweep: Sweep) -> Sweep:
    """Import the protocols of a sweep before it runs, and store the direction of its metric.

    Returns:
        The sweep; its file says which way the metric of somebody else's protocol is better, so that
        it can be reported where their code is not.
    Raises:
        ConfigError: a protocol is not there, is none, or does not report what the sweep is judged
            by.
    """
    spec = sweep.spec
    check_metrics(spec, sweep.base, imports=True)
    reported = reported_metrics(sweep.base, imports=True)
    if isinstance(spec, SearchSpec):
        for objective in spec.objectives:
            theirs, said = is_measured(objective.metric), "mode" in objective.model_fields_set
            if theirs and not said and reported[objective.metric].mode != objective.mode:
                raise ConfigError(
                    f"objective.metric is {objective.metric}, and its protocol says that "
                    f"{reported[objective.metric].better} is better: say which way it is "
                    f"optimized, mode: {reported[objective.metric].mode} or {objective.mode}."
                )
        return sweep
    if not is_measured(spec.metric):
        return sweep
    metric = reported[spec.metric]
    if spec.mode not in (None, metric.mode):
        raise ConfigError(
            f"mode is {spec.mode}, but of {spec.metric} it is {metric.mode}, as its protocol says."
        )
    return replace(sweep, spec=spec.model_copy(update={"mode": metric.mode}))
