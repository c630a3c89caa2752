"""Reject values that no run on these images could use."""

from __future__ import annotations

from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.judges import check_judges, unmeasurable
from raymoco.engine.protocols.judge import needs_labels
from raymoco.engine.resolve import resolve
from raymoco.errors import ConfigError, InputError
from raymoco.metrics import EVAL_ALIGNMENT, EVAL_EFFECTIVE_RANK
from raymoco.study.sweepfile.load import Sweep

# the keys that decide which labels are seen, and whether any is needed
OF_LABELS = ("data", "eval", "seed", "method.loss", "optim.batch_size")


def check_against_images(sweep: Sweep, *, channels: int, train_images: int, classes: int) -> None:
    """Refuse a value or a cell that no run on these images can use, before anything starts.

    Raises:
        ConfigError: names the axis or the cell, and why.
    """
    for metric in (objective.metric for objective in sweep.objectives):
        if classes == 0 and needs_labels(sweep.base.eval, metric):
            raise ConfigError(
                f"no trial will report '{metric}': none of the images has a label. Choose a metric "
                f"that needs none, such as {EVAL_ALIGNMENT} or {EVAL_EFFECTIVE_RANK}."
            )
    for whose, values in sweep.corners:
        try:
            config = sweep.base.with_values(values)
            resolve(config, channels=channels, train_images=train_images)
        except InputError as error:
            raise ConfigError(f"{whose}: {error}") from None


def check_against_judges(sweep: Sweep, images: PreparedImages) -> None:
    """Refuse an objective that these images do not give, and values with which no label is seen.

    Raises:
        ConfigError: names the metric, the axis or the cell, and why.
    """
    for metric in (objective.metric for objective in sweep.objectives):
        why = unmeasurable(images.manifest).get(metric)
        if why:
            raise ConfigError(f"no trial will report '{metric}': {why}.")
    for whose, values in sweep.corners:
        if any(key.startswith(OF_LABELS) for key in values):
            try:
                check_judges(sweep.base.with_values(values), images)
            except InputError as error:
                raise ConfigError(f"{whose}: {error}") from None
