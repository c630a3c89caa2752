"""`raymoco sweep`: from a checked sweep file to its folder."""

from __future__ import annotations

import difflib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from rich.console import Console

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.engine.cluster import connect, resolve_output
from raymoco.engine.resolve import resolve
from raymoco.engine.run import prepare_run
from raymoco.errors import ConfigError, InputError, RaymocoError
from raymoco.study.broker import Assignment
from raymoco.study.confirm import Confirmation, confirm_proposals, read_confirmation
from raymoco.study.gangs import Gangs, start_broker
from raymoco.study.journal import Journal, Ledger, TrialRecord, load_ledger
from raymoco.study.progress import SweepProgress
from raymoco.study.recorder import PARENT, Recorder
from raymoco.study.searcher import (
    ListProposals,
    OptunaProposals,
    Proposal,
    Proposals,
    TuneSearcher,
)
from raymoco.study.spec import Sweep, load_sweep
from raymoco.study.tables import ranked
from raymoco.study.trial import TrialClient
from raymoco.yamlfile import flatten, write_atomically

STOP_S = 10.0


@dataclass
class SweepResult:
    """What a sweep left behind."""

    folder: Path
    trials: list[TrialRecord] = field(repr=False)
    best: list[TrialRecord]
    confirmation: Confirmation | None
    interrupted: bool


def run_sweep(sweep: Sweep, *, resume: bool = False, console: Console | None = None) -> SweepResult:
    """Run a sweep to its end, or go on with one.

    Args:
        sweep: read and checked by `load_sweep`.
        resume: go on from the journal in the sweep's folder, or begin if there is none.
        console: where progress is shown; default standard error.
    Raises:
        InputError: the file, the data or the folder is wrong; nothing is overwritten.
        GangError: a gang was lost; what was finished stays finished.
    """
    console = console or Console(stderr=True)
    spec = sweep.spec
    output = resolve_output(spec.output)
    folder = output / spec.name
    ledger = _open_folder(folder, spec.to_yaml(), resume)
    if _nothing_left(sweep, ledger):
        return _result(sweep, folder, ledger, interrupted=False)
    with _lease(folder):
        write_atomically(folder / "sweep.yaml", spec.to_yaml())
        with connect(spec.gang, spec.budget.concurrent):
            return _Launch(sweep, output, folder, ledger, console).run()


class _Launch:
    """The parts of one running sweep."""

    def __init__(
        self, sweep: Sweep, output: Path, folder: Path, ledger: Ledger, console: Console
    ) -> None:
        self.sweep, self.spec, self.base = sweep, sweep.spec, sweep.base
        self.output, self.folder, self.ledger = output, folder, ledger
        self.axes = list(self.spec.search)
        self.progress = SweepProgress(console, ledger, self.spec.objective, self.base.epochs)
        self.journal = Journal(folder / "journal.jsonl")
        self.tracker = tracking.open_tracker(
            self.spec.tracking.uri, self.spec.tracking.experiment, output
        )
        self.recorder = Recorder(
            folder,
            ledger,
            self.journal,
            self.tracker,
            self.spec.objective,
            self.axes,
            self._on_event,
        )
        self.searcher: TuneSearcher | None = None
        self.interrupted = False
        budget = self.spec.budget
        self.deadline = time.monotonic() + budget.hours * 3600 if budget.hours else None

    def run(self) -> SweepResult:
        with self.progress:
            self._start_parent()
            self.resolved, handle = prepare_run(self.base, self.output, self.progress.say)
            self._check_axes(handle.channels, handle.rows("train"))
            self.train_images, self.channels = handle.rows("train"), handle.channels
            self.broker = start_broker(0)
            ray.get(self.broker.hand_data.remote([ray.put(handle)]))
            self.recorder.listen(self.broker)
            self.gangs = Gangs(self.broker, self.folder, self.spec.gang, self._slots())
            self.gangs.start()
            state = "failed"
            try:
                self._search()
                if not self.interrupted:
                    self._confirm()
                self.gangs.close(timeout_s=STOP_S)
                state = "stopped" if self.interrupted else "completed"
            finally:
                self._close(state)
        return _result(self.sweep, self.folder, self.ledger, interrupted=self.interrupted)

    def _search_trials(self) -> list[TrialRecord]:
        return search_trials(self.ledger)

    def _slots(self) -> int:
        return min(self.spec.budget.concurrent, self.spec.budget.trials)

    def _search(self) -> None:
        budget = self.spec.budget
        proposals = OptunaProposals(
            self.spec.name,
            self.spec.search,
            self.spec.objective,
            self.spec.sampler,
            budget.trials,
            self.base.seed,
            self.folder / "optuna.log",
            first=flatten(self.resolved.model_dump()),
            again=self._interrupted_before(cells=False),
        )
        left = budget.trials - sum(t.ended is not None for t in self._search_trials())
        scheduler: TrialScheduler = FIFOScheduler()  # type: ignore[no-untyped-call]
        if self.spec.scheduler.name == "asha":
            scheduler = AsyncHyperBandScheduler(
                time_attr="epoch",
                metric=self.spec.objective.metric,
                mode=self.spec.objective.mode,
                max_t=self.base.epochs,
                grace_period=self.spec.scheduler.grace_epochs,
                reduction_factor=self.spec.scheduler.reduction_factor,
                stop_last_trials=False,
            )
        self._phase("search", proposals, left, scheduler)
        best = ranked(self._search_trials(), self.spec.objective)
        if best:
            config = self.resolved.with_values({**best[0].values, "name": None})
            write_atomically(self.folder / "best.yaml", config.to_yaml())

    def _confirm(self) -> None:
        best = ranked(self._search_trials(), self.spec.objective)
        if self.spec.confirm is None or not best:
            return
        wanted = confirm_proposals(
            self.spec.confirm,
            best,
            flatten(self.base.model_dump()),
            self._interrupted_before(cells=True),
        )
        done = {t.trial_id for t in self.ledger.trials.values() if t.ended is not None}
        waiting = [proposal for proposal in wanted if proposal.trial_id not in done]
        scheduler = FIFOScheduler()  # type: ignore[no-untyped-call]
        self._phase("confirm", ListProposals(waiting), len(waiting), scheduler)

    def _phase(
        self, name: str, proposals: Proposals, trials: int, scheduler: TrialScheduler
    ) -> None:
        if trials <= 0:
            return
        self.progress.begin(name, trials)
        slots = min(self._slots(), trials)
        ray.get(self.broker.open_gate.remote(slots))
        self.searcher = TuneSearcher(proposals, self.broker, self._assign, slots, self._refused)
        # on the head node and not on a CPU: Ray Data needs whole ones, and gangs may hold the rest
        place = tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(TrialClient, broker=self.broker), place),
            tune_config=tune.TuneConfig(
                search_alg=self.searcher,
                scheduler=scheduler,
                num_samples=10**9,  # the searcher says when it is finished
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"{name}-{os.getpid()}",
                storage_path=str(self.folder / ".ray"),
                verbose=0,
            ),
        )
        self._wait(_TunerThread(tuner))

    def _wait(self, thread: _TunerThread) -> None:
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
                self.gangs.check()
                self.progress.tick()
                self._check_budget()
        except KeyboardInterrupt:
            self.progress.say("interrupted: ending the running trials")
            self.interrupted = True
            self._stop("interrupted")
            thread.join(STOP_S)
        except RaymocoError as error:
            self._stop(str(error), "failed")
            thread.join(STOP_S)
            raise
        if thread.error is not None:
            raise thread.error

    def _check_budget(self) -> None:
        budget = self.spec.budget
        if self.searcher is None or self.searcher.stopping:
            return
        if self.deadline is not None and time.monotonic() > self.deadline:
            self._stop(f"the budget of {budget.hours:g} hours is used up")
        best = ranked(self._search_trials(), self.spec.objective)
        if budget.target is not None and best:
            score = best[0].final[self.spec.objective.metric]
            if score == budget.target or self.spec.objective.better(score, budget.target):
                self._stop(f"the target {budget.target:g} is reached")

    def _stop(self, reason: str, state: str = "stopped") -> None:
        if self.searcher is not None:
            self.searcher.stopping = True
        ray.get(self.broker.stop_all.remote(state, reason))

    def _assign(self, proposal: Proposal) -> Assignment:
        config = self._config(proposal)
        known = self.ledger.trials.get(proposal.trial_id)
        if known is None:
            self.recorder.record(self._proposed(proposal, config))
        else:
            self.tracker.start_run(
                proposal.trial_id,
                proposal.trial_id,
                run_id=known.mlflow_run_id or None,
                parent=PARENT,
            )
        return Assignment(
            proposal.trial_id,
            proposal.attempt,
            config.model_dump(),
            str(self.folder / "checkpoints" / proposal.trial_id),
            proposal.resume_from,
        )

    def _config(self, proposal: Proposal) -> RunConfig:
        values = {"seed": proposal.seed, **proposal.values, "name": proposal.trial_id}
        config = self.base.with_values(values)
        return resolve(config, channels=self.channels, train_images=self.train_images)

    def _proposed(self, proposal: Proposal, config: RunConfig | None) -> dict[str, Any]:
        return {
            "event": "proposed",
            "trial_id": proposal.trial_id,
            "values": proposal.values,
            "seed": proposal.seed,
            "cell": proposal.cell,
            "config": config.to_yaml() if config else "",
        }

    def _refused(self, proposal: Proposal, reason: str) -> None:
        """A combination of values that no run can have: a failed trial, not the sweep's end."""
        self.recorder.record(self._proposed(proposal, None))
        self.recorder.record(
            {"event": "ended", "trial_id": proposal.trial_id, "state": "failed", "reason": reason}
        )

    def _interrupted_before(self, *, cells: bool) -> list[Proposal]:
        return [
            Proposal(
                t.trial_id,
                t.values,
                t.seed,
                t.cell,
                attempt=t.attempt + 1,
                resume_from=t.checkpoint,
            )
            for t in self.ledger.in_state("waiting", "running")
            if bool(t.cell) == cells
        ]

    def _check_axes(self, channels: int, train_images: int) -> None:
        for key, axis in self.spec.search.items():
            for value in axis.extremes:
                try:
                    config = self.base.with_values({key: value})
                    resolve(config, channels=channels, train_images=train_images)
                except InputError as error:
                    raise ConfigError(f"search.{key}: {error}") from None

    def _on_event(self, event: dict[str, Any]) -> None:
        self.progress.take(event)

    def _start_parent(self) -> None:
        file = self.folder / ".mlflow_run"
        known = file.read_text().strip() if file.exists() else ""
        self.tracker.start_run(
            PARENT,
            self.spec.name,
            params={"axes": " ".join(self.axes), "trials": self.spec.budget.trials},
            tags={"raymoco.kind": "sweep", "raymoco.sweep": self.spec.name},
            run_id=known or None,
        )
        self.tracker.log_text(PARENT, "sweep.yaml", self.spec.to_yaml())

    def _close(self, state: str) -> None:
        self.recorder.finish()
        self.recorder.write_tables()
        self.parent_run_id = self.tracker.run_id(PARENT, timeout_s=10)
        best = ranked(self._search_trials(), self.spec.objective)
        if best:
            self.tracker.set_tags(PARENT, {"raymoco.best_trial": best[0].trial_id})
            self.tracker.log_text(PARENT, "best.yaml", (self.folder / "best.yaml").read_text())
        self.tracker.log_text(PARENT, "trials.csv", (self.folder / "trials.csv").read_text())
        self.tracker.set_tags(PARENT, {"raymoco.state": state})
        self.tracker.end_run(PARENT, state)
        for line in self.tracker.close():
            self.progress.say(f"warning: not delivered to MLflow: {line}")
        self.journal.close()
        if self.parent_run_id:
            write_atomically(self.folder / ".mlflow_run", self.parent_run_id)


class _TunerThread(threading.Thread):
    """`Tuner.fit()` in a thread, so that Ctrl-C and the clock are the driver's."""

    def __init__(self, tuner: tune.Tuner) -> None:
        super().__init__(name="tuner", daemon=True)
        self._tuner = tuner
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._tuner.fit()
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting driver
            self.error = error


def search_trials(ledger: Ledger) -> list[TrialRecord]:
    """The trials of the search itself, without those that confirm."""
    return [trial for trial in ledger.trials.values() if not trial.cell]


def _result(sweep: Sweep, folder: Path, ledger: Ledger, *, interrupted: bool) -> SweepResult:
    return SweepResult(
        folder,
        list(ledger.trials.values()),
        ranked(search_trials(ledger), sweep.spec.objective),
        read_confirmation(ledger) if sweep.spec.confirm else None,
        interrupted,
    )


def _nothing_left(sweep: Sweep, ledger: Ledger) -> bool:
    """Whether a resume would find every trial at its end."""
    ended = [trial for trial in search_trials(ledger) if trial.ended is not None]
    if len(ended) < sweep.spec.budget.trials:
        return False
    best = ranked(ended, sweep.spec.objective)
    confirm = sweep.spec.confirm
    default = flatten(sweep.base.model_dump())
    wanted = confirm_proposals(confirm, best, default) if confirm and best else []
    return all(p.trial_id in ledger.trials and ledger.trials[p.trial_id].ended for p in wanted)


def _open_folder(folder: Path, text: str, resume: bool) -> Ledger:
    """Refuse what exists, unless it is to be resumed and the same."""
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        return Ledger()
    if not resume:
        raise ConfigError(
            f"{folder} exists already. Go on with --resume, or choose another name with name=NAME."
        )
    before = folder / "sweep.yaml"
    if before.exists():
        changed = _changes(before.read_text(encoding="utf-8"), text)
        if changed:
            raise ConfigError(
                f"{folder} was begun with another file and cannot go on with this one:\n{changed}"
            )
    return load_ledger(folder / "journal.jsonl")


def _changes(before: str, now: str) -> str:
    """The lines that differ, but for the blocks that a resume may change."""

    def fixed(text: str) -> list[str]:
        lines, keep = [], True
        for line in text.splitlines():
            if not line.startswith(" "):
                keep = line.split(":")[0] not in ("budget", "gang")
            if keep:
                lines.append(line)
        return lines

    lines = difflib.unified_diff(fixed(before), fixed(now), "begun with", "now", lineterm="", n=1)
    return "\n".join(lines)


@contextmanager
def _lease(folder: Path) -> Iterator[None]:
    """One driver per sweep."""
    with (folder / ".lease").open("w") as lease:
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another process is running this sweep.") from None
        yield


def sweep(
    what: str | Path | Sweep, *overrides: str, resume: bool = False, console: Console | None = None
) -> SweepResult:
    """Run a sweep file from Python: `sweep("sweeps/demo.yaml", "budget.trials=4")`.

    Args:
        what: a sweep file's path, or what `load_sweep` returned.
        overrides: `key=value`, addressing the file.
    Raises:
        InputError, GangError: as `run_sweep`.
    """
    loaded = what if isinstance(what, Sweep) else load_sweep(Path(what), overrides)
    return run_sweep(loaded, resume=resume, console=console)
