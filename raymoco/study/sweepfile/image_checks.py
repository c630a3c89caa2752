"""What a sweep file asks for and its images cannot give."""

from __future__ import annotations

from raymoco.engine.resolve import resolve
from raymoco.errors import ConfigError, InputError
from raymoco.study.sweepfile.load import Sweep


def check_against_images(sweep: Sweep, *, channels: int, train_images: int, classes: int) -> None:
    """Refuse, before anything starts, a value or a cell that no run on these images can have.

    Raises:
        ConfigError: names the axis or the cell, and why.
    """
    for metric in (objective.metric for objective in sweep.objectives):
        if classes == 0 and metric.endswith(("_top1", "_top5")):
            raise ConfigError(
                f"no trial will report '{metric}': none of the images has a label. Choose a metric "
                "that needs none, such as eval/alignment or eval/effective_rank."
            )
    for what, values in sweep.corners:
        try:
            config = sweep.base.with_values(values)
            resolve(config, channels=channels, train_images=train_images)
        except InputError as error:
            raise ConfigError(f"{what}: {error}") from None
