"""`raymoco train`: one run from its config to its folder."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from ray.exceptions import RayError
from ray.util.queue import Queue

from raymoco import tracking
from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import PreparedImages, prepare_images
from raymoco.data.loading.train_plan import check_list
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.check_choices import check_choices
from raymoco.engine.checkpoint import checkpoint_name, list_checkpoints, load_newest
from raymoco.engine.cluster import connect, declared_cpus, threads_per_worker
from raymoco.engine.disk import check_run
from raymoco.engine.judges import check_judges, judges_fact, judges_warning
from raymoco.engine.local_paths import with_absolute_paths
from raymoco.engine.loop import run_loop
from raymoco.engine.metrics_csv import MetricsFile
from raymoco.engine.mlflow_run import RunTranslator
from raymoco.engine.output_folder import RunFolder, check_output, refuse_foreign, resolve_output
from raymoco.engine.provenance import provenance
from raymoco.engine.ray_train import FitThread, build_trainer, root_cause, worker_session
from raymoco.engine.regime import TrainImages, regime
from raymoco.engine.regime_advice import regime_warning
from raymoco.engine.resolve import resolve
from raymoco.engine.run_events import RUN_EVENTS, EpochDone
from raymoco.engine.session import ON_EVERY_RANK, reason_of
from raymoco.engine.signals import Interrupts
from raymoco.engine.start_weights import check_start
from raymoco.errors import ConfigError, DiskFullError, RaymocoError, TrainingError
from raymoco.event_log import Begun, Closed, Journal, RunState, begun, read_journal
from raymoco.files import append_line, write_atomically
from raymoco.locks import is_used, lease
from raymoco.metrics import EVAL_KNN, IMAGES_PER_SECOND, TRAIN_LOSS, Row, describe

Print = Callable[[str], None]


@dataclass(frozen=True)
class RunResult:
    """The result of a run: its folder, its rows by epoch, and the last row."""

    folder: Path
    config: RunConfig
    rows: list[Row] = field(repr=False)

    @property
    def last(self) -> Row:
        """The last row: its final metrics."""
        return self.rows[-1]


def prepare_run(config: RunConfig, output: Path, say: Print) -> tuple[RunConfig, PreparedImages]:
    """Build shards, decode images and resolve the config, once, before any trial."""
    shards = ensure_shards(config.data, output, say)
    handle = prepare_images(config.data, shards)
    needs_labels = LOSSES.facts(config.method.loss, look=True).needs_labels
    for line in check_list(handle, config.data, needs_labels=needs_labels):
        say(line)
    resolved = resolve(config, channels=shards.channels, train_images=handle.rows("train"))
    check_judges(resolved, handle)
    if resolved.model.weights is not None:
        say(check_start(resolved.model, handle.channels, handle.seen))
    return resolved, handle


def _say_regime(config: RunConfig, handle: PreparedImages, say: Print) -> None:
    """Print what the run's length, queue and key momentum amount to, and a warning if need be."""
    images = TrainImages.of(handle.manifest, handle.rows("train"))
    for name, text in [*regime(config, images).facts, judges_fact(handle.manifest)]:
        say(f"{name:<12} {text}")
    for warning in (regime_warning(config, images), judges_warning(handle.manifest)):
        if warning:
            say(f"warning: {warning}")


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    profile: bool = False,
    say: Print = print,
    progress: Print | None = None,
) -> RunResult:
    """Train one run on Ray, and leave config.yaml, metrics.csv, checkpoints/ and log.txt.

    Args:
        config: what to train; `auto` values are resolved here.
        resume: continue from the last checkpoint in the run's folder, or start if there is none.
        profile: profile some steps of the first epoch: profile/table.txt and profile/trace.json.
        say: called with each line for the terminal.
        progress: called with a line per epoch; default `say`.
    Returns:
        The run's folder, resolved config and rows.
    Raises:
        InputError: the config, the data or the folder is wrong; nothing is lost.
        TrainingError: the run failed; its checkpoints are kept.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the folder is complete up to the last checkpoint.
    """
    output = resolve_output(config.output)
    # absolute, because workers have another working directory
    config = with_absolute_paths(config.with_values({"output": str(output)}))
    folder = output / config.run_name
    refuse_foreign(folder, "run")
    check_output(output)
    if is_used(folder):  # refuse before Ray starts
        with lease(folder, "run"):
            _refuse_used(folder, resume)
    saved = tracking.saved_section(RunFolder(folder).config) if resume else None
    settled, note = tracking.settle_tracking(config.tracking, output, saved)
    config = config.with_values({"tracking": settled.model_dump()})
    tracking.check_tracking(settled.uri, output)  # refused before anything is written
    if note:
        say(note)
    check_choices(config)
    signals = Interrupts()
    with signals.installed(), connect(config.scale, output):
        resolved, handle = prepare_run(config, output, say)
        _say_regime(resolved, handle, say)
        check_run(
            resolved,
            output,
            channels=handle.channels,
            image_size=handle.seen,
            classes=len(handle.classes),
            there=list_checkpoints(RunFolder(folder).checkpoints),
        )
        signals.check()
        # nothing has been written yet, and another process may have used the folder meanwhile
        with lease(folder, "run"):
            _refuse_used(folder, resume)
            start = _resume_point(folder, resolved, say) if resume else None
            write_atomically(RunFolder(folder).config, resolved.to_yaml())
            receiver = _Receiver(resolved, folder, start, progress or say, signals)
            receiver.run(handle, RunFolder(folder).profile if profile else None)
        signals.check()
    return RunResult(folder, resolved, [receiver.file.rows[e] for e in sorted(receiver.file.rows)])


def _refuse_used(folder: Path, resume: bool) -> None:
    refuse_foreign(folder, "run")
    if is_used(folder) and not resume:
        raise ConfigError(
            f"{folder} exists already. Go on with --resume, or choose another name with name=NAME."
        )


def _resume_point(folder: Path, config: RunConfig, say: Print) -> Path | None:
    found = list_checkpoints(RunFolder(folder).checkpoints)
    newest = load_newest(found[-1], "cpu", say) if found else None
    if newest is None:
        return None
    # compare with the present number of workers: with one worker, several batch norms coincide
    before = with_absolute_paths(newest.run_config).model_copy(update={"scale": config.scale})
    then, now = before.effective(), config.effective()
    changed = [
        f"{key}: {then.get(key)} -> {now.get(key)}"
        for key in dict.fromkeys([*now, *then])
        if then.get(key) != now.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{folder} was begun with another config and cannot be resumed with this one: "
            + "; ".join(changed)
        )
    return next(path for path in found if path.name == checkpoint_name(newest.epoch))


class _Receiver:
    """Starts the trainer and records the reports of its rank 0."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        start: Path | None,
        say: Print,
        signals: Interrupts,
    ) -> None:
        self.config, self.folder, self.start = config, folder, start
        self._signals = signals
        self._say, self._place = say, RunFolder(folder)
        epoch = int(start.stem.split("-")[1]) if start else 0
        self.file = MetricsFile(self._place.metrics, epoch)
        self._said = set(self.file.rows)
        # rows of earlier processes: epochs after the last checkpoint are trained again
        before = read_journal(self._place.journal, RUN_EVENTS)
        self._written = {int(e.row["epoch"]) for e in before if isinstance(e, EpochDone)}
        self._identity = next((e.id for e in before if isinstance(e, Begun)), uuid4().hex)
        self._journal = Journal(self._place.journal)
        at = config.tracking
        self._mirror = tracking.Mirror(
            tracking.place_of(folder, at.uri, at.experiment),
            lambda: RunTranslator(folder, config),
            say=say,
        )

    def run(self, handle: PreparedImages, profile: Path | None) -> None:
        """Train to the end; raises TrainingError with the worker's reason, or KeyboardInterrupt.

        Like a sweep's end, that of a run is written whole: a signal interrupts only the training
        and the wait for MLflow.
        """
        tags = provenance(handle, self.config.scale)
        state = RunState.FAILED
        failure: BaseException | None = None
        with self._signals.held():
            self._journal.append(begun(self._identity, tags))
            try:
                with self._signals.let_through():
                    self._mirror.start()
                    failure = self._train(handle, profile)
                state = RunState.FAILED if failure else RunState.COMPLETED
            except KeyboardInterrupt as error:
                state, failure = RunState.STOPPED, error
            except BaseException as error:  # noqa: BLE001 - raised again when all is closed
                failure = error
            try:
                self._close(state)
            except DiskFullError:
                if failure is None:  # otherwise it says what the first one said
                    raise
        if failure is not None:
            raise failure

    def _train(self, handle: PreparedImages, profile: Path | None) -> RaymocoError | None:
        """Start the workers and record their reports to the end; return what failed."""
        # max_concurrency 2: the driver waits in get() while a worker calls put()
        mailbox = Queue(actor_options={"num_cpus": 0})
        loop_config = {
            "config": self.config.model_dump(),
            "handle": handle,
            "mailbox": mailbox,
            "folder": str(self.folder),
            "resume_from": str(self.start) if self.start else None,
            "profile": profile,
        }
        trainer = build_trainer(
            train_loop_per_worker, loop_config, self.config.scale, name="train", folder=self.folder
        )
        thread = FitThread(trainer.fit, name="train")
        thread.start()
        try:
            return self._listen(thread, mailbox)
        except RayError:
            self._signals.check()  # a signal to the process group also ends a local cluster
            raise

    def _close(self, state: RunState) -> None:
        self._journal.append(Closed(state=state))
        try:
            with self._signals.let_through():
                outcome = self._mirror.close(hasty=state == RunState.STOPPED)
        except KeyboardInterrupt:
            outcome = self._mirror.close(hasty=True)
        for line in tracking.missing_lines(self._mirror.place, outcome):
            self._say(line)
        self._journal.close()

    def _listen(self, thread: FitThread, mailbox: Queue) -> RaymocoError | None:
        failure: RaymocoError | None = None
        while True:
            self._signals.check()
            alive = thread.is_alive()
            try:
                message = mailbox.get(timeout=0.5)
            except Empty:
                if not alive:
                    break
                continue
            with self._signals.held():  # a row is in all files or in none
                if "row" in message:
                    self._row(message["row"])
                    message["text"] = json.dumps(message["row"])
                if "reason" in message:
                    failure = self._failure(message["reason"], full=message["full"])
                append_line(self._place.log, message["text"])
        if thread.error is not None and failure is None:
            failure = self._failure(root_cause(thread.error))
        return failure

    def _failure(self, reason: str, *, full: bool = False) -> RaymocoError:
        """Return what ends the run: a full disk, which the user can mend, or something else."""
        return DiskFullError(reason) if full else TrainingError(f"{self.config.run_name}: {reason}")

    def _row(self, row: Row) -> None:
        epoch = int(row["epoch"])
        if epoch not in self._written:
            self._written.add(epoch)
            self._journal.append(EpochDone(row=row))
            self._mirror.wake()
        self.file.add(row)
        if epoch in self._said:
            return
        self._said.add(epoch)
        knn = f"  {describe(EVAL_KNN).column} {row[EVAL_KNN]:.3f}" if EVAL_KNN in row else ""
        self._say(
            f"epoch {epoch}/{self.config.epochs}  loss {row[TRAIN_LOSS]:.3f}{knn}  "
            f"{row[IMAGES_PER_SECOND]:.0f} {describe(IMAGES_PER_SECOND).unit}"
        )


def train_loop_per_worker(loop_config: dict[str, Any]) -> None:
    """The training function of each worker of `raymoco train`."""
    config = RunConfig.model_validate(loop_config["config"])
    mailbox: Queue = loop_config["mailbox"]
    folder = Path(loop_config["folder"])
    os.chdir(folder)  # the process may have started in a job's temporary copy, which can be deleted
    session = worker_session(
        RunFolder(folder).checkpoints, threads_per_worker(config.scale, declared_cpus())
    )

    def on_report(row: Row, checkpoint: str | None) -> bool:
        mailbox.put({"row": row, "checkpoint": checkpoint})
        return False

    session.on_report = on_report
    session.profile = loop_config["profile"] if session.rank == 0 else None
    session.predictions = RunFolder(folder).predictions
    session.on_text = lambda line: mailbox.put({"text": line})
    resume_from = loop_config["resume_from"]
    try:
        run_loop(config, loop_config["handle"], session, Path(resume_from) if resume_from else None)
    except Exception as error:
        alike = session.workers == 1 or isinstance(error, ON_EVERY_RANK)
        if session.rank == 0 or not alike:
            full = isinstance(error, DiskFullError)
            text = traceback.format_exc()
            mailbox.put({"reason": reason_of(error), "text": text, "full": full})
        if not (alike and isinstance(error, RaymocoError)):
            raise  # the other ranks are elsewhere in the loop and must not wait for this one
