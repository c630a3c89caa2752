"""The answer to a sweep's question, in sentences that state only what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raymoco.engine.reach import binomial_reach
from raymoco.metrics import describe
from raymoco.study.proposals.confirmation import NOTHING_ELSE, beside_default
from raymoco.study.report.findings import Findings
from raymoco.study.report.labels import (
    counted,
    interval,
    judged_in,
    metric_name,
    number,
)
from raymoco.study.report.look_sections import look_sentences
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.statistics.judged import Judged
from raymoco.study.statistics.paired import PairedDifference
from raymoco.study.statistics.plan import plan_notes
from raymoco.study.sweepfile.axis import short_name
from raymoco.study.sweepfile.default_trial import default_left_out
from raymoco.study.sweepfile.sections import CONFIRMED

SETTINGS_OF_OTHERS = {
    "full": ", each factor averaged over the settings of the others",
    "one_at_a_time": ", each factor with the others at the baseline",
    "leave_one_out": ", each factor with all the others on",
}


def answer(findings: Findings) -> list[str]:
    """Return a sentence per level, or a search's result and confirmation; then the limits."""
    if findings.comparisons is not None:
        said = _of_an_ablation(findings)
        compared, metric = findings.comparisons, findings.metric
        judged = [*compared.rows.values(), *compared.effects]
        levels = [mean.mean for mean in findings.comparisons.means.values() if mean]
    else:
        said = _of_a_search(findings)
        judged, metric = findings.confirmation, CONFIRMED
        levels = [
            t.score(CONFIRMED)
            for t in findings.ledger.all()
            if t.cell and t.completed and not math.isnan(t.score(CONFIRMED))
        ]
    return [*said, *covered(judged, metric, findings.judged_images(metric), levels)]


def covered(
    judged: Sequence[Judged], metric: str, images: int | None, levels: Iterable[float]
) -> list[str]:
    """Say which intervals cover the sample of images, if the metric is an accuracy.

    Args:
        judged: the comparisons; without any, the result is empty.
        images: the number of images in the metric's split; None: unknown.
        levels: accuracies whose mean is used as the typical accuracy.
    """
    if not any(r.difference or r.items for r in judged) or not describe(metric).is_accuracy:
        return []
    level = _typical(levels)
    known = ""
    if images is not None and level is not None:
        reach = number(binomial_reach(level, images))
        known = (
            f"on {images:,} {describe(metric).split} images an accuracy of "
            f"{number(level, 3)} is known to +-{reach} (95 %, binomial), and every trial was "
            "judged by the same ones"
        )
    items = [row.items for row in judged if row.items is not None]
    if not items:
        covers = "The intervals cover the seeds of training, not the sample of images"
        return [f"{covers}: {known}." if known else f"{covers}."]
    if all(found.seeds == 1 for found in items):
        covers = (
            "The intervals are over the images alone: with one seed nobody knows the noise of "
            "training."
        )
    else:
        covers = (
            "The intervals over training seeds leave out the sample of images; those over seeds "
            "and images have both in them."
        )
    noise = math.sqrt(math.fsum(found.noise**2 for found in items) / len(items))
    covers += (
        f" The images alone leave a standard error of {number(noise)} in such a difference with "
        "one seed."
    )
    lacking = sum(row.difference is not None and row.items is None for row in judged)
    if lacking:
        covers += f" For {lacking} of {counted(len(judged), 'row')} predictions are missing."
    return [f"{covers} {known[:1].upper()}{known[1:]}." if known else covers]


def in_words(subject: str, row: Judged) -> str:
    """Return one comparison as a sentence: subject, verdict, difference, seeds needed."""
    found = row.difference
    lost = f" {_pairs_lost(row.failed)}" if row.failed else ""
    lost = f" {row.over_images.capitalize()}.{lost}" if row.over_images else lost
    if found is None:
        return f"{subject}: not resolved. Fewer than two {row.unit} finished in both.{lost}"
    why = f"; {row.withheld}" if row.withheld else ""
    if row.verdict in ("helps", "hurts"):
        return f"{subject} {row.verdict}: {found.interval}{why}.{lost}"
    if row.verdict == "identical":
        return f"{subject} changes nothing: {found.size}, all equal.{lost}"
    if row.verdict == "negligible" and row.equivalence is not None:
        within = f"{row.equivalence.interval}, {found.size}"
        return f"{subject}: negligible: {number(found.difference, sign=True)}, {within}.{lost}"
    if math.isnan(found.p):
        return f"{subject}: not resolved. {found.interval}.{lost}"
    spread = f"{number(found.difference, sign=True)}, 95 % interval {_interval(found)}"
    left = row.resolution
    if row.p_holm < row.level:
        left = found.size
    return f"{subject}: not resolved. {spread}; {left}{why}.{lost}"


def _of_an_ablation(findings: Findings) -> list[str]:
    comparisons = findings.comparisons
    assert comparisons is not None
    said = []
    for effect in comparisons.effects:
        levels, against = effect.contrast.levels, effect.contrast.against
        if len(levels) == 1:
            ((factor, level),) = levels.items()
            subject = f"{factor} {level} instead of {against[factor]}"
        else:
            subject = f"{' with '.join(f'{f} {v}' for f, v in levels.items())}, beyond their sum"
        said.append(in_words(subject, effect))
    if not said:  # no trials have run that could judge a factor
        said = [
            in_words(f"{r.name} against {comparisons.baseline}", r)
            for r in comparisons.rows.values()
        ]
    what = f"Differences are in {judged_in(findings.metric, findings.higher)}, paired by seed"
    several = len({" x ".join(effect.contrast.levels) for effect in comparisons.effects}) > 1
    design = findings.ablation.design if findings.ablation is not None and several else ""
    what += SETTINGS_OF_OTHERS.get(design, "")
    tunings = len(set((comparisons.tuning_of or {}).values()))
    if tunings:
        what += f", and averaged over the seeds of each of {tunings} tunings, over which the "
        what += "intervals are: they cover the luck of tuning"
    notes = [*look_sentences(findings), *plan_notes(findings.sweep.spec, findings.ledger)]
    return [*said, f"{what}.", *notes]


def _of_a_search(findings: Findings) -> list[str]:
    best, metric = findings.best, findings.metric
    if not best:
        return ["No trial was completed."]
    name = short_name(best[0].values)
    mean = f" (mean of {best[0].seeds} seeds)" if best[0].proposal else ""
    what = "completed proposal" if best[0].proposal else "completed trial"
    said = [
        f"Of {counted(len(best), what)} the best reached "
        f"{number(best[0].score(metric))}{mean} in {judged_in(metric, findings.higher)}: "
        f"{best[0].trial_id}, {name}. "
        "The best of many draws is optimistic."
    ]
    left_out = default_left_out(findings.sweep, findings.sweep.base.flat())
    if left_out:
        said.append(f"{left_out[:1].upper()}{left_out[1:]}.")
    if findings.confirmation:
        said += [
            in_words(f"{row.name} on fresh seeds, {metric_name(CONFIRMED)}", row)
            for row in findings.confirmation
        ]
        if not confirmed_cells(findings.sweep, findings.ledger)[0]:
            said.append(NOTHING_ELSE)
    elif findings.search is not None and findings.search.confirm is not None:
        own = findings.sweep.base.flat()
        waits = "It was not confirmed yet: no pair with the default has finished."
        said.append(waits if beside_default(best, own) else NOTHING_ELSE)
    else:
        said.append("It was not confirmed with fresh seeds: `confirm` in the sweep file does that.")
    return said


def _interval(found: PairedDifference) -> str:
    return interval(found.low, found.high, sign=True)


def _typical(values: Iterable[float]) -> float | None:
    found = list(values)
    mean = math.fsum(found) / len(found) if found else math.nan
    return mean if 0 <= mean <= 1 else None


def _pairs_lost(failed: int) -> str:
    lost = counted(failed, "pair was", "pairs were")
    return f"{lost} lost to failed trials."
