"""One phase of trials after another on the gangs of a sweep, and how each of them is waited for."""

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

# Ctrl-C promises an end within 15 s, of which writing down takes some
TUNER_STOPS_S = 5.0
GANGS_STOP_S = 3.0

Enough = Callable[[], str | None]


class PhaseRunner:
    """Broker and gangs of one sweep, and the phases of trials that run on them.

    Whatever happens after `start` was called, `close_gangs` and then `kill_broker` end what stands,
    however far `start` came.

    Args:
        assigner: turns proposals into what gangs run.
        images: what all trials train on.
        folder: the sweep's folder.
        recorder: hears every event; not yet listening.
        progress: shows them.
        signals: asked while a phase is waited for.
        rules: what each gang holds, and how often a trial is tried.
        concurrent: how many gangs.
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

    def start(self) -> None:
        """Start the broker, listen to it, and start the gangs: they are up within some 20 s."""
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
            trials: how many there will be.
            last: no phase follows, so gangs without a trial can free what they hold.
            enough: asked often; a reason to stop all that run, or None.
        Raises:
            GangError: no gang is left, or the broker has died; what ran is open for a resume.
            KeyboardInterrupt: what ran has been stopped and says so.
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
        # on the head node and not on a CPU: Ray Data needs whole ones, and gangs may hold the rest
        place = tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(TrialClient, broker=self._broker), place),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
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

    def run_population(self, population: Population, enough: Enough) -> None:
        """Train a population to its end, without Tune: a round is a list of assignments.

        Args:
            enough: asked often; a reason to stop all that run, or None.
        Raises:
            GangError, KeyboardInterrupt: as `run_trials`.
        """
        self._progress.begin("population", population.size)
        ray.get(self._broker.open_gate.remote(0))
        self._source = population

        def submit(proposal: Proposal) -> None:
            # no rows: one that goes on from another tells the other's curve as its own
            assignment = replace(self._assigner.assign(proposal), rows={})
            ray.get(self._broker.submit.remote(assignment))

        self._wait(FitThread(lambda: population.play(submit), name="population"), enough)

    def close_gangs(self) -> None:
        """Send the gangs home, and wait a moment for them."""
        if self._gangs is not None:
            self._gangs.close(timeout_s=GANGS_STOP_S)

    def kill_broker(self) -> None:
        """End the broker, once its last event is written down: in a notebook Ray goes on."""
        if self._broker is not None:
            ray.kill(self._broker)

    def _wait(self, thread: FitThread, enough: Enough) -> None:
        """Wait for a phase; whatever ends it early ends its thread too."""
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
            self._gangs.check_broker()  # Tune ends on its death too, and knows less about it
        except KeyboardInterrupt:
            self._progress.say("interrupted: ending the running trials")
            try:
                self._stop(INTERRUPTED)
            except RayActorError:
                # a signal to the whole process group ends a local cluster too
                raise GangError(
                    "the cluster ended before the running trials did: they are open, and --resume "
                    "goes on with them."
                ) from None
            thread.join(TUNER_STOPS_S)
            raise
        except RaymocoError:
            # no trial is to blame: they stay open, and a resume goes on with them
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

    def _abandon(self) -> None:
        if self._source is not None:
            self._source.stopping = True
        with contextlib.suppress(RayActorError):  # it may be what has died
            ray.get(self._broker.abandon.remote())
