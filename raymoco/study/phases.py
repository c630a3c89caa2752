"""What stands while a sweep runs: broker, gangs, recorder; and how a phase of trials is played."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ray
from ray import tune
from ray.exceptions import RayActorError
from ray.tune.schedulers import TrialScheduler

from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.ray_train import FitThread
from raymoco.engine.resolve import resolve
from raymoco.errors import GangError, RaymocoError
from raymoco.study.gangs.pool import Gangs, start_broker
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.events import Ended, Proposed, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import INTERRUPTED
from raymoco.study.journal.recorder import Recorder
from raymoco.study.proposals.population import Population
from raymoco.study.proposals.proposal import Proposal, Proposals
from raymoco.study.sweepfile.sections import GangConfig
from raymoco.study.terminal.progress import SweepProgress
from raymoco.study.tune.searcher import TuneSearcher
from raymoco.study.tune.trainable import TrialClient

# Ctrl-C promises an end within 15 s, of which writing down takes some
TUNER_STOPS_S = 5.0
GANGS_STOP_S = 3.0


class PhaseRunner:
    """Broker and gangs of one sweep, and the phases that are played on them.

    Args:
        base: the run that trials vary, unresolved: each trial's `auto` values are its own.
        handle: the images.
        folder: the sweep's folder.
        recorder: hears every event; not yet listening.
        progress: shows them.
        rules: what each gang holds, and how often a trial is tried.
        concurrent: how many gangs.
    """

    def __init__(
        self,
        base: RunConfig,
        handle: PreparedImages,
        folder: Path,
        recorder: Recorder,
        progress: SweepProgress,
        rules: GangConfig,
        concurrent: int,
    ) -> None:
        self.interrupted = False
        self._base, self._handle, self._folder = base, handle, folder
        self._recorder, self._progress, self._slots = recorder, progress, concurrent
        self._searcher: TuneSearcher | Population | None = None
        self._broker = start_broker(0, rules)
        ray.get(self._broker.hand_data.remote([ray.put(handle)]))
        recorder.listen(self._broker)
        self._gangs = Gangs(self._broker, folder, rules, concurrent)
        self._gangs.start()

    def run_trials(
        self,
        name: str,
        proposals: Proposals,
        trials: int,
        scheduler: TrialScheduler,
        enough: Callable[[], str | None] = lambda: None,
        *,
        last: bool = False,
    ) -> None:
        """Run the proposals to their end.

        Args:
            trials: how many there will be.
            last: no phase follows, so gangs without a trial can free what they hold.
            enough: asked often; a reason to stop all that run, or None.
        Raises:
            GangError: no gang is left, or the broker has died; what ran is open for a resume.
        """
        if trials <= 0 or self.interrupted:
            return
        self._progress.begin(name, trials)
        slots = min(self._slots, trials)
        ray.get(self._broker.open_gate.remote(slots, last))
        self._searcher = TuneSearcher(proposals, self._broker, self._assign, slots, self._refused)
        # on the head node and not on a CPU: Ray Data needs whole ones, and gangs may hold the rest
        place = tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(TrialClient, broker=self._broker), place),
            tune_config=tune.TuneConfig(
                search_alg=self._searcher,
                scheduler=scheduler,
                num_samples=10**9,  # the searcher says when it is finished
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"{name}-{os.getpid()}",
                storage_path=str(SweepFolder(self._folder).ray),
                verbose=0,
            ),
        )
        self._wait(FitThread(tuner.fit, name="tuner"), enough)

    def run_population(self, population: Population, enough: Callable[[], str | None]) -> None:
        """Play a population to its end, without Tune: a round is a list of assignments.

        Args:
            enough: asked often; a reason to stop all that run, or None.
        """
        self._progress.begin("population", population.size)
        ray.get(self._broker.open_gate.remote(0))
        self._searcher = population

        def submit(proposal: Proposal) -> None:
            # no rows: one that goes on from another tells the other's curve as its own
            assignment = replace(self._assign(proposal), rows={})
            ray.get(self._broker.submit.remote(assignment))

        self._wait(FitThread(lambda: population.play(submit), name="population"), enough)

    def close(self) -> None:
        """Send the gangs home."""
        self._gangs.close(timeout_s=GANGS_STOP_S)

    def kill_broker(self) -> None:
        """End the broker, once its last event is written down: in a notebook Ray goes on."""
        ray.kill(self._broker)

    def _wait(self, thread: FitThread, enough: Callable[[], str | None]) -> None:
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
                self._gangs.check()
                self._recorder.check()
                self._progress.tick()
                reason = enough()
                if reason is not None:
                    self._stop(reason)
            self._gangs.check_broker()  # Tune ends on its death too, and knows less about it
        except KeyboardInterrupt:
            self._progress.say("interrupted: ending the running trials")
            self.interrupted = True
            try:
                self._stop(INTERRUPTED)
            except RayActorError:
                # a signal to the whole process group ends a local cluster too
                raise GangError(
                    "the cluster ended before the running trials did: they are open, and --resume "
                    "goes on with them."
                ) from None
            thread.join(TUNER_STOPS_S)
        except RaymocoError:
            # no trial is to blame: they stay open, and a resume goes on with them
            self._abandon()
            thread.join(TUNER_STOPS_S)
            raise
        if thread.error is not None:
            raise thread.error

    def _stop(self, reason: str) -> None:
        if self._searcher is None or self._searcher.stopping:
            return
        self._searcher.stopping = True
        ray.get(self._broker.stop_all.remote(TrialState.STOPPED, reason))

    def _abandon(self) -> None:
        if self._searcher is not None:
            self._searcher.stopping = True
        with contextlib.suppress(RayActorError):  # it may be what has died
            ray.get(self._broker.abandon.remote())

    def _assign(self, proposal: Proposal) -> Assignment:
        values = {**proposal.values, "seed": proposal.seed, "name": proposal.trial_id}
        config = resolve(
            self._base.with_values(values),
            channels=self._handle.channels,
            train_images=self._handle.rows("train"),
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

    def _refused(self, proposal: Proposal, reason: str) -> None:
        """A combination of values that no run can have: a failed trial, not the sweep's end."""
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
