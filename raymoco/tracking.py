"""MLflow, and the only module that imports it.

One writer per sweep, in the driver, in a thread: what is logged is queued and sent in batches, so
neither a trial nor the driver waits for the store. One trial is one MLflow run for ever: a resumed
trial goes on in the run that it began.
"""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
# the writer tries again by itself; MLflow's own retries would hold it for minutes a call
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
logging.getLogger("alembic").setLevel(logging.WARNING)

from mlflow.entities import Metric, Param, RunStatus, RunTag  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from raymoco.errors import InputError  # noqa: E402

NOWHERE = "none"
BATCH = 1000
PARAM_LENGTH = 6000
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0

# the parent's page opens as charts of training, not as a table of traces
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


@dataclass
class _Run:
    """A run that the tracker writes to; `run_id` is None until the store has made it."""

    run_id: str | None = None
    made: threading.Event = field(default_factory=threading.Event)


class Tracker:
    """Queues what is to be logged and delivers it from one thread.

    Keys are the caller's own names for runs ("" for the parent, a trial id for a child), so that
    nobody waits for MLflow to invent an id.

    Args:
        uri: tracking URI; `none` logs nothing.
        experiment: name; made if it is not there.
        artifacts: where a sqlite store keeps artifacts; a server decides for itself.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None) -> None:
        self.uri, self.experiment = uri, experiment
        self.experiment_id: str | None = None
        self.undelivered: list[str] = []
        self._artifacts = artifacts
        self._runs: dict[str, _Run] = {}
        self._jobs: queue.Queue[tuple[str, Callable[[], object]] | None] = queue.Queue()
        self._client: MlflowClient | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        if uri != NOWHERE:
            self._thread.start()

    def start_run(
        self,
        key: str,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Begin the run called `key`, or with `run_id` go on in one that exists."""
        if self.uri == NOWHERE or key in self._runs:
            return
        run = self._runs[key] = _Run()

        def make() -> None:
            client = self._connected()
            if run_id is not None:
                client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
                run.run_id = run_id
            else:
                all_tags = {"mlflow.user": _user(), "mlflow.source.name": "raymoco"}
                all_tags |= {name: str(value) for name, value in (tags or {}).items()}
                if parent is not None:
                    all_tags["mlflow.parentRunId"] = self._id(parent)
                made = client.create_run(str(self.experiment_id), tags=all_tags, run_name=name)
                run.run_id = made.info.run_id
                listed = [Param(k, str(v)[:PARAM_LENGTH]) for k, v in (params or {}).items()]
                for start in range(0, len(listed), 100):
                    client.log_batch(made.info.run_id, params=listed[start : start + 100])
            run.made.set()

        self._put(f"start of run '{name}'", make)

    def log_row(self, key: str, row: Mapping[str, float | int], step: int) -> None:
        """Metrics of one step; names and values as they are."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in row.items()]

        def send() -> None:
            for start in range(0, len(metrics), BATCH):
                self._connected().log_batch(self._id(key), metrics[start : start + BATCH])

        self._put(f"{len(metrics)} metrics at step {step}", send)

    def set_tags(self, key: str, tags: Mapping[str, Any]) -> None:
        """Set tags of a run; a tag that is there is replaced."""
        listed = [RunTag(name, str(value)) for name, value in tags.items()]
        self._put("tags", lambda: self._connected().log_batch(self._id(key), tags=listed))

    def log_text(self, key: str, name: str, text: str) -> None:
        """A text as an artifact of a run."""
        self._put(
            f"artifact '{name}'", lambda: self._connected().log_text(self._id(key), text, name)
        )

    def log_file(self, key: str, path: Path, folder: str = "") -> None:
        """A file as an artifact of a run, in a folder of its artifacts."""
        self._put(
            f"artifact '{path.name}'",
            lambda: self._connected().log_artifact(self._id(key), str(path), folder or None),
        )

    def end_run(self, key: str, state: str) -> None:
        """End a run; `state` is one of ours: completed, pruned, stopped, failed."""
        status = {"failed": "FAILED", "stopped": "KILLED"}.get(state, "FINISHED")
        self._put("end of run", lambda: self._connected().set_terminated(self._id(key), status))

    def run_id(self, key: str, timeout_s: float = 0.0) -> str:
        """MLflow's id of a run, or '' if the store has not made it (yet)."""
        run = self._runs.get(key)
        if run is None or not run.made.wait(timeout_s):
            return ""
        return run.run_id or ""

    def close(self, timeout_s: float = 30.0) -> list[str]:
        """Deliver what is queued and end the thread.

        Returns:
            What could not be delivered, a line each; empty when all is there.
        """
        if self.uri == NOWHERE:
            return []
        self._jobs.put(None)
        self._thread.join(timeout_s)
        self._closing.set()  # one last try for each, then it is named
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            waiting = self._jobs.qsize()
            return [
                *self.undelivered,
                f"{waiting} entries were still waiting after {timeout_s:g} s",
            ]
        return self.undelivered

    def _put(self, what: str, job: Callable[[], object]) -> None:
        if self.uri != NOWHERE:
            self._jobs.put((what, job))

    def _deliver(self) -> None:
        while (entry := self._jobs.get()) is not None:
            what, job = entry
            pause = FIRST_RETRY_S
            while True:
                try:
                    job()
                    break
                except Exception as error:  # noqa: BLE001 - a dead writer would lose all that follows
                    # the head of the queue stays until it is delivered: what comes after needs it
                    if self._closing.wait(pause):
                        self.undelivered.append(f"{what}: {str(error).splitlines()[0]}")
                        break
                    pause = min(2 * pause, LAST_RETRY_S)

    def _connected(self) -> MlflowClient:
        if self._client is None:
            self._client, self.experiment_id = open_store(
                self.uri, self.experiment, self._artifacts
            )
        return self._client

    def _id(self, key: str) -> str:
        run_id = self._runs[key].run_id
        if run_id is None:
            raise KeyError(f"run '{key}' was never made")
        return run_id


def open_store(uri: str, experiment: str, artifacts: Path | None) -> tuple[MlflowClient, str]:
    """Connect, make the sqlite schema if it is fresh, and find or make the experiment.

    Making a fresh sqlite store from two processes at once corrupts it, so a lock file stands
    before it.
    """
    if not uri.startswith("sqlite:///"):
        client = MlflowClient(uri)
        return client, _experiment_id(client, experiment, None)
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with (database.parent / f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = MlflowClient(uri)
        return client, _experiment_id(client, experiment, artifacts)


def _experiment_id(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None if artifacts is None else (artifacts / name).absolute().as_uri()
    made = str(client.create_experiment(name, artifact_location=location))
    for tag, value in EXPERIMENT_TAGS.items():
        client.set_experiment_tag(made, tag, value)
    return made


def missing_sentence(missing: list[str], file: str) -> str:
    """One line for what `Tracker.close` returned; `file` is where every point stands anyway."""
    return (
        f"warning: {len(missing)} entries were not delivered to MLflow; every point is in {file}. "
        f"The first was {missing[0][:200]}"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return str(os.getuid())


def tracking_uri(uri: str | None, output: Path) -> str:
    """The given URI, or the sqlite store at its absolute path in the output folder.

    Raises:
        InputError: a scheme that raymoco does not write to.
    """
    if uri is None:
        return f"sqlite:///{output.absolute() / 'mlflow.db'}"
    if uri != NOWHERE and not uri.startswith(("sqlite:///", "http://", "https://", "databricks")):
        raise InputError(
            f"tracking.uri is '{uri}', but must be sqlite:///PATH, http(s)://HOST:PORT or "
            f"{NOWHERE}."
        )
    return uri


def open_tracker(uri: str | None, experiment: str | None, output: Path) -> Tracker:
    """The tracker for an output folder; the experiment is called raymoco unless named."""
    return Tracker(tracking_uri(uri, output), experiment or "raymoco", output / "mlartifacts")
