"""`raymoco sweep`: run a checked sweep file and write its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.cluster import connect
from raymoco.engine.judges import judges_fact, judges_warning
from raymoco.engine.output_folder import check_output, refuse_foreign
from raymoco.engine.provenance import provenance
from raymoco.engine.regime import TrainImages
from raymoco.engine.signals import Interrupts
from raymoco.engine.train import prepare_run
from raymoco.errors import ConfigError
from raymoco.event_log import Journal, RunState, begun
from raymoco.files import write_atomically
from raymoco.locks import lease
from raymoco.study.assignments import Assigner
from raymoco.study.budget import budget_check
from raymoco.study.disk_plan import check_sweep
from raymoco.study.journal.events import (
    GangClosed,
    GangLost,
    Retried,
    SweepEvent,
)
from raymoco.study.journal.folder import SweepFolder, journal_bytes, open_folder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.recorder import Recorder
from raymoco.study.losers import Losers
from raymoco.study.mlflow.translate import SweepTranslator
from raymoco.study.phases import PhaseRunner
from raymoco.study.proposals.optuna_study import OptunaProposals
from raymoco.study.proposals.population import open_population
from raymoco.study.proposals.proposal import ListProposals
from raymoco.study.proposals.remaining import (
    beyond_budget,
    end_early,
    gangs_needed,
    open_cells,
    open_confirmations,
    open_trials,
    open_tuning,
    trainings_left,
)
from raymoco.study.proposals.repeats import RepeatedProposals, open_proposals
from raymoco.study.proposals.warm_start import load_warm_start
from raymoco.study.results import Closing, SweepResult, read_result
from raymoco.study.statistics.plan import plan_notes, plan_tags
from raymoco.study.statistics.stopping import look_words, seeds_to_train
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.code_checks import check_named_code
from raymoco.study.sweepfile.default_trial import default_left_out
from raymoco.study.sweepfile.image_checks import check_against_images, check_against_judges
from raymoco.study.sweepfile.load import Sweep, load_sweep, read_sweep
from raymoco.study.sweepfile.metric_checks import ask_protocols
from raymoco.study.sweepfile.name_checks import check_trial_names
from raymoco.study.sweepfile.regime_checks import sweep_regime_warning
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.terminal.progress import SweepProgress
from raymoco.study.tune.schedulers import build_scheduler, fifo


def sweep(
    what: str | Path | Sweep, *overrides: str, resume: bool = False, console: Console | None = None
) -> SweepResult:
    """Run a sweep to its end, or resume it: `sweep("sweeps/demo.yaml", "budget.trials=4")`.

    Args:
        what: a sweep file's path, or the result of `load_sweep`.
        overrides: `key=value` for keys of the file.
        resume: continue from the journal in the sweep's folder, or start if there is none.
        console: where to show progress; default standard error.
    Returns:
        The result of the sweep; `interrupted` if Ctrl-C or SIGTERM ended it.
    Raises:
        InputError: the file, the data or the folder is wrong; nothing is overwritten.
        GangError: no gang is left, or the broker has died; a resume continues.
        KeyboardInterrupt: interrupted before anything was written.
    """
    loaded = what if isinstance(what, Sweep) else load_sweep(Path(what), overrides)
    loaded = ask_protocols(loaded)
    spec = loaded.spec
    output = loaded.output
    folder = output / spec.name
    # absolute from here on, because gangs have another working directory
    loaded = replace(loaded, base=loaded.base.with_values({"output": str(output)}))
    files = SweepFolder(folder)
    check_trial_names(loaded)
    refuse_foreign(folder, "sweep")
    check_output(output)
    loaded = _as_begun(loaded, files)
    spec = loaded.spec
    saved = tracking.saved_section(files.spec) if resume else None
    settled, note = tracking.settle_tracking(spec.tracking, output, saved)
    tracking.check_tracking(settled.uri, output)  # refused before anything is written
    spec = spec.model_copy(update={"tracking": settled, "output": str(output)})
    loaded = replace(
        loaded, spec=spec, base=loaded.base.with_values({"tracking": settled.model_dump()})
    )
    search = loaded.search
    if search is not None and search.warm_start and not files.optuna_log.exists():
        # refuse before anything is written; later the study contains the trials
        load_warm_start(search.warm_start, output, loaded.space, search.objectives)
    ledger = open_folder(folder, spec.to_yaml(), resume)
    seeds = seeds_to_train(loaded, ledger)
    if files.closed.exists() and not open_trials(loaded, folder, ledger, seeds):
        return read_result(loaded, folder, ledger)
    check_named_code(loaded)
    seen = journal_bytes(folder)
    progress = SweepProgress(
        console or Console(stderr=True), ledger, spec.objective, loaded.base.epochs
    )
    slots = gangs_needed(loaded, ledger)
    signals = Interrupts()
    # before the first line is printed: a shell's background jobs start with SIGINT ignored
    with signals.installed(), progress, connect(spec.gang, output, slots):
        if note:
            progress.say(note)
        resolved, images = prepare_run(loaded.base, output, progress.say)
        check_against_images(
            loaded,
            channels=images.channels,
            train_images=images.rows("train"),
            classes=len(images.classes),
        )
        check_against_judges(loaded, images)
        known = TrainImages.of(images.manifest, images.rows("train"))
        left_out = default_left_out(loaded, resolved.flat())
        if left_out:
            progress.say(f"default: {left_out}")
        progress.say(": ".join(judges_fact(images.manifest)))
        for warning in (sweep_regime_warning(loaded, known), judges_warning(images.manifest)):
            if warning:
                progress.say(f"warning: {warning}")
        check_sweep(
            loaded,
            resolved,
            channels=images.channels,
            image_size=images.seen,
            classes=len(images.classes),
            ended=sum(trial.ended is not None for trial in ledger.all()),
        )
        signals.check()
        # nothing has been written yet: the user can fix a mistake and repeat the command
        with lease(folder, "sweep"):
            refuse_foreign(folder, "sweep")
            if journal_bytes(folder) != seen:
                raise ConfigError(f"{folder}: another process has run this sweep. Use --resume.")
            files.closed.unlink(missing_ok=True)
            write_atomically(files.spec, spec.to_yaml())
            launch = _Launch(loaded, resolved, folder, ledger, progress, images, signals)
            launch.run(slots)
    return read_result(loaded, folder, ledger, interrupted=signals.heard)


def _as_begun(loaded: Sweep, files: SweepFolder) -> Sweep:
    """Return the sweep with what it was begun to keep on the disk: a resume deletes no more."""
    if not files.spec.exists():
        return loaded
    begun_with = read_sweep(files.spec).base.checkpoint
    kept = {name: getattr(begun_with, name) for name in ("keep_trials", "losers")}
    base = loaded.base.with_values({f"checkpoint.{name}": value for name, value in kept.items()})
    run = {**loaded.spec.run, "checkpoint": base.checkpoint.model_dump()}
    return replace(loaded, spec=loaded.spec.model_copy(update={"run": run}), base=base)


class _Launch:
    """One running sweep: its phases and the handling of its events."""

    def __init__(
        self,
        sweep: Sweep,
        resolved: RunConfig,
        folder: Path,
        ledger: Ledger,
        progress: SweepProgress,
        images: PreparedImages,
        signals: Interrupts,
    ) -> None:
        self.sweep, self.spec, self.resolved = sweep, sweep.spec, resolved
        self.folder, self.ledger, self.progress = folder, ledger, progress
        self.images, self.signals = images, signals
        self.proposals: OptunaProposals | RepeatedProposals | None = None
        self._phases: PhaseRunner | None = None
        self.journal = Journal(SweepFolder(folder).journal)
        self.recorder = Recorder(
            folder, ledger, self.journal, sweep.objectives, sweep.axes, self._heard
        )
        self.losers = Losers(sweep, folder, ledger, progress.say)
        at = self.spec.tracking
        self.mirror = tracking.Mirror(
            tracking.place_of(folder, at.uri, at.experiment),
            lambda: SweepTranslator(folder, sweep),
            self.recorder.tracked,
            progress.say,
        )

    def run(self, slots: int) -> None:
        """Run every phase and close the sweep, however it ends.

        Raises:
            GangError: no gang is left, or the broker has died; the folder is complete.
        """
        phases = self._phases = PhaseRunner(
            Assigner(self.sweep.base, self.images, self.folder, self.recorder),
            self.images,
            self.folder,
            self.recorder,
            self.progress,
            self.signals,
            self.spec.gang,
            slots,
        )
        closing = Closing(
            self.sweep,
            self.resolved,
            self.folder,
            self.recorder,
            self.journal,
            self.mirror,
            self.signals,
            self.progress.say,
            phases.close_gangs,
            phases.kill_broker,
            self._settle,
        )
        state, failure = RunState.FAILED, None
        with self.signals.held():
            try:
                with self.signals.let_through():
                    self._run_phases(phases)
                state = RunState.COMPLETED
            except KeyboardInterrupt:
                state = RunState.STOPPED
            except BaseException as error:  # noqa: BLE001 - raised again when all is closed
                failure = error
            # always: on a cluster that keeps running, gangs would hold their CPUs forever
            try:
                closing.run(state, failure)
            finally:
                self.losers.finish()
        self.recorder.check()

    def _run_phases(self, phases: PhaseRunner) -> None:
        identity = self.ledger.identity or uuid4().hex
        tags = provenance(self.images, self.spec.gang) | plan_tags(self.spec)
        self.recorder.record(begun(identity, tags))
        for note in plan_notes(self.spec, self.ledger):
            self.progress.say(f"warning: {note}")
        self.mirror.start()
        self.losers.begin()
        phases.start()
        enough = budget_check(self.spec.budget, self.spec.objective, self.ledger)
        if self.sweep.search is not None:
            self._search(phases, self.sweep.search, enough)
        elif self.sweep.ablation is not None:
            self._ablate(phases, self.sweep.ablation, enough)

    def _search(
        self, phases: PhaseRunner, spec: SearchSpec, enough: Callable[[], str | None]
    ) -> None:
        if spec.scheduler.population:
            population = open_population(
                self.sweep, self.resolved, self.folder, self.ledger, self.recorder.record
            )
            phases.run_population(population, enough)
        else:
            self._sample(phases, spec, enough)
        waiting = open_confirmations(self.sweep, spec, self.folder, self.ledger)
        phases.run_trials("confirm", ListProposals(waiting), len(waiting), fifo(), last=True)

    def _ablate(
        self, phases: PhaseRunner, spec: AblationSpec, enough: Callable[[], str | None]
    ) -> None:
        tuning = open_tuning(self.sweep, spec, self.folder, self.ledger)
        phases.run_trials("tune", ListProposals(tuning), len(tuning), fifo(), enough)
        if spec.looks is not None:
            self._look(phases, spec, enough)
        elif enough() is None:
            waiting = open_cells(spec, self.folder, self.ledger)
            proposals = ListProposals(waiting)
            phases.run_trials("ablation", proposals, len(waiting), fifo(), enough, last=True)

    def _look(
        self, phases: PhaseRunner, spec: AblationSpec, enough: Callable[[], str | None]
    ) -> None:
        """Train up to each look in turn, until one has decided every row."""
        trained: int | None = 0
        while enough() is None:
            seeds = seeds_to_train(self.sweep, self.ledger)
            if trained == seeds:
                break
            waiting = open_cells(spec, self.folder, self.ledger, seeds)
            # gangs stay for the next look, which is known only when this one is over
            last = seeds == len(spec.seeds)
            proposals = ListProposals(waiting)
            phases.run_trials(f"look-{seeds}", proposals, len(waiting), fifo(), enough, last=last)
            self.progress.say(f"look     {look_words(self.sweep, self.ledger)}")
            trained = seeds

    def _sample(
        self, phases: PhaseRunner, spec: SearchSpec, enough: Callable[[], str | None]
    ) -> None:
        self._end_early(beyond_budget(spec, self.ledger), "the budget was lowered")
        self.proposals = open_proposals(
            self.sweep, self.resolved, self.folder, self.ledger, self.recorder.record
        )
        first = [trainings[0] for trainings in self.ledger.trainings.values()]
        ended = [trial for trial in first if trial.ended is not None]
        epochs = self.sweep.base.epochs
        scheduler = build_scheduler(spec.scheduler, spec.objective, epochs, ended)
        left = trainings_left(spec, self.ledger)
        last = spec.confirm is None
        phases.run_trials("search", self.proposals, left, scheduler, enough, last=last)

    def _settle(self) -> None:
        """Tell Optuna the ends of trials that Tune could not report because of a Ctrl-C."""
        if self.proposals is None:
            return
        if self._phases is not None and self._phases.stopped:
            # a proposal between two repeats ends like those whose repeat was stopped
            waiting = [t for t in self.ledger.search_trials if t.ended is None and t.proposal]
            self._end_early(waiting, self._phases.stopped)
        self.proposals.settle()

    def _end_early(self, trials: list[TrialRecord], reason: str) -> None:
        for event in end_early(trials, reason, self.ledger):
            self.recorder.record(event)

    def _heard(self, event: SweepEvent) -> None:
        match event:
            case Retried():
                self.progress.say(f"{event.trial_id} is tried again: {event.reason}")
            case GangLost():
                self.progress.say(f"{event.gang} was lost: {event.reason}")
            case GangClosed(orderly=False):
                self.progress.say(f"{event.gang} is closed: {event.reason}")
        self.progress.take(event)
        self.losers.take(event)
        self.mirror.wake()
