"""Does it matter that Optuna is told the truth? Searches played on recorded curves.

    python -m benchmarks.replay record --output FOLDER    # 300 real trials, once: about 25 minutes
    python -m benchmarks replay                           # 200 searches of 40 trials, minutes

ASHA stops most trials early. Ray's OptunaSearch tells Optuna that such a trial is COMPLETE with the
score at which it was stopped; raymoco tells PRUNED with the curve so far. Everything else is the
same in both: sampler, seed, scheduler, curves. A trial that is asked for at a point gets the curve
of the recorded trial that is nearest to it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from benchmarks.tables import Table
from raymoco.files import write_atomically
from raymoco.study.journal.ledger import TrialRecord, load_ledger
from raymoco.study.proposals.mutation import position
from raymoco.study.proposals.samplers import build_sampler
from raymoco.study.statistics.paired import cell_mean, paired_difference
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.sections import Objective, Scheduler
from raymoco.study.tune.schedulers import Past, build_scheduler

HERE = Path(__file__).parent / "curves"
SWEEP, CURVES = HERE / "digits.yaml", HERE / "digits.json"
METRIC = "eval/knn_top1"
SEARCHES, TRIALS, SLOTS = 200, 40, 2
MARKS = (10, 20, 30, 40)
ASHA = Scheduler(name="asha", grace_epochs=2, reduction_factor=3)
STOCK, OURS = "COMPLETE, as OptunaSearch", "PRUNED, as raymoco"
CONSIDERED = "cmaes, consider_pruned_trials"
# the share of the searches: a Gaussian process takes 30 times as long to ask
SAMPLERS: dict[str, tuple[dict[str, Any], float]] = {
    "tpe": ({"name": "tpe"}, 1.0),
    "cmaes": ({"name": "cmaes"}, 1.0),
    CONSIDERED: ({"name": "cmaes", "options": {"consider_pruned_trials": True}}, 1.0),
    "gp": ({"name": "gp"}, 0.1),
    "random": ({"name": "random"}, 1.0),
}
PROCESSES = 2
Job = tuple[str, str, int]  # sampler, how a stopped trial is told, seed


def run(quick: bool) -> list[Table]:
    """Best score so far of searches that differ only in what Optuna is told."""
    searches = 10 if quick else SEARCHES
    curves = load_curves(CURVES)
    jobs = [
        (sampler, how, seed)
        for sampler, (_, share) in SAMPLERS.items()
        for seed in range(max(2, round(searches * share)))
        for how in ((STOCK, OURS) if sampler != "random" else (OURS,))
    ]
    # not fork: this process has threads
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        found = dict(zip(jobs, pool.map(_play, jobs, chunksize=4), strict=True))
    return [best_so_far(found, curves), differences(found)]


def best_so_far(found: dict[Job, Search], curves: list[Curve]) -> Table:
    """The best completed score after 10, 20, ... trials, by sampler and by what it is told."""
    table = Table(
        f"best completed {METRIC} so far, mean [95 % interval]",
        ["sampler", "a stopped trial is told as", "searches", *(f"{m} trials" for m in MARKS)],
    )
    for sampler, how in dict.fromkeys(job[:2] for job in found):
        plays = [play for job, play in found.items() if job[:2] == (sampler, how)]
        cells = []
        for mark in MARKS:
            mean = cell_mean([play.best[mark - 1] for play in plays])
            assert mean is not None
            cells.append(f"{mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]")
        table.add(sampler, how if sampler != "random" else "-", len(plays), *cells)
    finals = sorted((curve.scores[-1] for curve in curves), reverse=True)
    share = statistics.mean(play.epochs for play in found.values()) / TRIALS / len(curves[0].scores)
    table.notes = [
        f"{len(curves)} recorded curves of {len(curves[0].scores)} epochs; final scores from "
        f"{finals[-1]:.4f} to {finals[0]:.4f}, the median {statistics.median(finals):.4f}.",
        f"ASHA with {ASHA.grace_epochs} epochs of grace and factor {ASHA.reduction_factor:g}, "
        f"{SLOTS} trials at once, an epoch takes one unit of time; {share:.0%} of the epochs of "
        "whole trials were trained.",
        "A trial gets the curve of the recorded trial nearest to it on the axes, each scaled to "
        "its length; its noise is frozen, so this tells of searches on these curves.",
    ]
    return table


def differences(found: dict[Job, Search]) -> Table:
    """Told PRUNED minus told COMPLETE, paired by seed."""
    table = Table(
        "PRUNED minus COMPLETE, the same seed in both, mean [95 % interval]",
        ["sampler", "of", "searches that differ", *(f"{mark} trials" for mark in MARKS)],
    )
    measures: dict[str, Callable[[Search, int], float]] = {
        "best completed score": lambda play, mark: play.best[mark - 1],
        "mean final score, had all asked-for trials ended": _mean_asked,
    }
    for sampler in [name for name in SAMPLERS if name != "random"]:
        seeds = [seed for name, how, seed in found if (name, how) == (sampler, OURS)]
        differ = sum(
            found[sampler, OURS, seed].finals != found[sampler, STOCK, seed].finals
            for seed in seeds
        )
        for name, measure in measures.items():
            cells = []
            for mark in MARKS:
                ours, stock = (
                    {seed: measure(found[sampler, how, seed], mark) for seed in seeds}
                    for how in (OURS, STOCK)
                )
                difference = paired_difference(ours, stock)
                assert difference is not None
                low, high = difference.low, difference.high
                cells.append(f"{difference.difference:+.4f} [{low:+.4f}, {high:+.4f}]")
            table.add(sampler, name, f"{differ} of {len(seeds)}", *cells)
    table.notes = ["An interval that holds 0: not resolved."]
    return table


def _mean_asked(play: Search, mark: int) -> float:
    return statistics.mean(play.finals[:mark])


@dataclass(frozen=True)
class Curve:
    """A recorded trial: where it lies on the axes, each from 0 to 1, and its score by epoch."""

    place: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass
class Search:
    """What one simulated search came to.

    `best[n]` is the best completed score once n + 1 trials have ended, `finals` the score that each
    trial would have had at its end, in the order of asking, `epochs` what all trained together.
    """

    best: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    epochs: int = 0


def _play(job: Job) -> Search:
    sampler, how, seed = job
    torch.set_num_threads(1)  # of the Gaussian process
    return play(Sampler(**SAMPLERS[sampler][0], seed=seed), how, _space(), load_curves(CURVES))


@cache
def _space() -> SearchSpace:
    return load_sweep(SWEEP).space


def play(sampler: Sampler, how: str, space: SearchSpace, curves: list[Curve]) -> Search:
    """One search of `TRIALS` trials, `SLOTS` at once, with ASHA on recorded curves."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    epochs = len(curves[0].scores)
    scheduler = build_scheduler(ASHA, Objective(), epochs)
    done, best = Search(), -math.inf
    controller: Any = None  # ASHA asks it for nothing
    clock: list[tuple[int, int, optuna.trial.Trial, Curve, int]] = []
    known: list[Any] = []  # what the scheduler knows a trial by

    def ask(now: int) -> None:
        number = len(done.finals)
        if number == TRIALS:
            return
        known.append(Past(str(number)))
        study.sampler = build_sampler(sampler, space, number)
        trial = study.ask()
        values = space.suggest(trial)
        curve = min(curves, key=lambda curve: math.dist(curve.place, place(space, values)))
        done.finals.append(curve.scores[-1])
        scheduler.on_trial_add(controller, known[number])
        heapq.heappush(clock, (now + 1, number, trial, curve, 1))

    for _ in range(SLOTS):
        ask(0)
    while clock:
        now, number, trial, curve, epoch = heapq.heappop(clock)
        done.epochs += 1
        score = curve.scores[epoch - 1]
        trial.report(score, epoch)
        row = {"epoch": epoch, METRIC: score}
        decision = scheduler.on_trial_result(controller, known[number], row)
        if epoch < epochs and decision != TrialScheduler.STOP:
            heapq.heappush(clock, (now + 1, number, trial, curve, epoch + 1))
            continue
        if epoch == epochs:
            study.tell(trial, score)
            best = max(best, score)
        elif how == STOCK:
            study.tell(trial, score, state=TrialState.COMPLETE)
        else:
            study.tell(trial, state=TrialState.PRUNED)
        done.best.append(best)
        ask(now)
    # before the first completed trial there is no best: count it as the worst there is
    worst = min(curve.scores[-1] for curve in curves)
    done.best = [max(score, worst) for score in done.best]
    return done


def place(space: SearchSpace, values: dict[str, Any]) -> tuple[float, ...]:
    """Where values lie on the axes, each from 0 to 1."""
    found = []
    for key, axis in space.axes.items():
        points = axis.points
        if points is None:
            found.append(position(axis, values[key]))
        else:
            found.append(points.index(values[key]) / max(1, len(points) - 1))
    return tuple(found)


@cache
def _read(path: Path) -> list[Curve]:
    space = _space()
    recorded = json.loads(path.read_text(encoding="utf-8"))
    return [Curve(place(space, one["values"]), tuple(one["scores"])) for one in recorded["trials"]]


def load_curves(path: Path) -> list[Curve]:
    """The recorded curves.

    Raises:
        SystemExit: nothing has been recorded.
    """
    if not path.exists():
        raise SystemExit(
            f"{path} is not there: record it with python -m benchmarks.replay record --output DIR"
        )
    return _read(path)


def record(output: Path, trials: int, into: Path) -> None:
    """Run the sweep of `digits.yaml`, or go on with it, and keep its curves."""
    from raymoco.study.launch import sweep

    result = sweep(SWEEP, f"output={output}", f"budget.trials={trials}", resume=True)
    keep_curves(load_ledger(result.folder / "journal.jsonl").all(), into)


def keep_curves(trials: list[TrialRecord], into: Path) -> None:
    """Write the values and the whole curves of the completed trials."""
    kept = [
        {
            "values": trial.values,
            "scores": [round(trial.rows[epoch][METRIC], 6) for epoch in sorted(trial.rows)],
        }
        for trial in trials
        if trial.state == "completed"
    ]
    lines = ",\n".join(json.dumps(one) for one in kept)
    write_atomically(into, f'{{"metric": "{METRIC}", "trials": [\n{lines}\n]}}\n')


def main() -> None:
    """`python -m benchmarks.replay record`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay")
    parser.add_argument("what", choices=["record"])
    parser.add_argument("--output", type=Path, required=True, help="where the sweep runs")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--into", type=Path, default=CURVES)
    chosen = parser.parse_args()
    record(chosen.output.absolute(), chosen.trials, chosen.into)


if __name__ == "__main__":
    main()
