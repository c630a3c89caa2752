"""Train each proposal of a search with several seeds, and stop one that is clearly behind."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scipy import stats

from raymoco.config import RunConfig
from raymoco.metrics import Row
from raymoco.study.journal.events import ENDED, Dropped, TrialState
from raymoco.study.journal.ledger import Ledger, TrialRecord, mean_of
from raymoco.study.journal.ranking import ranked
from raymoco.study.proposals.optuna_study import OptunaProposals, open_study
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.proposals.remaining import interrupted_before
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import Objective

LEVEL = 0.1  # as Optuna's WilcoxonPruner


def fewest_repeats(repeats: int) -> int:
    """Return after how many of its repeats a proposal can be stopped: half of them, at least 2."""
    return max(2, math.ceil(repeats / 2))


def clearly_behind(differences: Sequence[float], repeats: int) -> bool:
    """Whether a proposal is so far behind the best one that its further repeats are not trained.

    Wilcoxon's signed-rank test, one-sided and exact, over the seeds that both have trained: behind
    is p <= 0.1. Two and three seeds cannot reach that: there it must be behind with every seed,
    p = 0.25 and 0.125. It is no verdict: nothing more is said than which of the two goes on.

    Args:
        differences: by seed, this proposal minus the best; below 0 where it is worse.
        repeats: with how many seeds a whole proposal is trained.
    Source: Optuna's WilcoxonPruner. Deviations: half of the repeats first, and the level where
        there are few seeds.
    """
    seeds = len(differences)
    if seeds < fewest_repeats(repeats) or not all(map(math.isfinite, differences)):
        return False
    rounded = [round(difference, 12) for difference in differences]  # ties but for the last bit
    p = stats.wilcoxon(rounded, alternative="less", zero_method="zsplit").pvalue
    return bool(p <= max(LEVEL, 0.5**seeds))


class RepeatedProposals:
    """Trains every proposal of a search with the same seeds, one repeat after another.

    The next repeat of a proposal comes before a new proposal: as many proposals are under way as
    there are gangs, each gang has work, and no repeat has begun in vain when one is stopped. Only
    at the end of a search may a gang be idle, while the last proposals train their repeats.

    The search is told a proposal when its last repeat has ended: the means over its repeats.

    Args:
        search: proposes, and learns how proposals ended; it has settled what earlier drivers left.
        repeats: the number of seeds: that of the run, and the next ones.
        objectives: with one, a proposal that is clearly behind the best so far is stopped.
        record: writes an event to the journal.
        ledger: the trials of earlier drivers.
        again: unfinished trainings of an earlier driver, proposed first.
    """

    def __init__(
        self,
        search: OptunaProposals,
        repeats: int,
        objectives: Sequence[Objective],
        record: Callable[[Dropped], None],
        ledger: Ledger,
        again: Iterable[Proposal] = (),
    ) -> None:
        self._search, self._repeats, self._record = search, repeats, record
        self._objective = objectives[0] if len(objectives) == 1 else None
        self._completed: list[TrialRecord] = []
        self._of_completed: dict[str, list[TrialRecord]] = {}
        self._next = deque(again)
        self._trained: dict[str, list[TrialRecord]] = {}
        ended = [proposal for proposal in ledger.search_trials if proposal.state in ENDED]
        for proposal in ended:
            self._keep(proposal, ledger.trainings[proposal.trial_id])
        going_on = {training.proposal for training in self._next}
        over = {proposal.trial_id for proposal in ended}
        for name, trainings in ledger.trainings.items():
            if name in over:
                continue
            # copies: the ledger's own change while this driver's events come in
            self._trained[name] = [replace(t) for t in trainings if t.state in ENDED]
            if name not in going_on:  # a kill came between two repeats
                self._go_on(name)

    @property
    def pending(self) -> bool:
        """Whether a trial that runs now may be followed by another repeat of its proposal."""
        return bool(self._trained)

    def ask(self) -> Proposal | None:
        """Return the next repeat of a proposal under way, else a new proposal's first one."""
        if self._next:
            return self._next.popleft()
        proposal = self._search.ask()
        if proposal is None:
            return None
        self._trained[proposal.trial_id] = []
        return self._training(proposal.trial_id, proposal.values, proposal.seed, 0)

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        """Record how a training ended; decide whether its proposal goes on."""
        trainings = self._trained[proposal.proposal]
        trainings.append(
            TrialRecord(
                proposal.trial_id,
                proposal.values,
                "",
                proposal.seed,
                state=state,
                rows=rows,
                proposal=proposal.proposal,
                repeat=proposal.repeat,
                repeats=self._repeats,
            )
        )
        self._go_on(proposal.proposal)

    @property
    def skipped(self) -> int:
        """How many proposals repeated an earlier point and were not trained."""
        return self._search.skipped

    def settle(self) -> None:
        """As OptunaProposals: tell the study every end that only the journal knows."""
        self._search.settle()

    def _go_on(self, name: str) -> None:
        """Queue the next repeat of a proposal, or end it."""
        trainings = self._trained[name]
        found = mean_of(trainings)
        if found.state == TrialState.WAITING:
            reason = self._behind(trainings)
            if not reason:
                first, n = trainings[0], len(trainings)
                self._next.append(self._training(name, first.values, first.seed + n, n))
                return
            last = trainings[-1]
            last.dropped = Dropped(trial_id=last.trial_id, state=TrialState.PRUNED, reason=reason)
            self._record(last.dropped)
            found = mean_of(trainings)
        self._keep(found, self._trained.pop(name))
        told = Proposal(found.trial_id, found.values, found.seed)
        self._search.tell(told, found.state, found.rows)

    def _keep(self, proposal: TrialRecord, trainings: Sequence[TrialRecord]) -> None:
        """Keep what a completed proposal reached: others are compared with it."""
        if proposal.completed:
            self._completed.append(proposal)
            self._of_completed[proposal.trial_id] = list(trainings)

    def _behind(self, trainings: Sequence[TrialRecord]) -> str:
        """Say behind which proposal this one is after its repeats so far; '' if behind none."""
        best = ranked(self._completed, self._objective) if self._objective is not None else []
        if not best or self._objective is None:
            return ""
        metric, leader = self._objective.metric, best[0].trial_id
        sign = 1 if self._objective.mode == "max" else -1
        scores = {trial.repeat: trial.score(metric) for trial in self._of_completed[leader]}
        differences = [sign * (t.score(metric) - scores[t.repeat]) for t in trainings]
        if not clearly_behind(differences, self._repeats):
            return ""
        away = abs(math.fsum(differences) / len(differences))
        return f"behind {leader} by {away:.4g} in {metric} over {len(differences)} seeds"

    def _training(self, name: str, values: Mapping[str, object], seed: int, n: int) -> Proposal:
        return Proposal(
            f"{name}-r{n}", dict(values), seed, proposal=name, repeat=n, repeats=self._repeats
        )


def open_proposals(
    sweep: Sweep,
    resolved: RunConfig,
    folder: Path,
    ledger: Ledger,
    record: Callable[[Dropped], None],
) -> OptunaProposals | RepeatedProposals:
    """Open the proposals of a search, from its file and its folder.

    Args:
        resolved: the base run with its `auto` values written out.
        record: writes an event to the journal.
    """
    spec = sweep.search
    assert spec is not None
    again = interrupted_before(folder, ledger, cells=False)
    if spec.repeats == 1:
        return open_study(sweep, resolved, folder, ledger, again)
    study = open_study(sweep, resolved, folder, ledger, [])
    return RepeatedProposals(study, spec.repeats, spec.objectives, record, ledger, again)
