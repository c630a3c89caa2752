"""Who proposes trials, behind Tune's Searcher; Optuna is told the truth about each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import optuna
import ray
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raymoco.engine.metrics_file import Row
from raymoco.errors import InputError
from raymoco.study.broker import Assignment
from raymoco.study.journal import TrialRecord
from raymoco.study.space import Axis
from raymoco.study.spec import Objective, Sampler
from raymoco.study.trial import ASSIGNMENT

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Proposal:
    """One trial to run: the values that differ from the base run, its cell and seed."""

    trial_id: str
    values: dict[str, Any]
    seed: int
    cell: str = ""
    attempt: int = 1
    resume_from: str | None = None
    phase: str = ""


class Proposals(Protocol):
    """Where trials come from: Optuna, or a list."""

    def ask(self) -> Proposal | None:
        """The next trial, or None when there are no more."""

    def tell(self, proposal: Proposal, state: str, rows: dict[int, Row]) -> None:
        """How a trial ended: completed, pruned, stopped or failed, with its rows by epoch."""


@dataclass
class ListProposals:
    """Trials that are known beforehand: confirmations, cells of an ablation."""

    waiting: list[Proposal]

    def ask(self) -> Proposal | None:
        return self.waiting.pop(0) if self.waiting else None

    def tell(self, proposal: Proposal, state: str, rows: dict[int, Row]) -> None:
        """Nobody learns from it."""


@dataclass
class OptunaProposals:
    """An Optuna study on disk (optuna.log), asked for `budget` trials in all.

    Each ask seeds its sampler from (seed, trial number), so a resumed sweep asks what an
    undisturbed one would have asked at that point. `known` is what the journal says of an earlier
    driver's trials. `first` is tried before anything is sampled: the run's own values, so that what
    is found is compared with where one stood.
    """

    name: str
    axes: dict[str, Axis]
    objective: Objective
    sampler: Sampler
    budget: int
    seed: int
    log: Path
    first: dict[str, Any] | None = None
    again: list[Proposal] = field(default_factory=list)
    known: Mapping[str, TrialRecord] | None = None

    def __post_init__(self) -> None:
        backend = JournalFileBackend(str(self.log))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=self.name,
            direction="maximize" if self.objective.mode == "max" else "minimize",
            load_if_exists=True,
        )
        trials = self._study.get_trials(deepcopy=False)
        lost = self._settle(trials)
        self._asked = sum(trial.state != TrialState.WAITING for trial in trials) - lost
        if not trials and self.first is not None:
            points = [axis.point(key, self.first[key]) for key, axis in self.axes.items()]
            if None not in points:
                self._study.enqueue_trial({k: v for p in points for k, v in (p or {}).items()})

    def _settle(self, trials: list[optuna.trial.FrozenTrial]) -> int:
        """Tell the study what a killed driver could not; count the trials that nobody has seen."""
        if self.known is None:
            return 0
        lost = 0
        for trial in trials:
            record = self.known.get(trial_name(trial.number))
            if record is None and trial.state != TrialState.WAITING:
                # killed between the ask and the journal: it takes no place in the budget
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                lost += 1
            elif record is not None and record.ended is not None:
                proposal = Proposal(record.trial_id, record.values, record.seed)
                self.tell(proposal, record.state, record.rows)
        return lost

    def ask(self) -> Proposal | None:
        if self.again:
            return self.again.pop(0)
        if self._asked >= self.budget:
            return None
        self._study.sampler = build_sampler(self.sampler, self._asked)
        trial = self._study.ask()
        self._asked += 1
        values = {key: axis.suggest(trial, key) for key, axis in self.axes.items()}
        return Proposal(trial_name(trial.number), values, self.seed)

    def tell(self, proposal: Proposal, state: str, rows: dict[int, Row]) -> None:
        number = int(proposal.trial_id[1:])
        frozen = self._study.trials[number]
        if frozen.state.is_finished():
            return
        metric = self.objective.metric
        curve = {epoch: row[metric] for epoch, row in sorted(rows.items()) if metric in row}
        if state in ("completed", "pruned") and curve:
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            for epoch, value in curve.items():
                if epoch not in frozen.intermediate_values and math.isfinite(value):
                    trial.report(value, epoch)
        last = curve[max(curve)] if curve else math.nan
        if state == "completed" and math.isfinite(last):
            self._study.tell(number, last, state=TrialState.COMPLETE)
        elif state == "pruned":
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, state=TrialState.FAIL)


def trial_name(number: int) -> str:
    """Our id of an Optuna trial."""
    return f"t{number:03d}"


def build_sampler(sampler: Sampler, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for the trial with this number."""
    seed = (sampler.seed * 1_000_003 + number) % 2**32
    if sampler.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=sampler.startup_trials)


class TuneSearcher(Searcher):
    """Tune's words for ours: hands proposals to Tune and carries ends back.

    Args:
        proposals: where trials come from.
        broker: knows how each trial ended; where it does not, a scheduler stopped the trial.
        assign: builds the assignment of a proposal; raises InputError if its config is impossible.
        concurrent: how many trials Tune may hold at once.
    """

    def __init__(
        self,
        proposals: Proposals,
        broker: Any,
        assign: Callable[[Proposal], Assignment],
        concurrent: int,
        on_refused: Callable[[Proposal, str], None],
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._proposals, self._broker, self._assign = proposals, broker, assign
        self._concurrent, self._on_refused = concurrent, on_refused
        self._live: dict[str, Proposal] = {}
        self._rows: dict[str, dict[int, Row]] = {}
        self.stopping = False

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its Tuner for Tuner.restore, which raymoco does not use: the journal is the
        # truth, and the proposals hold files and locks
        return {}

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Tune offers its metric; ours is the objective's."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The config of the next Tune trial, None to wait, or FINISHED."""
        if self.stopping:
            return None if self._live else Searcher.FINISHED
        if len(self._live) >= self._concurrent:
            return None
        while (proposal := self._proposals.ask()) is not None:
            try:
                assignment = self._assign(proposal)
            except InputError as error:
                self._on_refused(proposal, str(error))
                self._proposals.tell(proposal, "failed", {})
                continue
            self._live[trial_id], self._rows[trial_id] = proposal, {}
            return {ASSIGNMENT: assignment}
        self._broker.lift_gate.remote()
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A report on its way through Tune."""
        self._rows[trial_id][int(result["epoch"])] = result

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial is over for Tune; the broker says in which state, and hears it if it did not."""
        proposal = self._live.pop(trial_id, None)
        if proposal is None:
            return
        rows = self._rows.pop(trial_id)
        if result and "epoch" in result:
            rows[int(result["epoch"])] = result
        state = "pruned"
        if error:
            state = "failed"
        reason = "a scheduler stopped it" if state == "pruned" else "its Tune client was lost"
        # the gang may be ahead of Tune: an end and a score that it has reported already stand
        true_state, unread = ray.get(self._broker.cancel.remote(proposal.trial_id, state, reason))
        rows |= {int(row["epoch"]): row for row in unread}
        self._proposals.tell(proposal, true_state, rows)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is what a resume reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see save."""
