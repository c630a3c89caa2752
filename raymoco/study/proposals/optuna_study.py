"""Proposals from an Optuna study on disk, which learns how every trial really ended."""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from raymoco.config import RunConfig
from raymoco.event_log import cut_incomplete_line
from raymoco.metrics import Row
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.proposals.samplers import build_sampler
from raymoco.study.proposals.warm_start import SOURCE, load_warm_start
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_space import SearchSpace, different
from raymoco.study.sweepfile.sections import Objective

# --dry-run prints what these warnings say: which axes a sampler draws at random
optuna.logging.set_verbosity(optuna.logging.ERROR)

REPEATS = "raymoco.repeats"  # of a trial that was not trained: the trial that had its point
TRIES = 5  # draws of a sampler that all repeat earlier points, before an untried one is taken


@dataclass
class OptunaProposals:
    """An Optuna study on disk (optuna.log) that proposes `budget` trials in all.

    A point is trained once: where the sampler repeats one, the study hears that the draw failed,
    and the sampler is asked again; such a draw has no id and does not count. Each `ask` uses a sampler seeded by (seed, trial number), so a resumed sweep proposes what an
    undisturbed one would have proposed at that point.

    Args:
        first: points to try before sampling, whole or partial: the run's own values, as a
            reference, and the `enqueue` points. All points of a sampler that lists them, such as
            a grid.
        again: unfinished trials of an earlier driver, proposed first.
        known: returns the trials of earlier drivers by id, from the journal.
        warm: reads the trials of another sweep with the same axes and objectives; called until this
            study has trials.
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
    known: Callable[[], Mapping[str, TrialRecord]] | None = None
    warm: Callable[[], Sequence[FrozenTrial]] = tuple
    pending: ClassVar[bool] = False

    def __post_init__(self) -> None:
        cut_incomplete_line(self.log)
        backend = JournalFileBackend(str(self.log))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=self.name,
            directions=[_direction(objective) for objective in self.objectives],
            load_if_exists=True,
        )
        self._learn()
        self._skipped = [
            trial.number
            for trial in self._study.get_trials(deepcopy=False)
            if REPEATS in trial.user_attrs
        ]
        self._lost: set[int] = set()
        lost = self.settle() if self.known is not None else 0
        trials = self._study.get_trials(deepcopy=False)[len(self._earlier) :]
        self._asked = sum(trial.state != OptunaState.WAITING for trial in trials) - lost
        self._lists_points = self.sampler.points(self.space) is not None
        points = [self.space.params(point) for point in self.first]
        self._points = different(point for point in points if point is not None)
        self._seen = {
            _point(trial.params): trial.number
            for trial in trials
            if trial.params and REPEATS not in trial.user_attrs and trial.number not in self._lost
        }

    def _learn(self) -> None:
        """Copy the other sweep's trials into the study; complete a copy that a kill interrupted."""
        trials = self._study.get_trials(deepcopy=False)
        begun = any(SOURCE not in trial.user_attrs for trial in trials)
        have = {trial.user_attrs.get(SOURCE) for trial in trials}
        for trial in () if begun else self.warm():
            if trial.user_attrs[SOURCE] not in have:
                self._study.add_trial(trial)
        trials = self._study.get_trials(deepcopy=False)
        # they come first: this sweep's trial numbers start after them
        self._earlier = [trial for trial in trials if SOURCE in trial.user_attrs]

    def settle(self) -> int:
        """Tell the study every end of a trial that only the journal knows.

        Returns:
            The number of trials that were asked for but never proposed, because of a kill.
        """
        lost, known = 0, self.known() if self.known is not None else {}
        for trial in self._study.get_trials(deepcopy=False)[len(self._earlier) :]:
            record = known.get(self._trial_name(trial.number))
            if record is None and trial.state != OptunaState.WAITING:
                # it does not count in the budget
                self._study.tell(trial.number, state=OptunaState.FAIL, skip_if_finished=True)
                self._lost.add(trial.number)
                lost += 1
            elif record is not None and record.ended is not None:
                proposal = Proposal(record.trial_id, record.values, record.seed)
                self.tell(proposal, record.state, record.rows)
        return lost

    def ask(self) -> Proposal | None:
        if self.again:
            return self.again.pop(0)
        number = self._asked
        exhausted = self._lists_points and number >= len(self._points)
        if number >= self.budget or exhausted:
            return None
        if number < len(self._points):
            self._enqueue(self._points[number])
        for repeated in range(TRIES + 1):
            if repeated == TRIES:
                untried = self._untried()
                if untried is None:
                    return None  # every point of the space has been proposed
                self._enqueue(untried)
            drawn = number + self.skipped
            self._study.sampler = build_sampler(self.sampler, self.space, drawn, self._earlier)
            trial = self._study.ask()
            values = self.space.suggest(trial)
            same = self._seen.setdefault(_point(trial.params), trial.number)
            if same == trial.number:
                break
            self._skip(trial, same)
        self._asked += 1
        return Proposal(self._trial_name(trial.number), values, self.seed)

    def _enqueue(self, point: dict[str, Any]) -> None:
        """Have the study propose a point next, unless one waits already."""
        if not self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            self._study.enqueue_trial(point)

    def _skip(self, trial: optuna.trial.Trial, same: int) -> None:
        """End a draw that repeats an earlier point: its score is known, training it is in vain."""
        trial.set_user_attr(REPEATS, self._trial_name(same))
        # not its score once more: samplers would count the point as often as they repeat it
        self._study.tell(trial.number, state=OptunaState.FAIL)
        self._skipped.append(trial.number)

    def _untried(self) -> dict[str, Any] | None:
        """Draw a point of a finite space that no trial has had; None if there is none."""
        points = self.space.finite_points()
        left = [
            p for p in map(self.space.params, points or ()) if _point(p or {}) not in self._seen
        ]
        draw = random.Random(f"{self.seed} {self._asked}")
        return draw.choice(left) if left else None

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        number = self._number(proposal.trial_id)
        frozen = self._study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        if len(self.objectives) == 1 and state in (TrialState.COMPLETED, TrialState.PRUNED):
            self._report(frozen, rows, self.objectives[0].metric)
        final: Row = {}
        for epoch in sorted(rows):
            final |= rows[epoch]
        scores = [float(final.get(o.metric, math.nan)) for o in self.objectives]
        if state == TrialState.COMPLETED and all(map(math.isfinite, scores)):
            self._study.tell(number, scores, state=OptunaState.COMPLETE)
        elif state == TrialState.PRUNED:
            self._study.tell(number, state=OptunaState.PRUNED)
        else:
            self._study.tell(number, state=OptunaState.FAIL)

    def _report(self, frozen: FrozenTrial, rows: dict[int, Row], metric: str) -> None:
        trial = optuna.trial.Trial(self._study, frozen._trial_id)
        for epoch, row in sorted(rows.items()):
            value = row.get(metric, math.nan)
            if epoch not in frozen.intermediate_values and math.isfinite(value):
                trial.report(value, epoch)

    def _trial_name(self, number: int) -> str:
        """The id of a trial: its number, not counting another sweep's and those not trained."""
        return f"t{number - len(self._earlier) - bisect(self._skipped, number):03d}"

    def _number(self, trial_id: str) -> int:
        number = int(trial_id[1:]) + len(self._earlier)
        for skipped in self._skipped:
            number += skipped <= number
        return number

    @property
    def skipped(self) -> int:
        """How many draws repeated an earlier point and were not trained."""
        return len(self._skipped)


def _point(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))


def _direction(objective: Objective) -> StudyDirection:
    return StudyDirection.MAXIMIZE if objective.mode == "max" else StudyDirection.MINIMIZE


def open_study(
    sweep: Sweep, resolved: RunConfig, folder: Path, ledger: Ledger, again: list[Proposal]
) -> OptunaProposals:
    """Open the study of a search, from its file and its folder.

    Args:
        resolved: the base run with its `auto` values written out.
        again: unfinished trials of an earlier driver, proposed first.
    """
    spec, space = sweep.search, sweep.space
    assert spec is not None

    def warm() -> Sequence[FrozenTrial]:
        if not spec.warm_start:
            return ()
        return load_warm_start(spec.warm_start, folder.parent, space, spec.objectives)

    points: list[dict[str, Any]] = [resolved.flat(), *spec.enqueue]
    points += spec.sampler.points(space) or []
    return OptunaProposals(
        spec.name,
        space,
        spec.objectives,
        spec.sampler,
        spec.budget.trials,
        sweep.base.seed,
        SweepFolder(folder).optuna_log,
        first=points,
        again=again,
        known=lambda: {trial.trial_id: trial for trial in ledger.search_trials},
        warm=warm,
    )
