"""`make results`: run the shipped studies part by part, and write their tables into a page.

Each part is some sweeps; a sweep that has ended is not run again, and one that was interrupted goes
on. A part's section stands in docs/findings.md between two marks, and is rewritten as a whole: what
is outside of the marks is for people.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from raymoco.config import ScaleConfig
from raymoco.engine.cluster import connect
from raymoco.files import write_atomically
from raymoco.metrics import EVAL_KNN, TEST_KNN, TEST_LINEAR, describe
from raymoco.study.launch import sweep
from raymoco.study.report.comparison_table import judged_grid
from raymoco.study.report.document import Grid
from raymoco.study.report.findings import Findings, read_findings
from raymoco.study.report.labels import counted, interval, number, settings
from raymoco.study.report.render import markdown_grid
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.statistics.effects import Contrast, cell_contrasts
from raymoco.study.statistics.judged import Judged, judge
from raymoco.study.statistics.paired import cell_mean
from raymoco.study.statistics.scores import failed_seeds, outcomes_of, scores_by_cell
from raymoco.study.sweepfile.sections import DEFAULT

MOST_WORKERS = 2  # of a study: batch_norm
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"
# Fashion-MNIST as two cores can train it in hours: as many images as digits and three times more
FASHION = (
    *("run.preset=fashion_mnist", "run.data.limit=5000", "run.method.queue_size=1024"),
    *("run.epochs=8", "run.eval.every=8"),
)
FEWER = "seeds=[0, 1, 2, 3, 4, 5, 6, 7]"  # of an ablation of Fashion-MNIST: all in four hours
QUICK = (
    *("run.epochs=2", "run.data.limit=400", "run.method.queue_size=64", "run.eval.every=2"),
    "run.eval.linear.epochs=0",
)


@dataclass(frozen=True)
class Study:
    """One sweep of a part.

    Attributes:
        name: of its folder.
        title: of its tables.
        file: in sweeps/.
        changes: `key=value` for keys of the file.
        also: further pairs of cells to compare, in the same families.
        published: a column of published figures, by cell.
    """

    name: str
    title: str
    file: str
    changes: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    published: dict[str, str] = field(default_factory=dict)


# linear top-1 on ImageNet, ResNet-50, 800 epochs (arXiv 2103.10773)
LADDER = {
    "labels=0 %": "71.1",
    "labels=10 %": "72.0",
    "labels=30 %": "75.1",
    "labels=60 %": "76.2",
    "labels=100 %": "76.4",
    "labels=cross-entropy": "76.5",
}
ENDS = (("labels=100 %", "labels=cross-entropy"),)
SHARES = (("10", "0.1"), ("30", "0.3"), ("100", "1.0"))


def _both(name: str, file: str, title: str, *changes: str) -> list[Study]:
    text = (ROOT / "sweeps" / f"{file}.yaml").read_text(encoding="utf-8")
    fewer = () if "kind: search" in text else (FEWER,)
    return [
        Study(f"{name}-digits", f"Digits: {title}", file, changes),
        Study(f"{name}-fashion", f"Fashion-MNIST: {title}", file, (*FASHION, *fewer, *changes)),
    ]


PARTS: dict[str, list[Study]] = {
    "presets": [
        Study("preset-digits", "Digits: the search", "presets/digits"),
        Study("preset-fashion", "Fashion-MNIST: the search", "presets/fashion_mnist"),
        Study("preset-digits-check", "Digits, at the preset", "presets/digits_check", also=ENDS),
        Study(
            "preset-fashion-check",
            "Fashion-MNIST, at the preset",
            "presets/fashion_mnist_check",
            also=ENDS,
        ),
    ],
    "ladder": [
        Study("ladder-digits", "Digits", "label_ladder", (), ENDS, LADDER),
        Study("ladder-fashion", "Fashion-MNIST", "label_ladder", (*FASHION, FEWER), ENDS, LADDER),
    ],
    "losses": [
        study
        for percent, share in SHARES
        for study in _both(
            f"loss-{percent}",
            "loss",
            f"{percent} % of the labels",
            f"run.data.labelled_fraction={share}",
        )
    ],
    "xmoco": [
        study
        for loss, method in (("info_nce", "MoCo"), ("unicon", "UniMoCo"))
        for study in (
            *_both(f"xmoco-{loss}", "xmoco_terms", f"XMoCo's terms on {method}",
                   f"run.method.loss={loss}"),
            Study(f"forms-{loss}-digits", f"Digits: forms of the terms on {method}", "xmoco_forms",
                  (f"run.method.loss={loss}",)),
        )
    ],
    "axes": _both("axes", "what_matters", "importance of the axes"),
    "engineering": [
        *_both("queue", "queue", "queue and key momentum"),
        Study("batch-norm-digits", "Digits: batch norm on two workers", "batch_norm"),
        Study("precision-digits", "Digits: bf16 instead of fp32", "precision"),
    ],
}  # fmt: skip


def main() -> None:
    """Run the chosen parts and write their tables."""
    parser = argparse.ArgumentParser(prog="make results", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a try-out: 2 epochs, 2 seeds")
    parser.add_argument("--tables", action="store_true", help="run nothing, write what there is")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "results")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    output = chosen.output.absolute() / ("quick" if chosen.quick else "")
    page = output / "findings.md" if chosen.quick else PAGE
    with nullcontext() if chosen.tables else on_one_ray(output):
        write(chosen.parts or list(PARTS), output, page, chosen)


@contextmanager
def on_one_ray(output: Path) -> Iterator[None]:
    """Start Ray once for all sweeps; a start for each would take half of a try-out's time."""
    output.mkdir(parents=True, exist_ok=True)
    with connect(ScaleConfig(workers=MOST_WORKERS), output, groups=2):
        yield


def write(parts: Sequence[str], output: Path, page: Path, chosen: argparse.Namespace) -> None:
    """Run the studies of each part, and write its tables when they have ended."""
    for part in parts:
        began = time.monotonic()
        for study in PARTS[part]:
            if not chosen.tables:
                run(study, output, quick=chosen.quick)
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        write_atomically(page, put(text, part, section(PARTS[part], output)))
        minutes = (time.monotonic() - began) / 60
        sys.stdout.write(f"part {part}: {minutes:.1f} minutes, tables in {page}\n")


def run(study: Study, output: Path, *, quick: bool) -> None:
    """Run or resume one study.

    Raises:
        KeyboardInterrupt: it was interrupted; the next call goes on.
        RaymocoError: it cannot run, or no gang is left.
    """
    changes = [f"name={study.name}", f"output={output}", *study.changes]
    changes += smaller(study) if quick else []
    if sweep(ROOT / "sweeps" / f"{study.file}.yaml", *changes, resume=True).interrupted:
        raise KeyboardInterrupt


def smaller(study: Study) -> list[str]:
    """Return what makes a study a try-out of a minute."""
    text = (ROOT / "sweeps" / f"{study.file}.yaml").read_text(encoding="utf-8")
    changes = list(QUICK)
    if "kind: search" in text:
        changes += ["budget.trials=3", "scheduler.name=none", "confirm.seeds=[100, 101]"]
    else:
        changes += ["seeds=[0, 1]", *(["tune.trials=2"] if "\ntune:" in text else [])]
    return changes


def section(studies: Sequence[Study], output: Path) -> str:
    """Return the tables of a part, of its sweeps that have been run."""
    blocks = []
    for study in studies:
        folder = output / study.name
        if (folder / "sweep.yaml").exists():
            blocks.append("\n".join(_study(study, read_findings(folder))))
        else:
            blocks.append(f"### {study.title}\n\nNot run yet.\n")
    return "\n".join(blocks)


def put(page: str, part: str, text: str) -> str:
    """Return a page with the section of a part in its place, or at its end."""
    begin, end = f"<!-- {part}: make results PART={part} -->\n", f"<!-- end of {part} -->\n"
    whole = f"{begin}\n{text}\n{end}"
    if begin not in page:
        return f"{page}\n## {part}\n\n{whole}"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: whole, page, flags=re.DOTALL)


def _study(study: Study, found: Findings) -> Iterator[str]:
    yield f"### {study.title}\n"
    yield f"{_circumstances(study, found)}\n"
    if found.comparisons is None:
        yield from _search(found)
        return
    cells = [cell.name for cell in found.comparisons.cells]
    contrasts = cell_contrasts(found.comparisons.cells)
    contrasts += [_pair(one, other) for one, other in study.also]
    yield from _means(found, cells, study.published)
    yield from _differences(found, contrasts)


def _pair(one: str, other: str) -> Contrast:
    return Contrast(f"{one} against {other}", {}, {}, {one: 1.0, other: -1.0})


def _circumstances(study: Study, found: Findings) -> str:
    """Say what ran: the command, the commit, the seeds, and how long it took."""
    begun = found.ledger.begun[0] if found.ledger.begun else {}
    trials = [trial for trial in found.ledger.all() if trial.ended is not None]
    states = {state: sum(t.state == state for t in trials) for state in {t.state for t in trials}}
    ended = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    commit = begun.get("mlflow.source.git.commit", "unknown")[:8]
    minutes = math.fsum(trial.spent for trial in trials) / 60
    left = found.sweep.spec.planned_trials - len(trials)
    waiting = f"; {counted(left, 'planned trial')} not run" if left > 0 else ""
    text = f"`sweeps/{study.file}.yaml{' ' if study.changes else ''}{' '.join(study.changes)}`, "
    text += f"commit {commit}: {ended}{waiting}, {minutes:.0f} minutes of gang time."
    if found.ablation is not None:
        seeds = found.ablation.seeds
        text += f" Seeds {seeds[0]} to {seeds[-1]}; baseline: {found.ablation.cells[0].name}."
    return text


def _means(found: Findings, cells: Sequence[str], published: dict[str, str]) -> Iterator[str]:
    metrics = [m for m in (TEST_KNN, TEST_LINEAR) if scores_by_cell(found.ledger, m)]
    columns = ["", "seeds", *(f"{describe(m).column}, 95 % over seeds" for m in metrics)]
    columns += ["published, ImageNet linear"] if published else []
    rows = []
    for cell in cells:
        row = [cell]
        for metric in metrics:
            scores = list(scores_by_cell(found.ledger, metric).get(cell, {}).values())
            mean = cell_mean(scores)
            row += [str(len(scores))] if len(row) == 1 else []
            row.append(f"{number(mean.mean)} ({interval(mean.low, mean.high)})" if mean else "")
        rows.append([*row, *([published.get(cell, "")] if published else [])])
    yield _grid(columns, rows)


def _differences(found: Findings, contrasts: Sequence[Contrast]) -> Iterator[str]:
    """One table a metric: all its rows are one Holm family."""
    for metric in (TEST_KNN, TEST_LINEAR):
        scores = scores_by_cell(found.ledger, metric)
        if not scores:
            continue
        spec = found.ablation
        rows = judge(
            contrasts,
            scores,
            failed_seeds(found.ledger, metric),
            higher=True,
            margin=spec.margin if spec else None,
            outcomes=outcomes_of(found.folder, found.ledger, metric),
        )
        yield f"Differences in {describe(metric).column}:\n"
        yield _judged(rows)


def _judged(rows: Sequence[Judged]) -> str:
    return _table(judged_grid("comparison", rows, "One Holm family."))


def _search(found: Findings) -> Iterator[str]:
    best = found.best[:3]
    if best:
        columns = ["", describe(EVAL_KNN).column, "sets"]
        rows = [[t.trial_id, number(t.score(EVAL_KNN)), settings(t.values)] for t in best]
        yield _grid(columns, rows)
    if found.importance is not None:
        rows = [
            [one.axis, number(one.share, 2), interval(one.low, one.high, 2)]
            for one in found.importance
        ]
        yield f"Importance of the axes, PED-ANOVA over {counted(len(found.best), 'trial')}:\n"
        yield _grid(["axis", "share", "95 % bootstrap interval"], rows)
    if found.confirmation:
        trials, baselines = confirmed_cells(found.sweep, found.ledger)
        yield "Confirmed with fresh seeds, on the test set:\n"
        yield from _means(found, [*trials, DEFAULT, *baselines], {})
        yield _judged(found.confirmation)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _table(Grid(columns, rows))


def _table(grid: Grid) -> str:
    return "\n".join([*markdown_grid(grid), ""])


if __name__ == "__main__":
    main()
