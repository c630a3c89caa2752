"""Optuna's proposals: a study on disk that is told the truth about every trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from raymoco.config import RunConfig
from raymoco.engine.metrics_csv import Row
from raymoco.event_log import cut_torn_line
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.proposals.remaining import interrupted_before
from raymoco.study.proposals.samplers import build_sampler
from raymoco.study.proposals.warm_start import LOG, SOURCE, load_warm_start
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_space import SearchSpace, different
from raymoco.study.sweepfile.sections import Objective
from raymoco.study.sweepfile.sweep import SearchSpec

# what its warnings say, --dry-run says: which axes a sampler draws at random
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass
class OptunaProposals:
    """An Optuna study on disk (optuna.log), asked for `budget` trials in all.

    Each ask has a sampler seeded from (seed, trial number), so a resumed sweep asks what an
    undisturbed one would have asked at that point.

    Args:
        first: points that are tried before anything is sampled, whole or partial: the run's own
            values, so that what is found is compared with where one stood, and those to enqueue.
            All points of a grid.
        again: trials of an earlier driver to go on with.
        known: what the journal says of an earlier driver's trials.
        warm: reads the trials of another sweep, of this study's axes and objectives; called until
            there are trials of this one.
    """

    name: str
    space: SearchSpace
    objectives: Sequence[Objective]
    sampler: Sampler
    budget: int
    seed: int
    log: Path
    first: Sequence[dict[str, Any]] = ()
    again: list[Proposal] = field(default_factory=list)
    known: Mapping[str, TrialRecord] | None = None
    warm: Callable[[], Sequence[FrozenTrial]] = tuple

    def __post_init__(self) -> None:
        cut_torn_line(self.log)
        backend = JournalFileBackend(str(self.log))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=self.name,
            directions=[_direction(objective) for objective in self.objectives],
            load_if_exists=True,
        )
        self._learn()
        lost = self.settle() if self.known is not None else 0
        trials = self._study.get_trials(deepcopy=False)[len(self._earlier) :]
        self._asked = sum(trial.state != TrialState.WAITING for trial in trials) - lost
        points = [self.space.params(point) for point in self.first]
        self._points = different(point for point in points if point is not None)

    def _learn(self) -> None:
        """Begin the study with the other sweep's trials; a kill in between is made good."""
        trials = self._study.get_trials(deepcopy=False)
        begun = any(SOURCE not in trial.user_attrs for trial in trials)
        have = {trial.user_attrs.get(SOURCE) for trial in trials}
        for trial in () if begun else self.warm():
            if trial.user_attrs[SOURCE] not in have:
                self._study.add_trial(trial)
        trials = self._study.get_trials(deepcopy=False)
        # they are the first: our own numbers count from behind them
        self._earlier = [trial for trial in trials if SOURCE in trial.user_attrs]

    def settle(self) -> int:
        """Tell the study every end that the journal knows and it does not.

        Returns:
            How many trials were asked for and never proposed: a driver was killed in between.
        """
        lost = 0
        for trial in self._study.get_trials(deepcopy=False)[len(self._earlier) :]:
            record = (self.known or {}).get(self._trial_name(trial.number))
            if record is None and trial.state != TrialState.WAITING:
                # it takes no place in the budget
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                lost += 1
            elif record is not None and record.ended is not None:
                proposal = Proposal(record.trial_id, record.values, record.seed)
                self.tell(proposal, record.state, record.rows)
        return lost

    def ask(self) -> Proposal | None:
        if self.again:
            return self.again.pop(0)
        number = self._asked
        exhausted = self.sampler.name == "grid" and number >= len(self._points)
        if number >= self.budget or exhausted:
            return None
        if number < len(self._points) and not self._study.get_trials(
            deepcopy=False, states=(TrialState.WAITING,)
        ):
            self._study.enqueue_trial(self._points[number])
        self._study.sampler = build_sampler(self.sampler, self.space, number, self._earlier)
        trial = self._study.ask()
        self._asked += 1
        return Proposal(self._trial_name(trial.number), self.space.suggest(trial), self.seed)

    def tell(self, proposal: Proposal, state: str, rows: dict[int, Row]) -> None:
        number = int(proposal.trial_id[1:]) + len(self._earlier)
        frozen = self._study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        if len(self.objectives) == 1 and state in ("completed", "pruned"):
            self._report(frozen, rows, self.objectives[0].metric)
        final: Row = {}
        for epoch in sorted(rows):
            final |= rows[epoch]
        scores = [float(final.get(o.metric, math.nan)) for o in self.objectives]
        if state == "completed" and all(map(math.isfinite, scores)):
            self._study.tell(number, scores, state=TrialState.COMPLETE)
        elif state == "pruned":
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _report(self, frozen: FrozenTrial, rows: dict[int, Row], metric: str) -> None:
        trial = optuna.trial.Trial(self._study, frozen._trial_id)
        for epoch, row in sorted(rows.items()):
            value = row.get(metric, math.nan)
            if epoch not in frozen.intermediate_values and math.isfinite(value):
                trial.report(value, epoch)

    def _trial_name(self, number: int) -> str:
        return f"t{number - len(self._earlier):03d}"


def _direction(objective: Objective) -> StudyDirection:
    return StudyDirection.MAXIMIZE if objective.mode == "max" else StudyDirection.MINIMIZE


def open_proposals(
    sweep: Sweep, resolved: RunConfig, folder: Path, ledger: Ledger
) -> OptunaProposals:
    """The proposals of a sweep as its file and its folder have them.

    Args:
        resolved: the base run with its `auto` values written out.
    """
    spec, space = sweep.spec, sweep.space
    assert isinstance(spec, SearchSpec)

    def warm() -> Sequence[FrozenTrial]:
        if not spec.warm_start:
            return ()
        return load_warm_start(spec.warm_start, folder.parent, space, spec.objectives)

    points: list[dict[str, Any]] = [resolved.flat(), *spec.enqueue]
    if spec.sampler.name == "grid":
        points += space.grid()
    return OptunaProposals(
        spec.name,
        space,
        spec.objectives,
        spec.sampler,
        spec.budget.trials,
        sweep.base.seed,
        folder / LOG,
        first=points,
        again=interrupted_before(folder, ledger, cells=False),
        known=ledger.trials,
        warm=warm,
    )
