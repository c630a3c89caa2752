"""Population-based training: all members train a few epochs, the worst go on from the best.

Jaderberg et al. 2017, arXiv:1711.09846, in rounds: everybody waits at the end of a round, so that
what happens does not depend on which gang was faster. Deviation: a value moves by a fifth of its
axis instead of by a factor, which a key momentum near 1 could not take.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymoco.config import RunConfig
from raymoco.engine.checkpoint import list_checkpoints
from raymoco.errors import TrainingError
from raymoco.event_log import Event
from raymoco.study.journal.ledger import ENDED, Ledger, TrialRecord, search_trials
from raymoco.study.proposals.mutation import draw, mutate
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import Objective, Scheduler
from raymoco.study.sweepfile.sweep import SearchSpec

POLL_S = 0.05
CHANGES = "changes"


@dataclass
class Population:
    """The members of one sweep, as the ledger knows them, and what each does next.

    Nothing else is remembered: a resumed sweep decides as an undisturbed one would.

    Args:
        axes: by config key; each a key that a run can change on its way.
        first: the base run's values: the first member starts with them where the axes allow it.
        size: how many members.
        seed: of all draws.
        epochs: of a whole run.
        run_seed: the seed that all members train with: their labels and orders are the same.
        folder: the sweep's folder.
        ledger: the sweep's, kept up to date by somebody else.
        record: writes an event down.
    """

    axes: dict[str, Axis]
    first: dict[str, Any]
    objective: Objective
    scheduler: Scheduler
    size: int
    seed: int
    epochs: int
    run_seed: int
    folder: Path
    ledger: Ledger
    record: Callable[[Event], None]
    stopping: bool = False

    def play(self, submit: Callable[[Proposal], None]) -> None:
        """Round after round until every member has ended or `stopping` is set.

        Args:
            submit: hands a proposal to the broker, which ends it at once if all are to stop.
        """
        submitted = set()
        while not self.stopping and (proposals := self.next_round()):
            for proposal in proposals:
                submit(proposal)
                submitted.add(proposal.trial_id)
            while any(self._runs(proposal) for proposal in proposals):
                time.sleep(POLL_S)
        for member in self.ledger.all():
            # paused since an earlier driver: the broker has not heard of it, and it must end too
            waits = member.ended is None and member.trial_id not in submitted and not member.cell
            if self.stopping and waits:
                submit(self._proposal(member.trial_id, member.values, self.epochs, member.attempt))

    def next_round(self) -> list[Proposal]:
        """What is to run now; at the end of a round the worst have been given their new start."""
        members = [trial for trial in self.ledger.all() if not trial.cell]
        born = {member.trial_id for member in members}
        unborn = {name: values for name, values in self._newborn().items() if name not in born}
        alive = [member for member in members if member.ended is None]
        if not alive and not unborn:
            return []
        every = self.scheduler.every_epochs
        reached = 0 if unborn else min(member.epochs for member in alive) // every * every
        if reached and not any(member.epochs > reached for member in members):
            self._exploit(alive, reached)
        target = min(reached + every, self.epochs)
        return [
            self._proposal(member.trial_id, member.values, target, member.attempt + 1)
            for member in alive
            if member.epochs < target
        ] + [self._proposal(name, values, target, 1) for name, values in unborn.items()]

    def _newborn(self) -> dict[str, dict[str, Any]]:
        """The members' values as they start, by trial id."""
        points = {key: axis.point(key, self.first[key]) for key, axis in self.axes.items()}
        found = {}
        for number in range(self.size):
            numbers = random.Random(f"{self.seed}:{number}")
            values = {key: draw(axis, numbers) for key, axis in self.axes.items()}
            if number == 0 and None not in points.values():
                values = {key: self.first[key] for key in self.axes}
            found[f"t{number:03d}"] = {**values, CHANGES: {0: dict(values)}}
        return found

    def _proposal(
        self, trial_id: str, values: dict[str, Any], target: int, attempt: int
    ) -> Proposal:
        kept = list_checkpoints(self.folder / "checkpoints" / trial_id)
        return Proposal(
            trial_id,
            values,
            self.run_seed,
            attempt=attempt,
            resume_from=str(kept[-1]) if kept else None,
            until=target if target < self.epochs else None,
        )

    def _exploit(self, alive: list[TrialRecord], epoch: int) -> None:
        """Give the worst members a checkpoint and values of the best, and write it down."""
        sign = -1 if self.objective.mode == "max" else 1
        metric = self.objective.metric
        order = sorted(alive, key=lambda member: sign * member.rows[epoch][metric])
        count = min(max(1, round(len(order) * self.scheduler.quantile)), len(order) // 2)
        best, worst = order[:count], order[len(order) - count :]
        for member in worst:
            if epoch in (int(when) for when in member.values[CHANGES]):
                continue  # an earlier driver did; its donor may be past that checkpoint by now
            numbers = random.Random(f"{self.seed}:{epoch}:{member.trial_id}")
            donor = numbers.choice(best)
            values = {
                key: mutate(axis, donor.values[key], numbers, self.scheduler.resample)
                for key, axis in self.axes.items()
            }
            hand_over(self.folder / "checkpoints", donor.trial_id, member.trial_id, epoch)
            changes = {int(when): what for when, what in donor.values[CHANGES].items()}
            self.record(
                {
                    "event": "changed",
                    "trial_id": member.trial_id,
                    "epoch": epoch,
                    "donor": donor.trial_id,
                    "values": {**values, CHANGES: {**changes, epoch: values}},
                }
            )

    def _runs(self, proposal: Proposal) -> bool:
        member = self.ledger.trials.get(proposal.trial_id)
        if member is None:
            return True
        if member.state in ENDED:
            return False
        paused = member.state == "paused" and member.attempt >= proposal.attempt
        return not (paused and member.epochs >= (proposal.until or self.epochs))


def open_population(
    sweep: Sweep,
    resolved: RunConfig,
    folder: Path,
    ledger: Ledger,
    record: Callable[[Event], None],
) -> Population:
    """The population of a sweep as its file and its folder have it.

    Args:
        resolved: the base run with its `auto` values written out.
    """
    spec = sweep.spec
    assert isinstance(spec, SearchSpec)
    for member in search_trials(ledger):
        if member.state == "stopped":  # by Ctrl-C or its hours: it is as far as it was
            record({"event": "paused", "trial_id": member.trial_id})
    return Population(
        spec.search,
        resolved.flat(),
        spec.objective,
        spec.scheduler,
        spec.budget.trials,
        spec.sampler.seed,
        sweep.base.epochs,
        sweep.base.seed,
        folder,
        ledger,
        record,
    )


def hand_over(checkpoints: Path, donor: str, member: str, epoch: int) -> None:
    """Put a donor's checkpoint of an epoch in the place of a member's own.

    A second name for the same file where the storage knows those: nothing is copied, and the donor
    may drop its own when it has a newer one.

    Raises:
        TrainingError: the donor has no such checkpoint.
    """
    name = f"epoch-{epoch:05d}.pt"
    source, place = checkpoints / donor / name, checkpoints / member / name
    temporary = place.with_name(f".{name}.handed")
    temporary.unlink(missing_ok=True)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, temporary)
    except FileNotFoundError:
        raise TrainingError(f"{source}: the checkpoint to go on from is gone.") from None
    except OSError:  # a storage without links
        shutil.copyfile(source, temporary)
    os.replace(temporary, place)
