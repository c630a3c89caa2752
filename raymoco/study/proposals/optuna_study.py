"""Proposals from an Optuna study on disk, which learns how every trial really ended."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import LOCK_FILE_SUFFIX, BaseJournalFileLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from raymoco.config import RunConfig
from raymoco.errors import DiskFullError
from raymoco.event_log import cut_incomplete_line
from raymoco.files import writing
from raymoco.metrics import Row
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.points import REPEATS
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.proposals.samplers import build_sampler
from raymoco.study.proposals.untried import Untried
from raymoco.study.proposals.warm_start import SOURCE, load_warm_start
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_space import SearchSpace, different, point_id
from raymoco.study.sweepfile.sections import Objective

# --dry-run prints what these warnings say: which axes a sampler draws at random
optuna.logging.set_verbosity(optuna.logging.ERROR)

TRIES = 5  # draws of a sampler that all repeat earlier points, before an untried one is taken


class _LeaseIsEnough(BaseJournalFileLock):
    """Optuna's lock of its file, without a file: the sweep's lease lets one process write.

    Optuna's own is a symbolic link, which not every storage has, and one that a kill has left holds
    up the next process for half a minute.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _LogFile(JournalFileBackend):
    """Optuna's file, in which a full disk leaves no incomplete line."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        path = Path(self._file_path)
        try:
            with writing(path, len(json.dumps(logs))):
                super().append_logs(logs)
        except DiskFullError:
            cut_incomplete_line(path)
            raise


@dataclass
class OptunaProposals:
    """An Optuna study on disk (optuna.log) that proposes `budget` trials in all.

    Each `ask` uses a sampler seeded by (seed, draw number), so a resumed sweep proposes what an
    undisturbed one would have proposed at that point.

    A point is trained once. Where the sampler repeats one, the study hears that the draw failed,
    and the sampler is asked again. Such a draw has no trial id and does not count in the budget. A
    point whose trial Ctrl-C or the budget stopped may come again after a resume.

    Args:
        first: points to try before sampling, whole or partial: the run's own values, as a
            reference, and the `enqueue` points. All points of a sampler that lists them, such as
            a grid.
        again: unfinished trials of an earlier driver, proposed first.
        known: returns the trials of earlier drivers by id, from the journal.
        warm: reads the trials of another sweep with the same axes and objectives; called until this
            study has trials. They may be of another run, so their points count as untried.
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
        # left by a kill of version 0.1, or of a dashboard: whoever is here holds the sweep's lease
        Path(f"{self.log}{LOCK_FILE_SUFFIX}").unlink(missing_ok=True)
        backend = _LogFile(str(self.log), _LeaseIsEnough())
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=self.name,
            directions=[_direction(objective) for objective in self.objectives],
            load_if_exists=True,
        )
        self._learn()
        self._untried = Untried(self.space)
        self._size = self.space.size()
        trials = self._study.get_trials(deepcopy=False)[len(self._earlier) :]
        self._skipped = [trial.number for trial in trials if REPEATS in trial.user_attrs]
        for number in self._skipped:  # a kill came before the last of them was ended
            self._study.tell(number, state=OptunaState.FAIL, skip_if_finished=True)
        self._lost = set[int]()  # asked for, but never proposed
        if self.known is not None:
            self.settle()
        own = [trial for trial in trials if self._is_proposed(trial)]
        self._asked = len(own)
        self._seen = self._points_of(own)
        self._lists_points = self.sampler.points(self.space) is not None
        points = [self.space.params(point) for point in self.first]
        self._points = different(point for point in points if point is not None)

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

    def _is_proposed(self, trial: FrozenTrial) -> bool:
        """Whether it became a trial: not one that waits, repeats another's point, or was lost."""
        waits = trial.state == OptunaState.WAITING
        return not waits and REPEATS not in trial.user_attrs and trial.number not in self._lost

    def _points_of(self, trials: Iterable[FrozenTrial]) -> dict[str, int]:
        """The points that are not drawn again: all but those of trials that were stopped."""
        known = self.known() if self.known is not None else {}
        found: dict[str, int] = {}
        for trial in trials:
            record = known.get(self._trial_name(trial.number))
            if record is None or record.state != TrialState.STOPPED:
                found.setdefault(point_id(self.space.suggest(trial)), trial.number)
        return found

    def settle(self) -> None:
        """Tell the study every end of a trial that only the journal knows."""
        known = self.known() if self.known is not None else {}
        for trial in self._study.get_trials(deepcopy=False)[len(self._earlier) :]:
            if not self._is_proposed(trial):
                continue
            record = known.get(self._trial_name(trial.number))
            if record is None:  # a kill: it does not count in the budget
                self._study.tell(trial.number, state=OptunaState.FAIL, skip_if_finished=True)
                self._lost.add(trial.number)
            elif record.ended is not None:
                proposal = Proposal(record.trial_id, record.values, record.seed)
                self.tell(proposal, record.state, record.rows)

    def ask(self) -> Proposal | None:
        if self.again:
            return self.again.pop(0)
        number = self._asked
        exhausted = self._lists_points and number >= len(self._points)
        if number >= self.budget or exhausted or len(self._seen) == self._size:
            return None
        fixed = self._points[number] if number < len(self._points) else {}
        if self._repeats(fixed):
            fixed = {}
        for _ in range(TRIES):
            proposal = self._draw(fixed)
            if proposal is not None:
                return proposal
        numbers = random.Random(f"{self.sampler.seed}:{number + self.skipped}")
        untried = self._untried.draw(self._seen, numbers, fixed)
        return self._draw(untried) if untried is not None else None

    def _repeats(self, params: dict[str, Any]) -> bool:
        """Whether they are a whole point that is not drawn again; not if some are left open."""
        try:
            values = self.space.suggest(optuna.trial.FixedTrial(params))
        except ValueError:  # Optuna's answer where one is missing
            return False
        return point_id(values) in self._seen

    def _draw(self, fixed: dict[str, Any]) -> Proposal | None:
        """Propose what the sampler draws next, or None if it repeats an earlier point.

        Args:
            fixed: parameters that are not left to the sampler.
        """
        if fixed and not self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            self._study.enqueue_trial(fixed)
        drawn = self._asked + self.skipped
        self._study.sampler = build_sampler(self.sampler, self.space, drawn, self._earlier)
        trial = self._study.ask()
        values = self.space.suggest(trial)
        same = self._seen.setdefault(point_id(values), trial.number)
        if same != trial.number:
            trial.set_user_attr(REPEATS, self._trial_name(same))
            # not its score once more: samplers would count the point as often as they repeat it
            self._study.tell(trial.number, state=OptunaState.FAIL)
            self._skipped.append(trial.number)
            return None
        self._asked += 1
        return Proposal(self._trial_name(trial.number), values, self.seed)

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


def _among(point: dict[str, Any], points: Sequence[dict[str, Any]], space: SearchSpace) -> bool:
    params = space.params(point)
    return params is not None and any(space.params(other) == params for other in points)


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

    listed = spec.sampler.points(space)
    points: list[dict[str, Any]] = [*spec.enqueue, *(listed or ())]
    own = resolved.flat()
    if spec.enqueue_default is not False and (listed is None or _among(own, listed, space)):
        points.insert(0, own)
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
