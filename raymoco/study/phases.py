"""Run the phases of a sweep on its gangs, one after another, and wait for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError
from ray.tune.schedulers import TrialScheduler

from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.ray_train import FitThread
from raymoco.engine.signals import Interrupts
from raymoco.errors import GangError, RaymocoError
from raymoco.study.assignments import Assigner
from raymoco.study.gangs.pool import Gangs, start_broker
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import INTERRUPTED
from raymoco.study.journal.recorder import Recorder
from raymoco.study.proposals.population import Population
from raymoco.study.proposals.proposal import Proposal, Proposals
from raymoco.study.sweepfile.sections import GangConfig
from raymoco.study.terminal.progress import SweepProgress
from raymoco.study.tune.searcher import TuneSearcher
from raymoco.study.tune.trainable import TrialClient

# a sweep must end within 15 s after Ctrl-C, including the time for recording
TUNER_STOPS_S = 5.0
GANGS_STOP_S = 3.0

Enough = Callable[[], str | None]


class PhaseRunner:
    """Runs the phases of a sweep on its broker and gangs.

    After `start` was called, call `close_gangs` and then `kill_broker`, even if `start` was
    interrupted.

    Args:
        assigner: turns proposals into assignments.
        images: the images that all trials train on.
        folder: the sweep's folder.
        recorder: records every event; not listening yet.
        progress: shows the events.
        signals: checked while waiting for a phase.
        rules: the resources of each gang, and how often a trial is retried.
        concurrent: the number of gangs.
    """

    def __init__(
        self,
        assigner: Assigner,
        images: PreparedImages,
        folder: Path,
        recorder: Recorder,
        progress: SweepProgress,
        signals: Interrupts,
        rules: GangConfig,
        concurrent: int,
    ) -> None:
        self._assigner, self._images, self._folder = assigner, images, folder
        self._recorder, self._progress, self._signals = recorder, progress, signals
        self._rules, self._slots = rules, concurrent
        self._broker: Any = None
        self._gangs: Gangs | None = None
        self._source: TuneSearcher | Population | None = None
        self.stopped = ""  # why the trials of a phase were stopped, if they were

    def start(self) -> None:
        """Start the broker, listen to it, and start the gangs, which take about 20 s."""
        self._broker = start_broker(0, self._rules)
        ray.get(self._broker.hand_data.remote([ray.put(self._images)]))
        self._recorder.listen(self._broker)
        self._gangs = Gangs(self._broker, self._folder, self._rules, self._slots)
        self._gangs.start()

    def run_trials(
        self,
        name: str,
        proposals: Proposals,
        trials: int,
        scheduler: TrialScheduler,
        enough: Enough = lambda: None,
        *,
        last: bool = False,
    ) -> None:
        """Run the proposals to their end.

        Args:
            trials: the number of proposals.
            last: no phase follows, so gangs without a trial can free their resources.
            enough: called often; returns a reason to stop all running trials, or None.
        Raises:
            GangError: no gang is left, or the broker has died; a resume continues the running
            trials. KeyboardInterrupt: the running trials have ended as stopped.
        """
        if trials <= 0:
            return
        self._progress.begin(name, trials)
        slots = min(self._slots, trials)
        ray.get(self._broker.open_gate.remote(slots, last))
        searcher = TuneSearcher(
            proposals, self._broker, self._assigner.assign, slots, self._assigner.refuse
        )
        self._source = searcher
        # on the head node and without a CPU: Ray Data needs whole CPUs, and gangs may hold the rest
        place = tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(TrialClient, broker=self._broker), place),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=10**9,  # the searcher decides when the search is finished
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"{name}-{os.getpid()}",
                storage_path=str(SweepFolder(self._folder).ray),
                verbose=0,
            ),
        )
        self._wait(FitThread(tuner.fit, name="tuner"), enough)

    def run_population(self, population: Population, enough: Enough) -> None:
        """Train a population to its end without Tune: a round is a list of assignments.

        Args:
            enough: called often; returns a reason to stop all running trials, or None.
        Raises:
            GangError, KeyboardInterrupt: as `run_trials`.
        """
        self._progress.begin("population", population.size)
        ray.get(self._broker.open_gate.remote(0))
        self._source = population

        def submit(proposal: Proposal) -> None:
            # no rows: a member that continues from another reports the other's curve as its own
            assignment = replace(self._assigner.assign(proposal), rows={})
            ray.get(self._broker.submit.remote(assignment))

        self._wait(FitThread(lambda: population.play(submit), name="population"), enough)

    def close_gangs(self) -> None:
        """Shut down the gangs, and wait a moment for them."""
        if self._gangs is not None:
            self._gangs.close(timeout_s=GANGS_STOP_S)

    def kill_broker(self) -> None:
        """End the broker after its last event is recorded: in a notebook Ray keeps running."""
        if self._broker is not None:
            ray.kill(self._broker)

    def _wait(self, thread: FitThread, enough: Enough) -> None:
        """Wait for a phase; if it ends early, end its thread too."""
        assert self._gangs is not None
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
                self._signals.check()
                self._gangs.check()
                self._recorder.check()
                self._progress.tick()
                reason = enough()
                if reason is not None:
                    self._stop(reason)
            self._gangs.check_broker()  # Tune ends when the broker dies, with a less helpful error
            self._recorder.catch_up()  # or the next phase would be chosen without the last report
            self._recorder.check()
        except KeyboardInterrupt:
            self._progress.say("interrupted: ending the running trials")
            try:
                self._stop(INTERRUPTED)
            except RayActorError:
                # a signal to the process group also ends a local cluster
                raise GangError(
                    "the cluster ended before the running trials did: they are open, and --resume "
                    "goes on with them."
                ) from None
            thread.join(TUNER_STOPS_S)
            raise
        except RaymocoError:
            # no trial has caused this: they stay open, and a resume continues them
            self._abandon()
            thread.join(TUNER_STOPS_S)
            raise
        if thread.error is not None:
            raise thread.error

    def _stop(self, reason: str) -> None:
        if self._source is None or self._source.stopping:
            return
        self._source.stopping = True
        ray.get(self._broker.stop_all.remote(TrialState.STOPPED, reason))
        self.stopped = reason

    def _abandon(self) -> None:
        if self._source is not None:
            self._source.stopping = True
        with contextlib.suppress(RayActorError):  # the broker itself may have died
            ray.get(self._broker.abandon.remote())
