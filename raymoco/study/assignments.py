"""Turn proposals into assignments: a resolved config, a folder, a checkpoint to continue from."""

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
    """Turns proposals into assignments, and records each trial in the journal before it runs.

    Args:
        base: the run that trials vary, unresolved: `auto` values are resolved for each trial.
        images: the images that all trials train on.
        folder: the sweep's folder.
        recorder: records the events.
    """

    def __init__(
        self, base: RunConfig, images: PreparedImages, folder: Path, recorder: Recorder
    ) -> None:
        self._base, self._images, self._folder = base, images, folder
        self._recorder = recorder

    def assign(self, proposal: Proposal) -> Assignment:
        """Return the assignment of a proposal; record the trial if it is new.

        Raises:
            InputError: no run can have these values; nothing is recorded.
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
            proposal.repeat,
        )

    def refuse(self, proposal: Proposal, reason: str) -> None:
        """Record a trial whose values no run can have as failed; the sweep continues."""
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
        proposal=proposal.proposal,
        repeat=proposal.repeat,
        repeats=proposal.repeats,
    )
