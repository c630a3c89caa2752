"""`raymoco sweep`: from a checked sweep file to its folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.cluster import connect
from raymoco.engine.output_folder import resolve_output
from raymoco.engine.provenance import provenance
from raymoco.engine.signals import interrupts
from raymoco.engine.train import prepare_run
from raymoco.errors import ConfigError
from raymoco.event_log import Event, Journal, begun
from raymoco.study.budget import budget_check
from raymoco.study.gangs.broker import ORDERLY
from raymoco.study.journal.folder import CLOSED, journal_bytes, lease, open_folder
from raymoco.study.journal.ledger import Ledger, ended_event, search_trials
from raymoco.study.journal.recorder import Recorder
from raymoco.study.mlflow.translate import SweepStory
from raymoco.study.phases import PhaseRunner
from raymoco.study.proposals.optuna_study import OptunaProposals, open_proposals
from raymoco.study.proposals.population import open_population
from raymoco.study.proposals.proposal import ListProposals
from raymoco.study.proposals.remaining import (
    beyond_budget,
    gangs_needed,
    open_cells,
    open_confirmations,
    open_trials,
    open_tuning,
    trials_left,
)
from raymoco.study.proposals.warm_start import LOG, load_warm_start
from raymoco.study.report.findings import gather_findings
from raymoco.study.report.write import write_report
from raymoco.study.results import SweepResult, _result, best_first
from raymoco.study.statistics.comparisons import (
    compare_cells,
)
from raymoco.study.sweepfile.code_checks import check_named_code
from raymoco.study.sweepfile.image_checks import check_against_images
from raymoco.study.sweepfile.load import Sweep, load_sweep
from raymoco.study.sweepfile.sweep import AblationSpec, SearchSpec
from raymoco.study.terminal.progress import SweepProgress
from raymoco.study.tune.schedulers import build_scheduler, fifo
from raymoco.yamlfile import write_atomically


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
    check_named_code(loaded)
    seen = journal_bytes(folder)
    progress = SweepProgress(
        console or Console(stderr=True), ledger, spec.objective, loaded.base.epochs
    )
    slots = gangs_needed(loaded, ledger)
    with progress, connect(spec.gang, slots), interrupts():
        resolved, handle = prepare_run(loaded.base, output, progress.say)
        check_against_images(
            loaded,
            channels=handle.channels,
            train_images=handle.rows("train"),
            classes=len(handle.classes),
        )
        # nothing has been written so far: whatever was wrong can be mended and typed again
        with lease(folder):
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
        handle: PreparedImages,
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
            stage = PhaseRunner(
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
            stage.kill_broker()
        self.recorder.check()

    def _search(
        self, stage: PhaseRunner, spec: SearchSpec, enough: Callable[[], str | None]
    ) -> None:
        if spec.scheduler.name == "pbt":
            population = open_population(
                self.sweep, self.resolved, self.folder, self.ledger, self.recorder.record
            )
            stage.run_population(population, enough)
        else:
            self._sample(stage, spec, enough)
        waiting = open_confirmations(self.sweep, spec, self.folder, self.ledger)
        stage.run_trials("confirm", ListProposals(waiting), len(waiting), fifo(), last=True)

    def _ablate(
        self, stage: PhaseRunner, spec: AblationSpec, enough: Callable[[], str | None]
    ) -> None:
        tuning = open_tuning(self.sweep, spec, self.folder, self.ledger)
        stage.run_trials("tune", ListProposals(tuning), len(tuning), fifo(), enough)
        if not stage.interrupted and enough() is None:
            waiting = open_cells(spec, self.folder, self.ledger)
            stage.run_trials(
                "ablation", ListProposals(waiting), len(waiting), fifo(), enough, last=True
            )

    def _sample(
        self, stage: PhaseRunner, spec: SearchSpec, enough: Callable[[], str | None]
    ) -> None:
        for trial in beyond_budget(spec, self.folder, self.ledger):
            self.recorder.record(ended_event(trial.trial_id, "stopped", "the budget was lowered"))
        self.proposals = open_proposals(self.sweep, self.resolved, self.folder, self.ledger)
        ended = [trial for trial in search_trials(self.ledger) if trial.ended is not None]
        epochs = self.sweep.base.epochs
        scheduler = build_scheduler(spec.scheduler, spec.objective, epochs, ended)
        left = trials_left(spec, self.ledger)
        last = spec.confirm is None
        stage.run_trials("search", self.proposals, left, scheduler, enough, last=last)

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
