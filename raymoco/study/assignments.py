"""From a proposal to what a gang is asked to run: a resolved config, a folder, where to go on."""

from __future__ import annotations

from pathlib import Path

from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.resolve import resolve
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.events import Ended, Proposed, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.recorder import Recorder
from raymoco.study.proposals.proposal import Proposal


class Assigner:
    """Turns proposals into assignments, and writes down each trial before anything runs it.

    Args:
        base: the run that trials vary, unresolved: each trial's `auto` values are its own.
        images: what all trials train on.
        folder: the sweep's folder.
        recorder: writes the events down.
    """

    def __init__(
        self, base: RunConfig, images: PreparedImages, folder: Path, recorder: Recorder
    ) -> None:
        self._base, self._images, self._folder = base, images, folder
        self._recorder = recorder

    def assign(self, proposal: Proposal) -> Assignment:
        """The assignment of a proposal; a trial that nobody knew is in the journal afterwards.

        Raises:
            InputError: no run can have these values; nothing is written down.
        """
        values = {**proposal.values, "seed": proposal.seed, "name": proposal.trial_id}
        config = resolve(
            self._base.with_values(values),
            channels=self._images.channels,
            train_images=self._images.rows("train"),
        )
        if proposal.trial_id not in self._recorder.ledger.trials:
            self._recorder.record(_proposed(proposal, config))
        known = self._recorder.ledger.trials[proposal.trial_id]
        return Assignment(
            proposal.trial_id,
            proposal.attempt,
            config.model_dump(),
            str(SweepFolder(self._folder).checkpoints_of(proposal.trial_id)),
            proposal.resume_from,
            proposal.until,
            known.failures,
            known.spent,
            dict(known.rows),
        )

    def refuse(self, proposal: Proposal, reason: str) -> None:
        """Write down a trial whose values no run can have: it has failed, and the sweep goes on."""
        self._recorder.record(_proposed(proposal, None))
        self._recorder.record(
            Ended(trial_id=proposal.trial_id, state=TrialState.FAILED, reason=reason)
        )


def _proposed(proposal: Proposal, config: RunConfig | None) -> Proposed:
    return Proposed(
        trial_id=proposal.trial_id,
        values=proposal.values,
        seed=proposal.seed,
        cell=proposal.cell,
        phase=proposal.phase,
        config=config.to_yaml() if config else "",
    )
