"""How much of the disk a sweep's checkpoints take."""

from __future__ import annotations

from raymoco.config import RunConfig
from raymoco.engine.disk import CheckpointSize, at_once, check_room, checkpoint_size
from raymoco.files import bytes_in_words
from raymoco.study.sweepfile.load import Sweep

# a trial's values that change the size of its checkpoints
SIZED = ("model.", "method.loss", "method.queue_size", "method.terms", "optim.name")
CURE = "checkpoint.keep, checkpoint.keep_trials, checkpoint.losers, or fewer trials"


def kept_trials(sweep: Sweep) -> int:
    """Return how many of the best trials keep their whole checkpoints."""
    confirm = sweep.search.confirm if sweep.search is not None else None
    return max(sweep.base.checkpoint.keep_trials, confirm.top if confirm is not None else 0)


def check_sweep(
    sweep: Sweep,
    resolved: RunConfig,
    *,
    channels: int,
    image_size: int,
    classes: int,
    ended: int = 0,
) -> str:
    """Return what a sweep's checkpoints take and what is free, in words.

    Args:
        resolved: its run.
        image_size: what the encoder sees.
        ended: how many trials have ended before.
    Raises:
        DiskFullError: the disk is too small for them.
    """
    size = largest(sweep, resolved, channels=channels, image_size=image_size, classes=classes)
    return check_room(sweep.output, *sweep_in_words(sweep, size, ended), CURE)


def largest(
    sweep: Sweep, resolved: RunConfig, *, channels: int, image_size: int, classes: int
) -> CheckpointSize:
    """Return the largest checkpoints of any trial: at the ends of the axes, and in every cell."""
    configs = [resolved]
    for _, values in sweep.corners:
        sized = {key: value for key, value in values.items() if key.startswith(SIZED)}
        if sized:
            configs.append(resolved.with_values(sized))
    different = {
        (c.model.model_dump_json(), c.method.model_dump_json(), c.optim.name): c for c in configs
    }
    sizes = [
        checkpoint_size(config, channels=channels, image_size=image_size, classes=classes)
        for config in different.values()
    ]
    return max(sizes)


def sweep_in_words(sweep: Sweep, size: CheckpointSize, ended: int = 0) -> tuple[int, str]:
    """Return the bytes that a sweep's checkpoints take at most, and the same in words.

    Args:
        ended: how many trials have ended before; theirs are on the disk already.
    """
    spec, checkpoint = sweep.spec, sweep.base.checkpoint
    left = max(0, spec.planned_trials - ended)
    whole, rule = left, checkpoint.losers
    search = sweep.search
    if search is not None and not search.scheduler.population and rule != "all":
        whole = min(left, kept_trials(sweep) * search.repeats + spec.confirmations)
    running = min(left, spec.budget.concurrent) * at_once(sweep.base)
    kept = min(checkpoint.keep, at_once(sweep.base))
    needed = (whole * kept + running) * size.whole + (left - whole) * size.kept(rule)
    words = f"checkpoints of {whole} trials x {bytes_in_words(kept * size.whole)}"
    if whole < left:
        words += f", {left - whole} others x {bytes_in_words(size.kept(rule))}"
    return needed, f"{words}, {bytes_in_words(needed)} at most"
