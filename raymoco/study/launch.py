"""`raymoco sweep`: from a checked sweep file to its folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.data.stream import ImageData
from raymoco.engine.cluster import connect, interrupts
from raymoco.engine.output import refuse_foreign, resolve_output
from raymoco.engine.provenance import provenance
from raymoco.engine.run import prepare_run
from raymoco.errors import ConfigError
from raymoco.files import lease, write_atomically
from raymoco.journal import Event, begun
from raymoco.study.agenda import (
    beyond_budget,
    gangs_needed,
    open_cells,
    open_confirmations,
    open_trials,
    open_tuning,
    search_trials,
    trials_left,
)
from raymoco.study.budget import budget_check
from raymoco.study.folder import CLOSED, journal_bytes, open_folder
from raymoco.study.gangs.broker import ORDERLY
from raymoco.study.impossible import refuse_impossible
from raymoco.study.journal import Journal, Ledger, TrialRecord, ended_event
from raymoco.study.progress import SweepProgress
from raymoco.study.recorder import Recorder
from raymoco.study.report.findings import gather_findings
from raymoco.study.report.write import write_report
from raymoco.study.search.population import open_population
from raymoco.study.search.proposal import ListProposals
from raymoco.study.search.proposals import OptunaProposals, open_proposals
from raymoco.study.search.ranking import ranked
from raymoco.study.search.schedulers import build_scheduler, fifo
from raymoco.study.search.warmstart import LOG, load_warm_start
from raymoco.study.spec import AblationSpec, SearchSpec
from raymoco.study.stage import Stage
from raymoco.study.statistics.comparisons import (
    Comparisons,
    Judged,
    compare_cells,
    judge_confirmation,
)
from raymoco.study.statistics.pareto import pareto_front
from raymoco.study.story import SweepStory
from raymoco.study.sweepfile import Sweep, load_sweep


@dataclass
class SweepResult:
    """What a sweep left behind; `confirmation` of a search, `comparisons` of an ablation."""

    folder: Path
    trials: list[TrialRecord] = field(repr=False)
    best: list[TrialRecord]
    confirmation: list[Judged]
    comparisons: Comparisons | None
    interrupted: bool


def sweep(
    what: str | Path | Sweep, *overrides: str, resume: bool = False, console: Console | None = None
) -> SweepResult:
    """Run a sweep to its end, or go on with one: `sweep("sweeps/demo.yaml", "budget.trials=4")`.

    Args:
        what: a sweep file's path, or what `load_sweep` returned.
        overrides: `key=value`, addressing the file.
        resume: go on from the journal in the sweep's folder, or begin if there is none.
        console: where progress is shown; default standard error.
    Raises:
        InputError: the file, the data or the folder is wrong; nothing is overwritten.
        GangError: no gang is left, or the broker has died; a resume goes on.
    """
    loaded = what if isinstance(what, Sweep) else load_sweep(Path(what), overrides)
    spec = loaded.spec
    output = resolve_output(spec.output)
    folder = output / spec.name
    # absolute from here on: whoever reads a trial's config stands somewhere else
    loaded = replace(loaded, base=loaded.base.with_values({"output": str(output)}))
    tracking.tracking_uri(spec.tracking.uri, output)  # refused before anything is written
    if isinstance(spec, SearchSpec) and spec.warm_start and not (folder / LOG).exists():
        # refused before anything is written; later on it is in the study
        load_warm_start(spec.warm_start, output, loaded.space, spec.objectives)
    ledger = open_folder(folder, spec.to_yaml(), resume)
    if (folder / CLOSED).exists() and not open_trials(loaded, folder, ledger):
        return _result(loaded, folder, ledger, interrupted=False)
    seen = journal_bytes(folder)
    progress = SweepProgress(
        console or Console(stderr=True), ledger, spec.objective, loaded.base.epochs
    )
    slots = gangs_needed(loaded, ledger)
    with progress, connect(spec.gang, output, slots), interrupts():
        resolved, handle = prepare_run(loaded.base, output, progress.say)
        refuse_impossible(
            loaded,
            channels=handle.channels,
            train_images=handle.rows("train"),
            classes=len(handle.classes),
        )
        # nothing has been written so far: whatever was wrong can be mended and typed again
        with lease(folder, "sweep"):
            refuse_foreign(folder, "sweep")
            if journal_bytes(folder) != seen:
                raise ConfigError(f"{folder}: another process has run this sweep. Use --resume.")
            (folder / CLOSED).unlink(missing_ok=True)
            write_atomically(folder / "sweep.yaml", spec.to_yaml())
            launch = _Launch(loaded, resolved, output, folder, ledger, progress, handle)
            launch.run(slots)
    return _result(loaded, folder, ledger, interrupted=launch.interrupted)


class _Launch:
    """One running sweep: its phases, and what is written when it ends."""

    def __init__(
        self,
        sweep: Sweep,
        resolved: RunConfig,
        output: Path,
        folder: Path,
        ledger: Ledger,
        progress: SweepProgress,
        handle: ImageData,
    ) -> None:
        self.proposals: OptunaProposals | None = None
        self.handle = handle
        self.sweep, self.spec, self.resolved = sweep, sweep.spec, resolved
        self.folder, self.ledger, self.progress = folder, ledger, progress
        self.interrupted = False
        self.journal = Journal(folder / "journal.jsonl")
        self.recorder = Recorder(
            folder, ledger, self.journal, sweep.objectives, sweep.axes, self._heard
        )
        at = self.spec.tracking
        self.mirror = tracking.Mirror(
            tracking.place_of(folder, at.uri, at.experiment),
            lambda: SweepStory(folder, sweep),
            self.recorder.tracked,
            progress.say,
        )

    def run(self, slots: int) -> None:
        identity = self.ledger.identity or uuid4().hex
        self.recorder.record(begun(identity, provenance(self.handle, self.spec.gang)))
        self.mirror.start()
        state = "failed"
        try:
            stage = Stage(
                self.sweep.base,
                self.handle,
                self.folder,
                self.recorder,
                self.progress,
                self.spec.gang,
                slots,
            )
        except BaseException:
            self._close(state)  # a cluster without room, a Ctrl-C: the parent run ends too
            raise
        try:
            enough = budget_check(self.spec.budget, self.spec.objective, self.ledger)
            if isinstance(self.spec, SearchSpec):
                self._search(stage, self.spec, enough)
            else:
                self._ablate(stage, self.spec, enough)
            self.interrupted = stage.interrupted
            state = "stopped" if self.interrupted else "completed"
        finally:
            # however it ends: on a cluster that goes on, gangs would hold their CPUs for ever
            stage.close()
            self._close(state)
            stage.dismiss()
        self.recorder.check()

    def _search(self, stage: Stage, spec: SearchSpec, enough: Callable[[], str | None]) -> None:
        if spec.scheduler.name == "pbt":
            population = open_population(
                self.sweep, self.resolved, self.folder, self.ledger, self.recorder.record
            )
            stage.evolve(population, enough)
        else:
            self._sample(stage, spec, enough)
        waiting = open_confirmations(self.sweep, spec, self.folder, self.ledger)
        stage.play("confirm", ListProposals(waiting), len(waiting), fifo(), last=True)

    def _ablate(self, stage: Stage, spec: AblationSpec, enough: Callable[[], str | None]) -> None:
        tuning = open_tuning(self.sweep, spec, self.folder, self.ledger)
        stage.play("tune", ListProposals(tuning), len(tuning), fifo(), enough)
        if not stage.interrupted and enough() is None:
            waiting = open_cells(spec, self.folder, self.ledger)
            stage.play("ablation", ListProposals(waiting), len(waiting), fifo(), enough, last=True)

    def _sample(self, stage: Stage, spec: SearchSpec, enough: Callable[[], str | None]) -> None:
        for trial in beyond_budget(spec, self.folder, self.ledger):
            self.recorder.record(ended_event(trial.trial_id, "stopped", "the budget was lowered"))
        self.proposals = open_proposals(self.sweep, self.resolved, self.folder, self.ledger)
        ended = [trial for trial in search_trials(self.ledger) if trial.ended is not None]
        epochs = self.sweep.base.epochs
        scheduler = build_scheduler(spec.scheduler, spec.objective, epochs, ended)
        left = trials_left(spec, self.ledger)
        last = spec.confirm is None
        stage.play("search", self.proposals, left, scheduler, enough, last=last)

    def _heard(self, event: Event) -> None:
        if event["event"] == "retry":
            self.progress.say(f"{event['trial_id']} is tried again: {event['reason']}")
        elif event["event"] == "gang_lost":
            self.progress.say(f"{event['gang']} was lost: {event['reason']}")
        elif event["event"] == "gang_closed" and event["reason"] not in ORDERLY:
            self.progress.say(f"{event['gang']} is closed: {event['reason']}")
        self.progress.take(event)
        self.mirror.wake()

    def _report(self) -> None:
        try:
            write_report(gather_findings(self.folder, self.sweep, self.ledger))
        except Exception as error:  # noqa: BLE001 - hours of training end well without a report
            again = f"raymoco report {shlex.quote(str(self.folder))}"
            self.progress.say(f"warning: the report could not be written: {error}; again: {again}")

    def _close(self, state: str) -> None:
        self.recorder.finish()
        if self.proposals is not None:
            # what Tune did not come to carry back, a Ctrl-C in between: nothing stays RUNNING
            self.proposals.settle()
        self.recorder.write_tables()
        best = best_first(self.sweep, self.ledger)
        if best:
            config = self.resolved.with_values({**best[0].values, "name": None})
            write_atomically(self.folder / "best.yaml", config.to_yaml())
        for trial in search_trials(self.ledger):
            if "changes" in trial.values:
                config = self.resolved.with_values({**trial.values, "name": None})
                write_atomically(self.folder / f"schedules/{trial.trial_id}.yaml", config.to_yaml())
        comparisons = compare_cells(self.sweep, self.ledger)
        if comparisons is not None:
            comparisons.write(self.folder)
        self._report()
        # last: what lies in the folder by now becomes artifacts
        self.recorder.record({"event": "closed", "state": state})
        outcome = self.mirror.close(hasty=state == "stopped")
        for line in tracking.missing_lines(self.mirror.place, outcome):
            self.progress.say(line)
        self.recorder.write_tables()  # with the ids of MLflow's runs
        self.journal.close()
        if state == "completed" and self.recorder.error is None:
            (self.folder / CLOSED).touch()


def best_first(sweep: Sweep, ledger: Ledger) -> list[TrialRecord]:
    """The completed trials by the objective; with several, their Pareto front by the first."""
    trials = search_trials(ledger)
    if len(sweep.objectives) > 1:
        return pareto_front(trials, sweep.objectives)
    return ranked(trials, sweep.spec.objective)


def _result(sweep: Sweep, folder: Path, ledger: Ledger, *, interrupted: bool) -> SweepResult:
    spec = sweep.spec
    confirmed = isinstance(spec, SearchSpec) and spec.confirm is not None
    return SweepResult(
        folder,
        ledger.all(),
        best_first(sweep, ledger),
        judge_confirmation(ledger) if confirmed else [],
        compare_cells(sweep, ledger),
        interrupted,
    )
