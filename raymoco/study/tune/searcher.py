"""A Ray Tune searcher that takes its trials from raymoco's proposals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune.search import Searcher

from raymoco.errors import InputError
from raymoco.metrics import Row
from raymoco.study.gangs.answers import Canceled
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.events import TrialState
from raymoco.study.proposals.proposal import Proposal, Proposals
from raymoco.study.tune.trainable import ASSIGNMENT


class TuneSearcher(Searcher):
    """Adapter to Ray Tune: supplies proposals and reports how each trial ended.

    Args:
        proposals: the source of trials.
        broker: knows how each trial ended; a trial that it has not ended was stopped by a
        scheduler. assign: builds the assignment of a proposal; raises InputError if its config is
        impossible. concurrent: how many trials Tune may run at once.
        on_refused: called with a proposal whose config is impossible, and why.
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
        self._handed = 0
        self.stopping = False

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its Tuner for Tuner.restore, which raymoco does not use: it resumes from the
        # journal, and the proposals have open files and locks
        return {}

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Ignore Tune's metric: the objective judges trials."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next Tune trial, None to wait, or FINISHED."""
        if self.stopping:
            return None if self._live else Searcher.FINISHED
        if len(self._live) >= self._concurrent:
            return None
        while (proposal := self._proposals.ask()) is not None:
            try:
                assignment = self._assign(proposal)
            except InputError as error:
                self._on_refused(proposal, str(error))
                self._proposals.tell(proposal, TrialState.FAILED, {})
                continue
            self._live[trial_id], self._rows[trial_id] = proposal, dict(assignment.rows)
            self._handed += 1
            return {ASSIGNMENT: assignment}
        if self._proposals.pending:
            if self._handed < self._concurrent:  # the others may wait for one that the gate holds
                self._broker.lower_gate.remote(self._handed)
            return None
        self._broker.lift_gate.remote(self._handed)
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Store a report that Tune has received."""
        self._rows[trial_id][int(result["epoch"])] = result

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the proposals how a trial ended: as the broker knows it, or as Tune does."""
        proposal = self._live.pop(trial_id, None)
        if proposal is None:
            return
        rows = self._rows.pop(trial_id)
        if result and "epoch" in result:
            rows[int(result["epoch"])] = result
        state, reason = TrialState.PRUNED, "a scheduler stopped it"
        if error:
            state, reason = TrialState.FAILED, "its Tune client was lost"
        # the gang may be ahead of Tune: if it has ended the trial already, that end is kept
        try:
            canceled: Canceled = ray.get(
                self._broker.cancel.remote(proposal.trial_id, state, reason)
            )
        except RayActorError:
            self.stopping = True  # no gang is left for further trials
            return
        if canceled.state == TrialState.ABANDONED:
            return  # a resume continues it
        rows |= {int(row["epoch"]): row for row in canceled.unread}
        self._proposals.tell(proposal, canceled.state, rows)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a resume reads the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""
