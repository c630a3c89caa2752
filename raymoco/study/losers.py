"""What stays of the trials of a search that are not among its best: disks are finite.

A search of 1,000 trials needs the whole checkpoints of a few: of the best, and of those that train.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from raymoco.engine.checkpoint import keep_encoder
from raymoco.files import in_words
from raymoco.study.disk_plan import kept_trials
from raymoco.study.journal.events import ENDED, Dropped, Ended, SweepEvent, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.ranking import pareto_front, ranked
from raymoco.study.sweepfile.load import Sweep

# a gang hears after some steps that its trial was stopped, and may write a checkpoint until then
SETTLES_S = 10.0


class Losers:
    """Frees the disk of the trials of a search that end outside of the best.

    The best `checkpoint.keep_trials`, and at least those that will be confirmed, stay whole; of
    several objectives the Pareto front too. Of the others stays what `checkpoint.losers` says.
    Ablations keep everything: each of their trials is compared.

    Args:
        sweep: the checked sweep file.
        folder: the sweep's folder.
        ledger: the sweep's, kept up to date by the recorder.
        say: called with a line for the terminal.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, ledger: Ledger, say: Callable[[str], None]
    ) -> None:
        self._ledger, self._say, self._files = ledger, say, SweepFolder(folder)
        self._objectives, self._rule = sweep.objectives, sweep.base.checkpoint.losers
        self._best = kept_trials(sweep)
        self._idle = sweep.search is None or self._rule == "all"
        # members of a population go on from each other's checkpoints until the end
        self._late = sweep.search is not None and sweep.search.scheduler.population
        self._kept: list[str] = []
        self._settling: deque[tuple[float, list[str]]] = deque()
        self._freed: set[str] = set()
        self._may_write: set[str] = set()

    def begin(self) -> None:
        """Free what an earlier driver was killed before."""
        if not self._late:
            for trial in self._over():
                self._judge(trial.trial_id)

    def take(self, event: SweepEvent) -> None:
        """Judge the trial whose end an event is."""
        if self._idle or self._late or not isinstance(event, Ended | Dropped):
            return
        trial = self._ledger.trials.get(event.trial_id)
        if trial is None or trial.cell:
            return
        self._judge(trial.proposal or trial.trial_id)
        while self._settling and self._settling[0][0] < time.monotonic():
            self._free(self._settling.popleft()[1])

    def finish(self) -> None:
        """Free what is left when the gangs have closed."""
        if self._idle:
            return
        if self._late:
            for trial in self._over():
                self._judge(trial.trial_id)
        for _, trainings in self._settling:
            self._free(trainings)
        self._settling.clear()
        self._free(sorted(self._may_write))
        if self._freed:
            what = "the query encoder only" if self._rule == "encoder" else "no checkpoint"
            self._say(
                f"disk     {len(self._freed)} trainings keep {what}: they are not among the best "
                f"{self._best} (checkpoint.keep_trials, checkpoint.losers)"
            )

    def _over(self) -> list[TrialRecord]:
        """The proposals that have ended and cannot go on."""
        ended = [trial for trial in self._ledger.search_trials if trial.state in ENDED]
        if self._late:  # a stopped member of a population goes on in a resume
            ended = [trial for trial in ended if trial.state != TrialState.STOPPED]
        return [] if self._idle else ended

    def _judge(self, name: str) -> None:
        """Let a proposal that has ended compete with the best; free the trainings of the loser."""
        records = {trial.trial_id: trial for trial in self._records([*self._kept, name])}
        if name not in records or records[name].state not in ENDED:
            return
        order = ranked(records.values(), self._objectives[0])
        # while there are few, those without a score stay too
        order += [trial for trial in records.values() if trial not in order]
        stay = {trial.trial_id for trial in order[: self._best]}
        if len(self._objectives) > 1:
            stay |= {trial.trial_id for trial in pareto_front(records.values(), self._objectives)}
        self._kept = [one for one in dict.fromkeys([*self._kept, name]) if one in stay]
        for loser in records.keys() - stay:
            trainings = self._trainings(records[loser])
            if records[loser].completed:
                self._free(trainings)
            else:
                self._may_write.update(trainings)
                self._settling.append((time.monotonic() + SETTLES_S, trainings))

    def _records(self, names: list[str]) -> list[TrialRecord]:
        """The proposals of these names; with repeats each has the means over its trainings."""
        if any(name not in self._ledger.trials for name in names):
            return [trial for trial in self._ledger.search_trials if trial.trial_id in names]
        return [self._ledger.trials[name] for name in names]

    def _trainings(self, proposal: TrialRecord) -> list[str]:
        if not proposal.proposal:
            return [proposal.trial_id]
        return [one.trial_id for one in self._ledger.trainings[proposal.trial_id]]

    def _free(self, trainings: list[str]) -> None:
        for trial_id in trainings:
            folder = self._files.checkpoints_of(trial_id)
            written = self._ledger.trials[trial_id].checkpoint
            try:
                # by its name too: this machine may not list yet what a gang on another one wrote
                if keep_encoder(
                    folder, Path(written) if written else None, none=self._rule == "none"
                ):
                    self._freed.add(trial_id)
            except OSError as error:
                self._say(f"warning: {trial_id} keeps its checkpoints: {in_words(error)}")
                self._idle = True  # the others would say the same
