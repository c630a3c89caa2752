"""The images that judge a run: how many there are, and what they can tell; said before it starts.

A run of a hundred epochs that is judged by nine images knows its accuracy to a quarter. That is
told before the first step, and what cannot be measured at all is refused or left out.
"""

from __future__ import annotations

from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.data.loading.train_plan import Reader, plan_training
from raymoco.data.shards.manifest import Manifest
from raymoco.engine.protocols.judge import build_protocols
from raymoco.engine.protocols.protocol import LABELS, TRAIN
from raymoco.engine.reach import binomial_reach
from raymoco.errors import DataError
from raymoco.metrics import EVAL_UNIFORMITY

SHOWN_AT = 0.8  # the accuracy of the fact
ENDS = (0.5, 0.9)  # the accuracies of the warning
FEW = 50  # images of a split
FEW_OF_CLASS = 5
NAMED = 6  # classes in a warning


def judging(manifest: Manifest, split: str) -> int:
    """The number of images of a split that judge: those with a label, or all where none has one."""
    counts = manifest.counts[split]
    return counts.labelled if manifest.classes else counts.rows


def judges_fact(manifest: Manifest) -> tuple[str, str]:
    """How many images judge, and how far they tell, as a row of a table."""
    said = []
    for split in ("eval", "test"):
        images = judging(manifest, split)
        if not manifest.classes or not images:
            said.append(f"{images:,} {_images(split, images)}")
            continue
        ends = [end(manifest.counts[split].per_class.values()) for end in (min, max)]
        each = " to ".join(f"{end:,}" for end in dict.fromkeys(ends))
        reach = binomial_reach(SHOWN_AT, images)
        said.append(
            f"{images:,} {_images(split, images)} ({each} a class): a top-1 of {SHOWN_AT:g} is "
            f"known to +-{reach:.2g}"
        )
    return "judged by", "; ".join(said)


def judges_warning(manifest: Manifest) -> str | None:
    """Return one warning of all that the images cannot tell, or hardly; None if they can."""
    said = []
    for split in ("eval", "test"):
        images = judging(manifest, split)
        if not images:
            said += [f"{split} has no labeled image: nothing is measured on it"] * (
                bool(manifest.classes)
            )
            continue
        if images < FEW and manifest.classes:
            low, high = (binomial_reach(accuracy, images) for accuracy in ENDS)
            said.append(
                f"{split} has {images} image{'s' * (images > 1)}: a top-1 of {ENDS[0]:g} is known "
                f"to +-{low:.2f}, one of {ENDS[1]:g} to +-{high:.2f}"
            )
        said += _few_of_class(manifest, split)
    said += [
        f"{metric} is left out: {why}" for metric, why in unmeasurable(manifest).items() if why
    ]
    classes = manifest.counts["train"].per_class
    empty = [name for name, count in classes.items() if not count]
    if empty:
        said.append(f"no labeled training image of {_listed(empty)}")
    return f"{'; '.join(said)}." if said else None


def unmeasurable(manifest: Manifest) -> dict[str, str]:
    """The metrics of ours that these images do not give, and why."""
    images = judging(manifest, "eval")
    return {EVAL_UNIFORMITY: "it needs two eval images"} if images < 2 else {}


def check_judges(config: RunConfig, handle: PreparedImages) -> None:
    """Refuse a run whose labels would turn out to be missing after its first epoch.

    Raises:
        ConfigError, DataError: nothing judges, or no label is visible where one is needed; or the
            list of labels or the mix does not suit the images.
    """
    manifest = handle.manifest
    if not judging(manifest, "eval"):
        raise DataError(
            f"none of the {manifest.rows('eval')} eval images in {handle.folder} has a label, so "
            "nothing can be judged."
        )
    by_visible = config.eval.labels == "visible" and any(
        {TRAIN, LABELS} <= set(protocol.needs) for protocol in build_protocols(config.eval).values()
    )
    labeled_only = LOSSES.facts(config.method.loss, look=True).needs_labels
    data = config.data
    if not (by_visible or labeled_only or data.labelled_list or data.mix != "natural"):
        return  # a plan of a million images takes seconds
    reader = Reader(config.seed, config.optim.batch_size, 0, config.scale.workers)
    plan = plan_training(handle, data, reader, labeled_only=labeled_only)
    if by_visible and manifest.classes and not plan.visible:
        where = f"data.labelled_list {data.labelled_list}" if data.labelled_list else "this seed"
        raise DataError(
            "eval.labels is visible, but no training image has a visible label: "
            f"data.labelled_fraction is {data.labelled_fraction:g} of {len(plan.labels):,} images "
            f"({where}). Let more labels be seen, or set eval.labels to all."
        )


def _images(split: str, count: int) -> str:
    return f"{split} image{'s' * (count != 1)}"


def _few_of_class(manifest: Manifest, split: str) -> list[str]:
    counts = manifest.counts[split].per_class
    few = sorted((count, name) for name, count in counts.items() if count < FEW_OF_CLASS)
    if not few:
        return []
    named = _listed([f"{name} {count}" for count, name in few])
    of = f"{len(few)} of {len(counts)} classes have"
    return [f"{of} fewer than {FEW_OF_CLASS} {split} images ({named})"]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
