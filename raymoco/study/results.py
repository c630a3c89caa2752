"""The result of a sweep, and the steps in which it is written when the sweep ends."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.engine.signals import Interrupts
from raymoco.errors import DiskFullError
from raymoco.event_log import Closed, Journal, RunState
from raymoco.files import write_atomically
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.points import points_words, skipped_words
from raymoco.study.journal.ranking import pareto_front, ranked
from raymoco.study.journal.recorder import Recorder
from raymoco.study.report.findings import gather_findings
from raymoco.study.report.write import write_report
from raymoco.study.statistics.comparisons import Comparisons, compare_cells
from raymoco.study.statistics.confirmation import judge_confirmation, write_confirmation
from raymoco.study.statistics.judged import Judged
from raymoco.study.statistics.plan import plan_notes
from raymoco.study.statistics.scores import outcomes_of
from raymoco.study.statistics.stopping import look_words, repeats_words
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import CONFIRMED


@dataclass
class SweepResult:
    """The result of a sweep; `confirmation` is a search's, `comparisons` an ablation's.

    `notes` say at which look an ablation stopped, what of its plan was changed, which repeats a
    search has not trained, and that it has tried every point of its axes. In `trials` each training
    is one; in `best` the repeats of a proposal are one, with their means.
    """

    folder: Path
    trials: list[TrialRecord] = field(repr=False)
    best: list[TrialRecord]
    confirmation: list[Judged]
    comparisons: Comparisons | None
    interrupted: bool
    ledger: Ledger = field(repr=False)
    notes: list[str] = field(default_factory=list)


def read_result(
    sweep: Sweep, folder: Path, ledger: Ledger, *, interrupted: bool = False
) -> SweepResult:
    """Build the result of a sweep from its ledger."""
    words, repeats = look_words(sweep, ledger), repeats_words(sweep, ledger)
    return SweepResult(
        folder,
        ledger.all(),
        best_first(sweep, ledger),
        judge_confirmation(sweep, ledger, outcomes_of(folder, ledger, CONFIRMED))
        if sweep.spec.confirmations
        else [],
        compare_cells(sweep, ledger, folder),
        interrupted,
        ledger,
        [
            *([f"look {words}"] if words else []),
            *([f"repeats: {repeats}"] if repeats else []),
            *search_words(sweep, folder, ledger),
            *plan_notes(sweep.spec, ledger),
        ],
    )


def search_words(sweep: Sweep, folder: Path, ledger: Ledger) -> list[str]:
    """Say what a search has not trained: further points, draws that repeat some, the run itself."""
    said = [points_words(sweep.search, ledger), skipped_words(folder)]
    return [text for text in said if text]


def best_first(sweep: Sweep, ledger: Ledger) -> list[TrialRecord]:
    """Return completed trials, best first; with several objectives their Pareto front."""
    trials = ledger.search_trials
    if len(sweep.objectives) > 1:
        return pareto_front(trials, sweep.objectives)
    return ranked(trials, sweep.spec.objective)


@dataclass
class Closing:
    """Ends a sweep in a fixed order of steps; tests check each step.

     1. The gangs shut down; the next step reads their last reports.
     2. The recorder reads the broker's last events: the journal is complete except for `closed`.
     3. Optuna's study is told every end in the journal: none of its trials stays RUNNING.
     4. trials.csv is written: the report links to it, and MLflow keeps it.
     5. best.yaml and a population's schedules are written.
     6. cells.csv, comparisons.csv and effects.csv are written.
     7. The report is written. If this fails, the sweep still succeeds.
     8. `closed` is recorded: it tells MLflow that the sweep has ended.
     9. MLflow gets the remaining events, and the files in the folder as artifacts.
    10. trials.csv is written again, with the ids of MLflow's runs.
    11. The journal is closed.
    12. `.closed` is written if all steps succeeded: a resume has nothing to do.
    13. The broker ends.

    If a step raises, the later ones run nevertheless, and `.closed` is not written. At the end
    what ended the sweep is raised, else the first error of a step; the others are printed.

    A signal interrupts only the report and the wait for MLflow: a sweep whose report was
    interrupted is stopped, and a resume writes the report. A sweep that was stopped before has its
    report.

    Attributes:
        sweep: the checked sweep file.
        resolved: its run, with `auto` values written out.
        folder: the sweep's folder.
        recorder: writes the journal.
        journal: the recorder's journal.
        mirror: delivers to MLflow.
        signals: held back while a file is written that must be complete.
        say: called with a line for the terminal.
        close_gangs: step 1.
        kill_broker: step 13.
        settle: step 3.
    """

    sweep: Sweep
    resolved: RunConfig
    folder: Path
    recorder: Recorder
    journal: Journal
    mirror: tracking.Mirror
    signals: Interrupts
    say: Callable[[str], None]
    close_gangs: Callable[[], None]
    kill_broker: Callable[[], None]
    settle: Callable[[], object]
    state: RunState = RunState.FAILED
    _errors: list[Exception] = field(default_factory=list)

    def run(self, state: RunState, failure: BaseException | None = None) -> RunState:
        """Run every step.

        Args:
            state: how the sweep ended: completed, stopped or failed.
            failure: what ended it, if it failed.
        Returns:
            The same, or `stopped` if a signal interrupted the report.
        Raises:
            BaseException: `failure`, or the first error of a step, after all steps have run.
        """
        self.state = state
        with self.signals.held():
            for step in self.steps():
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - raised below, after the other steps
                    self._errors.append(error)
        first, *others = [failure, *self._errors] if failure else [*self._errors, None]
        for other in filter(None, others):
            if isinstance(other, DiskFullError) and isinstance(first, DiskFullError):
                continue  # each step would say the same
            self.say(f"warning: while the sweep was closed: {type(other).__name__}: {other}")
        if first is not None:
            raise first
        return self.state

    @property
    def files(self) -> SweepFolder:
        """The paths of the files in the folder."""
        return SweepFolder(self.folder)

    def steps(self) -> Iterator[Callable[[], object]]:
        """The steps in their order."""
        yield self.close_gangs
        yield self.recorder.finish
        yield self.settle
        yield self.recorder.write_tables
        yield self._write_configs
        yield self._write_comparisons
        yield self._write_report
        yield self._record_closed
        yield self._deliver
        yield self.recorder.write_tables
        yield self.journal.close
        yield self._mark_closed
        yield self.kill_broker

    def _write_configs(self) -> None:
        ledger = self.recorder.ledger
        best = best_first(self.sweep, ledger)
        if best:
            config = self.resolved.with_values({**best[0].values, "name": None})
            write_atomically(self.files.best, config.to_yaml())
        for trial in ledger.search_trials:
            if "changes" in trial.values:
                config = self.resolved.with_values({**trial.values, "name": None})
                write_atomically(self.files.schedule(trial.trial_id), config.to_yaml())

    def _write_comparisons(self) -> None:
        comparisons = compare_cells(self.sweep, self.recorder.ledger, self.folder)
        if comparisons is not None:
            comparisons.write(self.folder)
        else:
            ledger = self.recorder.ledger
            outcomes = outcomes_of(self.folder, ledger, CONFIRMED)
            judged = judge_confirmation(self.sweep, ledger, outcomes)
            write_confirmation(judged, self.folder)

    def _write_report(self) -> None:
        again = f"raymoco report {shlex.quote(str(self.folder))}"
        try:
            # the signal that ended the trials has done its work: the report tells what there is
            stopped = self.state == RunState.STOPPED
            with self.signals.held() if stopped else self.signals.let_through():
                write_report(gather_findings(self.folder, self.sweep, self.recorder.ledger))
        except KeyboardInterrupt:
            self.say(f"interrupted: the report is left out; write it with: {again}")
            self.state = RunState.STOPPED
        except Exception as error:  # noqa: BLE001 - a failed report must not fail hours of training
            self.say(f"warning: the report could not be written: {error}; again: {again}")

    def _record_closed(self) -> None:
        self.recorder.record(Closed(state=self.state))

    def _deliver(self) -> None:
        try:
            with self.signals.let_through():
                outcome = self.mirror.close(hasty=self.state == RunState.STOPPED)
        except KeyboardInterrupt:
            outcome = self.mirror.close(hasty=True)
        for line in tracking.missing_lines(self.mirror.place, outcome):
            self.say(line)

    def _mark_closed(self) -> None:
        if self.state == RunState.COMPLETED and not self._errors and self.recorder.error is None:
            self.files.closed.touch()
