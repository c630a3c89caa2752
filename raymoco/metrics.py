"""All metrics, each defined once: name, label, unit, direction, use, and where it is computed.

A new metric is an entry of LISTED and the code that computes it: sweep files, tables, reports,
MLflow's pages and docs/method.md ask here. A name that nobody can list beforehand, such as that of
a third party's loss term or evaluation protocol, belongs to one of FAMILIES.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

# what an epoch measured, by metric name; `epoch` and `train_seconds` stand beside the metrics
Row = dict[str, float | int]

Better = Literal["higher", "lower", ""]
Split = Literal["train", "eval", "test", ""]

EVAL_KNN = "eval/knn_top1"
EVAL_ALIGNMENT = "eval/alignment"
EVAL_UNIFORMITY = "eval/uniformity"
EVAL_EFFECTIVE_RANK = "eval/effective_rank"
TRAIN_LOSS = "train/loss"
TRAIN_CONTRAST = "train/contrast"
TRAIN_LR = "train/lr"
IMAGES_PER_SECOND = "perf/images_per_second"
STEP_SECONDS = "perf/step_seconds"
DATA_WAIT = "perf/data_wait"
VIEWS_SECONDS = "perf/views_seconds"
COMPUTE_SECONDS = "perf/compute_seconds"
TEST_KNN = "test/knn_top1"
TEST_LINEAR = "test/linear_top1"
TEST_LINEAR_TOP5 = "test/linear_top5"
TEST_LOGREG = "test/logreg_top1"
RETRIEVAL = {
    "recall_1": "recall at 1",
    "recall_5": "recall at 5",
    "r_precision": "R-precision",
    "map_at_r": "mean average precision at R",
}

FRACTION = "fraction"
TOP1 = "_top1"


@dataclass(frozen=True)
class Metric:
    """One measure of a run.

    Args:
        name: as metrics.csv, trials.csv, sweep files and MLflow have it; begins with its split, if
            it is measured on one.
        label: in words, as a report says it.
        unit: empty where it has none; FRACTION: a share of images, 0 to 1.
        better: empty where neither way is.
        computed: `module` or `module:name` of the code; what an evaluation protocol of ours
            reports has the protocol's class.
        heading: of a column in the terminal's tables, where the name is too long for one.
        decides: whether a study may be judged by it.
        needs_labels: whether it is left out where no image has a label.
        in_summary: whether `raymoco train` prints it at the end.
        in_tables: whether a table of the best trials shows it, whatever they are best in.
    """

    name: str
    label: str
    unit: str = ""
    better: Better = "higher"
    computed: str = ""
    heading: str = ""
    decides: bool = False
    needs_labels: bool = False
    in_summary: bool = False
    in_tables: bool = False

    @property
    def split(self) -> Split:
        """The images that it is measured on; empty where it is no matter of them."""
        first = self.name.partition("/")[0]
        return cast(Split, first) if first in ("train", "eval", "test") else ""

    @property
    def higher(self) -> bool:
        """Whether more is better; taken to be so where neither way is."""
        return self.better != "lower"

    @property
    def mode(self) -> Literal["max", "min"]:
        """The direction, in the words of a sweep file."""
        return "max" if self.higher else "min"

    @property
    def label_with_unit(self) -> str:
        """The label with its unit, for an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def column(self) -> str:
        """The heading of its column in the terminal."""
        return self.heading or self.name

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share of images, so that a binomial error goes with it."""
        return self.unit == FRACTION

    @property
    def outcomes(self) -> str:
        """The key of its outcomes per image in a predictions file: `test/knn` of `test/knn_top1`.

        Empty for what is no top-1 accuracy: only of those is an outcome right or wrong.
        """
        judged = self.split in ("eval", "test") and self.name.endswith(TOP1)
        return self.name.removesuffix(TOP1) if judged else ""

    @property
    def optimizable(self) -> bool:
        """Whether a search may optimize it: the test split is for the end."""
        return self.decides and self.split != "test"


def fewshot_names(shots: int) -> tuple[str, str]:
    """The names of a few-shot accuracy and of the half-width of its interval over draws."""
    return f"test/fewshot{shots}", f"test/fewshot{shots}_half_width"


# in the order of messages and of docs/method.md
# fmt: off
LISTED = {metric.name: metric for metric in (
    Metric(EVAL_KNN, "kNN accuracy on eval", FRACTION, "higher",
           "raymoco.engine.protocols.knn:Knn", "eval kNN",
           decides=True, needs_labels=True, in_summary=True),
    Metric(EVAL_ALIGNMENT, "alignment on eval", "", "lower",
           "raymoco.engine.protocols.collapse:Collapse", decides=True, in_summary=True),
    Metric(EVAL_UNIFORMITY, "uniformity on eval", "", "lower",
           "raymoco.engine.protocols.collapse:Collapse", decides=True, in_summary=True),
    Metric(EVAL_EFFECTIVE_RANK, "effective rank on eval", "", "higher",
           "raymoco.engine.protocols.collapse:Collapse", decides=True, in_summary=True),
    Metric(TRAIN_LOSS, "training loss", "nats", "lower",
           "raymoco.ssl.moco:MoCo", decides=True, in_summary=True),
    Metric(TRAIN_CONTRAST, "training contrast loss", "nats", "lower",
           "raymoco.ssl.losses", decides=True),
    Metric(TRAIN_LR, "learning rate of the last step", "", "",
           "raymoco.ssl.schedules:learning_rate"),
    Metric(IMAGES_PER_SECOND, "images per second", "images/s", "higher",
           "raymoco.engine.loop", decides=True, in_summary=True),
    Metric(STEP_SECONDS, "time of a step", "s", "lower", "raymoco.engine.loop"),
    Metric(DATA_WAIT, "time for which a step waits for its batch", "s", "lower",
           "raymoco.engine.stopwatch:Stopwatch"),
    Metric(VIEWS_SECONDS, "time in which a step makes views", "s", "lower",
           "raymoco.engine.stopwatch:Stopwatch"),
    Metric(COMPUTE_SECONDS, "time in which a step trains", "s", "lower",
           "raymoco.engine.stopwatch:Stopwatch"),
    Metric(TEST_KNN, "kNN accuracy on test", FRACTION, "higher",
           "raymoco.engine.protocols.knn:Knn", "test kNN",
           decides=True, needs_labels=True, in_summary=True, in_tables=True),
    Metric(TEST_LINEAR, "linear accuracy on test", FRACTION, "higher",
           "raymoco.engine.protocols.linear:Linear", "test linear",
           decides=True, needs_labels=True, in_summary=True, in_tables=True),
    Metric(TEST_LINEAR_TOP5, "linear top-5 accuracy on test", FRACTION, "higher",
           "raymoco.engine.protocols.linear:Linear",
           decides=True, needs_labels=True, in_summary=True),
    Metric(TEST_LOGREG, "logistic-regression accuracy on test", FRACTION, "higher",
           "raymoco.engine.protocols.logreg:LogReg", "test logreg",
           decides=True, needs_labels=True, in_summary=True),
    *(metric for shots in (1, 5) for metric in (
        Metric(fewshot_names(shots)[0], f"{shots}-shot accuracy on test", FRACTION, "higher",
               "raymoco.engine.protocols.fewshot:FewShot",
               decides=True, needs_labels=True, in_summary=True),
        Metric(fewshot_names(shots)[1],
               f"half of the 95 % interval over draws, {shots}-shot accuracy on test",
               FRACTION, "lower", "raymoco.engine.protocols.fewshot:FewShot",
               needs_labels=True, in_summary=True),
    )),
    *(Metric(f"{split}/{name}", f"{label} on {split}", FRACTION, "higher",
             "raymoco.engine.protocols.retrieval:Retrieval",
             decides=True, needs_labels=True, in_summary=True)
      for split in ("eval", "test")
      for name, label in RETRIEVAL.items()),
)}
# fmt: on


@dataclass(frozen=True)
class Family:
    """Metrics that cannot be listed, because a part of their names comes from elsewhere.

    Args:
        prefix: with its slash.
        rest: what follows it, as docs/method.md says it.
        label: in words, with `{}` for what follows the prefix.
        better: as of a metric.
        computed: as of a metric.
        of_metric: whether what follows is a metric, whose unit and direction are theirs too.
        measured: whether an evaluation protocol reports it: tables show it, and a study may be
            judged by it if its protocol is configured.
    """

    prefix: str
    rest: str
    label: str
    better: Better
    computed: str
    of_metric: bool = False
    measured: bool = False

    def of(self, rest: str) -> str:
        """The name of one member."""
        return self.prefix + rest

    def member(self, name: str) -> Metric:
        """What is known of one member."""
        rest = name.removeprefix(self.prefix)
        if self.of_metric:
            inner = describe(rest)
            label = self.label.format(inner.label)
            return Metric(name, label, inner.unit, inner.better, self.computed)
        label = self.label.format(rest.replace("_", " "))
        accuracy = self.measured and rest.endswith(("_top1", "_top5"))
        return Metric(
            name,
            label,
            FRACTION if accuracy else "",
            self.better,
            self.computed,
            needs_labels=accuracy,
            in_summary=self.measured,
            in_tables=self.measured and name.startswith("test/"),
        )


LOSS_TERM = Family("train/", "TERM", "training {}", "lower", "raymoco.ssl.regularizers")
CHANGED_VALUE = Family("changes/", "KEY", "{} of the epoch", "", "raymoco.engine.loop")
TRIALS_IN_STATE = Family("sweep/", "STATE", "{} trials", "", "raymoco.study.mlflow.translate")
BEST_SO_FAR = Family(
    "best/", "METRIC", "best {} so far", "", "raymoco.study.mlflow.translate", of_metric=True
)
JUDGE = "raymoco.engine.protocols.judge"
EVALUATED = Family("eval/", "NAME", "{} on eval", "higher", JUDGE, measured=True)
TESTED = Family("test/", "NAME", "{} on test", "higher", JUDGE, measured=True)
FAMILIES = (LOSS_TERM, CHANGED_VALUE, TRIALS_IN_STATE, BEST_SO_FAR, EVALUATED, TESTED)


def describe(name: str) -> Metric:
    """What is known of a metric: its entry, its family's rule, or what the name itself says."""
    if name in LISTED:
        return LISTED[name]
    for family in FAMILIES:
        if name.startswith(family.prefix):
            return family.member(name)
    return Metric(name, name)


def is_known(name: str) -> bool:
    """Whether a metric has an entry or a family."""
    return name in LISTED or any(name.startswith(family.prefix) for family in FAMILIES)


def is_metric(column: str) -> bool:
    """Whether a row's column is a metric; `epoch` and `train_seconds` are not."""
    return "/" in column


def is_measured(name: str) -> bool:
    """Whether it may be the metric of a third-party evaluation protocol."""
    return name not in LISTED and any(
        family.measured and name.startswith(family.prefix) for family in FAMILIES
    )


def computed_by(path: str) -> tuple[Metric, ...]:
    """Our metrics that some code computes, by its path."""
    return tuple(metric for metric in LISTED.values() if metric.computed == path)


def short_name(name: str) -> str:
    """A metric without its split: `knn_top1` for `eval/knn_top1`."""
    return name.partition("/")[2]


def optimizable() -> list[str]:
    """What a search may optimize."""
    return [metric.name for metric in LISTED.values() if metric.optimizable]


def deciding() -> list[str]:
    """What an ablation may be judged by."""
    return [metric.name for metric in LISTED.values() if metric.decides]


def with_results(*chosen: str, reported: Iterable[str] = ()) -> list[str]:
    """The metrics of a table of trials: those it is about, then those that every one shows.

    Args:
        reported: what trials report; of it a table shows other protocols' metrics on test too.
    """
    results = [metric.name for metric in LISTED.values() if metric.in_tables]
    others = [name for name in reported if describe(name).in_tables]
    return list(dict.fromkeys([*chosen, *results, *others]))


def while_training(name: str) -> str:
    """The metric, or what stands for it before the end, if it is of the test split."""
    return EVAL_KNN if describe(name).split == "test" else name


COLUMNS = ("metric", "what it is", "unit", "better", "split", "may decide", "computed in")
BEGIN = "<!-- metrics: python -m raymoco.metrics docs/method.md -->\n"
END = "<!-- end of metrics -->\n"


def metrics_table() -> str:
    """Return every metric and family as a row of Markdown."""
    rows: list[tuple[str, ...]] = [COLUMNS, ("---",) * len(COLUMNS)]
    for one in LISTED.values():
        deciders = ["search"] * one.optimizable + ["ablation"] * one.decides
        decide = ", ".join(deciders)
        rows.append(
            (f"`{one.name}`", one.label, one.unit, one.better, one.split, decide, one.computed)
        )
    for family in FAMILIES:
        name, label = family.of(family.rest), family.label.format(family.rest)
        unit = "as METRIC" if family.of_metric else ""
        better = "as METRIC" if family.of_metric else str(family.better)
        if family.measured:
            better = "as its protocol says"
        split = describe(name).split
        decide = ", ".join(["search"] * (split == "eval") + ["ablation"]) * family.measured
        rows.append((f"`{name}`", label, unit, better, split, decide, family.computed))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str) -> str:
    """A page whose table of metrics, between its two marks, is as it should be."""
    between = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    return between.sub(lambda _: metrics_table(), page)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
