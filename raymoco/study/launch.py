"""`raymoco sweep`: from a checked sweep file to its folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from rich.console import Console

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.data.stream import ImageData
from raymoco.engine.cluster import connect, resolve_output
from raymoco.engine.provenance import provenance
from raymoco.engine.run import prepare_run
from raymoco.errors import ConfigError
from raymoco.study.agenda import (
    interrupted_before,
    open_cells,
    open_confirmations,
    open_trials,
    open_tuning,
    refuse_fewer_seeds,
    search_trials,
    trial_count,
)
from raymoco.study.comparisons import Comparisons, Judged, compare_cells, judge_confirmation
from raymoco.study.folder import CLOSED, journal_bytes, lease, open_folder
from raymoco.study.journal import Journal, Ledger, TrialRecord
from raymoco.study.progress import SweepProgress
from raymoco.study.recorder import PARENT, Recorder
from raymoco.study.report.findings import gather_findings
from raymoco.study.report.write import write_report
from raymoco.study.searcher import ListProposals, OptunaProposals
from raymoco.study.spec import AblationSpec, SearchSpec
from raymoco.study.stage import Stage
from raymoco.study.sweepfile import Sweep, load_sweep, refuse_impossible
from raymoco.study.tables import ranked
from raymoco.yamlfile import flatten, write_atomically


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
        GangError: a gang was lost; what was finished stays finished.
    """
    loaded = what if isinstance(what, Sweep) else load_sweep(Path(what), overrides)
    spec = loaded.spec
    output = resolve_output(spec.output)
    folder = output / spec.name
    # absolute from here on: whoever reads a trial's config stands somewhere else
    loaded = replace(loaded, base=loaded.base.with_values({"output": str(output)}))
    tracking.tracking_uri(spec.tracking.uri, output)  # refused before anything is written
    ledger = open_folder(folder, spec.to_yaml(), resume)
    if isinstance(spec, AblationSpec):
        refuse_fewer_seeds(spec, ledger)
    if (folder / CLOSED).exists() and not open_trials(loaded, folder, ledger):
        return _result(loaded, folder, ledger, interrupted=False)
    seen = journal_bytes(folder)
    progress = SweepProgress(
        console or Console(stderr=True), ledger, spec.objective, loaded.base.epochs
    )
    slots = min(spec.budget.concurrent, trial_count(loaded))
    with progress, connect(spec.gang, slots):
        resolved, handle = prepare_run(loaded.base, output, progress.say)
        refuse_impossible(
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
        handle: ImageData,
    ) -> None:
        self.handle = handle
        self.sweep, self.spec, self.resolved = sweep, sweep.spec, resolved
        self.folder, self.ledger, self.progress = folder, ledger, progress
        self.interrupted = False
        self.tags = provenance(handle, self.spec.gang)
        self.journal = Journal(folder / "journal.jsonl")
        at = self.spec.tracking
        self.tracker = tracking.open_tracker(at.uri, at.experiment, output)
        self.recorder = Recorder(
            folder,
            ledger,
            self.journal,
            self.tracker,
            self.spec.objective,
            sweep.axes,
            self.tags,
            progress.take,
        )

    def run(self, slots: int) -> None:
        self.recorder.record({"event": "begun", "tags": self.tags})
        self._start_parent()
        stage = Stage(
            self.sweep.base,
            self.handle,
            self.folder,
            self.recorder,
            self.progress,
            self.spec.gang,
            slots,
        )
        state = "failed"
        try:
            self._note_parent()
            if isinstance(self.spec, SearchSpec):
                self._search(stage, self.spec)
            else:
                self._ablate(stage, self.spec)
            self.interrupted = stage.interrupted
            state = "stopped" if self.interrupted else "completed"
        finally:
            # however it ends: on a cluster that goes on, gangs would hold their CPUs for ever
            stage.close()
            self._close(state)
        self.recorder.check()

    def _search(self, stage: Stage, spec: SearchSpec) -> None:
        proposals = OptunaProposals(
            spec.name,
            spec.search,
            spec.objective,
            spec.sampler,
            spec.budget.trials,
            self.sweep.base.seed,
            self.folder / "optuna.log",
            first=flatten(self.resolved.model_dump()),
            again=interrupted_before(self.folder, self.ledger, cells=False),
            known=self.ledger.trials,
        )
        ended = sum(trial.ended is not None for trial in search_trials(self.ledger))
        scheduler = _fifo()
        if spec.scheduler.name == "asha":
            scheduler = AsyncHyperBandScheduler(
                time_attr="epoch",
                metric=spec.objective.metric,
                mode=spec.objective.mode,
                max_t=self.sweep.base.epochs,
                grace_period=spec.scheduler.grace_epochs,
                reduction_factor=spec.scheduler.reduction_factor,
                stop_last_trials=False,
            )
        left = spec.budget.trials - ended
        stage.play("search", proposals, left, scheduler, self._budget_check(spec))
        waiting = open_confirmations(self.sweep, spec, self.folder, self.ledger)
        stage.play("confirm", ListProposals(waiting), len(waiting), _fifo())

    def _ablate(self, stage: Stage, spec: AblationSpec) -> None:
        tuning = open_tuning(self.sweep, spec, self.folder, self.ledger)
        stage.play("tune", ListProposals(tuning), len(tuning), _fifo())
        if not stage.interrupted:
            proposals = open_cells(spec, self.folder, self.ledger)
            stage.play("ablation", ListProposals(proposals), len(proposals), _fifo())

    def _budget_check(self, spec: SearchSpec) -> Callable[[], str | None]:
        hours, target = spec.budget.hours, spec.budget.target
        deadline = time.monotonic() + hours * 3600 if hours else None

        def enough() -> str | None:
            if deadline is not None and time.monotonic() > deadline:
                return f"the budget of {hours:g} hours is used up"
            best = ranked(search_trials(self.ledger), spec.objective) if target is not None else []
            if best and target is not None:
                score = best[0].final[spec.objective.metric]
                if score == target or spec.objective.better(score, target):
                    return f"the target {target:g} is reached"
            return None

        return enough

    def _start_parent(self) -> None:
        file = self.folder / ".mlflow_run"
        known = file.read_text().strip() if file.exists() else ""
        self.tracker.start_run(
            PARENT,
            self.spec.name,
            params={"varies": " ".join(self.sweep.axes), "trials": trial_count(self.sweep)},
            tags={
                **self.tags,
                "raymoco.kind": self.spec.kind,
                "raymoco.sweep": self.spec.name,
                "raymoco.state": "running",
            },
            run_id=known or None,
        )
        self.tracker.log_text(PARENT, "sweep.yaml", self.spec.to_yaml())

    def _note_parent(self) -> None:
        # before the first trial: a killed sweep must find its parent again
        run_id = self.tracker.run_id(PARENT, timeout_s=30)
        if run_id:
            write_atomically(self.folder / ".mlflow_run", run_id)

    def _report(self) -> None:
        try:
            made = write_report(gather_findings(self.folder, self.sweep, self.ledger))
        except Exception as error:  # noqa: BLE001 - hours of training end well without a report
            again = f"raymoco report {shlex.quote(str(self.folder))}"
            self.progress.say(f"warning: the report could not be written: {error}; again: {again}")
            return
        self.tracker.set_tags(PARENT, {"mlflow.note.content": made.note})
        for path in made.files:
            inside = path.relative_to(self.folder).parent
            self.tracker.log_file(PARENT, path, "" if inside == Path() else str(inside))

    def _close(self, state: str) -> None:
        self.recorder.finish()
        self.recorder.write_tables()
        left = {"sweep.yaml", "trials.csv"}
        best = ranked(search_trials(self.ledger), self.spec.objective)
        if best:
            config = self.resolved.with_values({**best[0].values, "name": None})
            write_atomically(self.folder / "best.yaml", config.to_yaml())
            self.tracker.set_tags(PARENT, {"raymoco.best_trial": best[0].trial_id})
            left.add("best.yaml")
        comparisons = compare_cells(self.sweep, self.ledger)
        if comparisons is not None:
            comparisons.write(self.folder)
            left |= {"cells.csv", "comparisons.csv", "effects.csv"}
        self._report()
        for name in sorted(left):
            self.tracker.log_text(PARENT, name, (self.folder / name).read_text(encoding="utf-8"))
        self.tracker.set_tags(PARENT, {"raymoco.state": state})
        self.tracker.end_run(PARENT, state)
        missing = self.tracker.close()
        if missing:
            self.progress.say(tracking.missing_sentence(missing, "journal.jsonl"))
        self.journal.close()
        if state == "completed" and self.recorder.error is None:
            (self.folder / CLOSED).touch()


def _fifo() -> TrialScheduler:
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def _result(sweep: Sweep, folder: Path, ledger: Ledger, *, interrupted: bool) -> SweepResult:
    spec = sweep.spec
    confirmed = isinstance(spec, SearchSpec) and spec.confirm is not None
    return SweepResult(
        folder,
        ledger.all(),
        ranked(search_trials(ledger), spec.objective),
        judge_confirmation(ledger) if confirmed else [],
        compare_cells(sweep, ledger),
        interrupted,
    )
