"""Population-based training: after every few epochs the worst members continue from the best.

Jaderberg et al. 2017, arXiv:1711.09846, in rounds: all members wait at the end of a round, so that
the result does not depend on the speed of gangs. Deviation: a value moves by a fifth of its axis
instead of by a factor, which would not suit a key momentum near 1.
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
from raymoco.files import replacing
from raymoco.study.journal.events import ENDED, Changed, Paused, SweepEvent, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.proposals.mutation import draw, mutate
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.search_space import point_id
from raymoco.study.sweepfile.sections import Objective

POLL_S = 0.05
DRAWS = 100  # of a member that is to differ from the earlier ones
CHANGES = "changes"


@dataclass
class Population:
    """Decides the next step of each member of a population, from the ledger alone.

    It has no other state, so a resumed sweep decides as an undisturbed one would.

    Args:
        axes: by config key; a run must be able to change each key during training.
        first: the base run's values; the first member starts with them where the axes allow it.
            Empty: it is drawn like the others.
        size: the number of members.
        seed: of all draws.
        epochs: of a whole run.
        run_seed: the seed of all members' training, so that their labels and orders are the same.
        folder: the sweep's folder.
        ledger: the sweep's, kept up to date by the recorder.
        record: records an event.
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
    record: Callable[[SweepEvent], None]
    stopping: bool = False

    def play(self, submit: Callable[[Proposal], None]) -> None:
        """Run rounds until every member has ended or `stopping` is set.

        Args:
            submit: gives a proposal to the broker, which ends it at once if all trials must stop.
        """
        submitted = set()
        while not self.stopping and (proposals := self.next_round()):
            for proposal in proposals:
                submit(proposal)
                submitted.add(proposal.trial_id)
            while any(self._runs(proposal) for proposal in proposals):
                time.sleep(POLL_S)
        for member in self.ledger.all():
            # paused since an earlier driver: the broker does not know it, but it must end too
            waits = member.ended is None and member.trial_id not in submitted and not member.cell
            if self.stopping and waits:
                submit(self._proposal(member.trial_id, member.values, self.epochs, member.attempt))

    def next_round(self) -> list[Proposal]:
        """Let the worst members copy the best, and return the proposals of the next round."""
        members = self.ledger.search_trials
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
        """The initial values of the members, by trial id."""
        own = {key: self.first[key] for key in self.axes} if self.first else {}
        allowed = all(self.axes[key].point(key, own[key]) is not None for key in own)
        found, points = {}, set[str]()
        for number in range(self.size):
            numbers = random.Random(f"{self.seed}:{number}")
            for _ in range(DRAWS):
                values = {key: draw(axis, numbers) for key, axis in self.axes.items()}
                if number == 0 and own and allowed:
                    values = own
                if point_id(values) not in points:  # else it would train like another member
                    break
            points.add(point_id(values))
            found[f"t{number:03d}"] = {**values, CHANGES: {0: dict(values)}}
        return found

    def _proposal(
        self, trial_id: str, values: dict[str, Any], target: int, attempt: int
    ) -> Proposal:
        kept = list_checkpoints(SweepFolder(self.folder).checkpoints_of(trial_id))
        return Proposal(
            trial_id,
            values,
            self.run_seed,
            attempt=attempt,
            # by the name in the journal, where a network file system does not list it yet
            resume_from=str(kept[-1]) if kept else self._reported(trial_id),
            until=target if target < self.epochs else None,
        )

    def _reported(self, trial_id: str) -> str | None:
        member = self.ledger.trials.get(trial_id)
        return member.checkpoint if member is not None else None

    def _exploit(self, alive: list[TrialRecord], epoch: int) -> None:
        """Give the worst members a checkpoint and values of the best, and record it."""
        sign = -1 if self.objective.mode == "max" else 1
        metric = self.objective.metric
        order = sorted(alive, key=lambda member: sign * member.rows[epoch][metric])
        count = min(max(1, round(len(order) * self.scheduler.quantile)), len(order) // 2)
        best, worst = order[:count], order[len(order) - count :]
        for member in worst:
            if epoch in (int(when) for when in member.values[CHANGES]):
                continue  # an earlier driver did this; the donor may have dropped its checkpoint
            numbers = random.Random(f"{self.seed}:{epoch}:{member.trial_id}")
            donor = numbers.choice(best)
            values = {
                key: mutate(axis, donor.values[key], numbers, self.scheduler.resample)
                for key, axis in self.axes.items()
            }
            hand_over(SweepFolder(self.folder).checkpoints, donor.trial_id, member.trial_id, epoch)
            changes = {int(when): what for when, what in donor.values[CHANGES].items()}
            self.record(
                Changed(
                    trial_id=member.trial_id,
                    epoch=epoch,
                    donor=donor.trial_id,
                    values={**values, CHANGES: {**changes, epoch: values}},
                )
            )

    def _runs(self, proposal: Proposal) -> bool:
        member = self.ledger.trials.get(proposal.trial_id)
        if member is None:
            return True
        if member.state in ENDED:
            return False
        paused = member.state == TrialState.PAUSED and member.attempt >= proposal.attempt
        return not (paused and member.epochs >= (proposal.until or self.epochs))


def open_population(
    sweep: Sweep,
    resolved: RunConfig,
    folder: Path,
    ledger: Ledger,
    record: Callable[[SweepEvent], None],
) -> Population:
    """Open the population of a sweep, from its file and its folder.

    Args:
        resolved: the base run with its `auto` values written out.
    """
    spec = sweep.search
    assert spec is not None
    for member in ledger.search_trials:
        if member.state == TrialState.STOPPED:  # by Ctrl-C or the budget's hours: it can continue
            record(Paused(trial_id=member.trial_id))
    return Population(
        spec.search,
        resolved.flat() if spec.enqueue_default is not False else {},
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
    """Replace a member's checkpoint of an epoch by a donor's.

    It makes a hard link where the storage supports links: nothing is copied, and the donor may
    delete its own name of the file.

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
        raise TrainingError(f"{source}: the checkpoint to continue from is missing.") from None
    except OSError:  # storage without links
        with source.open("rb") as there, replacing(place, source.stat().st_size) as here:
            shutil.copyfileobj(there, here)
        return
    os.replace(temporary, place)
