"""MLflow as a `TrackingStore`: the only file that imports MLflow. Every call may be repeated."""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
# two lines on the terminal for every trial that ends
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# the mirror tries again by itself, and looks first whether a run was made: MLflow's client would
# repeat a call whose answer was lost, and make the run twice
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
logging.getLogger("alembic").setLevel(logging.WARNING)

import requests  # noqa: E402
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from raymoco.errors import DataError  # noqa: E402
from raymoco.event_log import RunState  # noqa: E402
from raymoco.locks import alone  # noqa: E402
from raymoco.passwords import reveal  # noqa: E402
from raymoco.tracking.changes import PARENT, RUNNING, Change  # noqa: E402
from raymoco.tracking.places import SQLITE, Place, sqlite_file  # noqa: E402
from raymoco.tracking.protocol import RefusedError, first_line  # noqa: E402

ENTITIES = 1000  # MLflow's limits for one log_batch
PARAMS = TAGS = 100
PARAM_LENGTH, TAG_LENGTH = 6000, 8000
NAME_LENGTH = 250  # of its column in MLflow's databases, which only sqlite does not enforce
PAGE = 1000
OWNER, KEY = "raymoco.sweep_id", "raymoco.trial_id"
STATUS: dict[str, str] = {RunState.FAILED: "FAILED", RunState.STOPPED: "KILLED"}
REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}

# the page opens as charts of training, not as a table of traces
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
VIEW_TAG = "mlflow.sharedViewState."


class Store:
    """The runs of one sweep, or one run, in an experiment; found again by tags.

    Args:
        place: which store, which experiment.
        owner: identity of the sweep or the run.
    """

    def __init__(self, place: Place, owner: str) -> None:
        self._owner = owner
        self._client, self.experiment_id = open_store(place.uri, place.experiment, place.artifacts)
        self.ids: dict[str, str] = {}
        self._unsure = False
        self._find()

    def write(self, change: Change) -> None:
        """Deliver one change; repeating it duplicates nothing.

        Raises:
            RefusedError: it can never be delivered.
            Exception: it could not be delivered now.
        """
        try:
            fresh = change.key not in self.ids
            if fresh:
                self._make(change)
            self._log(change)
            self._set_state(change, fresh)
        except MlflowException as error:
            if error.error_code in REFUSALS:
                raise RefusedError(first_line(error)) from error
            raise
        self._keep_artifacts(change)

    def _make(self, change: Change) -> None:
        if self._unsure:
            self._find()
            if change.key in self.ids:
                return
        if not change.name:
            raise RefusedError(f"run '{change.key}' is not in the store")
        tags = {"mlflow.user": _user(), "mlflow.source.name": "raymoco"}
        tags |= {name: str(value)[:TAG_LENGTH] for name, value in change.tags.items()}
        tags |= {OWNER: self._owner, KEY: change.key}
        if change.child:
            if PARENT not in self.ids:
                raise RefusedError("the run of its sweep is not in the store")
            tags["mlflow.parentRunId"] = self.ids[PARENT]
        self._unsure = True
        made = self._client.create_run(
            self.experiment_id, _ms(change.time), tags=tags, run_name=change.name[:NAME_LENGTH]
        )
        self._unsure = False
        self.ids[change.key] = made.info.run_id

    def _find(self) -> None:
        """Find this owner's runs; a second one of a key stems from a call whose answer was lost."""
        found: dict[str, list[Run]] = {}
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id],
                f"tags.`{OWNER}` = '{self._owner}'",
                ViewType.ALL,
                PAGE,
                page_token=token,
            )
            for run in page:
                found.setdefault(run.data.tags[KEY], []).append(run)
            token = page.token
            if not token:
                break
        for key, runs in found.items():
            runs.sort(
                key=lambda run: (run.info.lifecycle_stage != "active", -len(run.data.metrics))
            )
            self.ids[key] = runs[0].info.run_id
            for run in runs[1:]:
                if run.info.lifecycle_stage == "active" and not run.data.metrics:
                    self._client.delete_run(run.info.run_id)

    def _log(self, change: Change) -> None:
        run_id = self.ids[change.key]
        params = [Param(name, str(v)[:PARAM_LENGTH]) for name, v in change.params.items()]
        tags = [RunTag(name, str(v)[:TAG_LENGTH]) for name, v in change.tags.items()]
        metrics = [Metric(p.name, p.value, _ms(p.time), p.step) for p in change.points]
        while params or tags or metrics:
            some, named = params[:PARAMS], tags[:TAGS]
            room = ENTITIES - len(some) - len(named)
            self._client.log_batch(run_id, metrics[:room], some, named)
            params, tags, metrics = params[PARAMS:], tags[TAGS:], metrics[room:]
        if change.view is not None:
            text = json.dumps(change.view["state"])
            self._client.set_experiment_tag(self.experiment_id, VIEW_TAG + change.view["key"], text)

    def _set_state(self, change: Change, fresh: bool) -> None:
        run_id = self.ids[change.key]
        if change.state == RUNNING:
            if not fresh:
                self._client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        elif change.state:
            status = STATUS.get(change.state, "FINISHED")
            self._client.set_terminated(run_id, status, _ms(change.until))

    def _keep_artifacts(self, change: Change) -> None:
        run_id = self.ids[change.key]
        with tempfile.TemporaryDirectory() as scratch:
            sources = {name: path for name, path in change.files.items() if path.exists()}
            for name in [*change.texts, *sources]:
                (Path(scratch) / name).parent.mkdir(parents=True, exist_ok=True)
            for name, path in sources.items():
                if path.name != Path(name).name:  # MLflow calls an artifact like its file
                    sources[name] = Path(shutil.copy(path, Path(scratch) / name))
            for name, text in change.texts.items():
                sources[name] = Path(scratch) / name
                sources[name].write_text(text, encoding="utf-8")
            for name, source in sources.items():
                folder = str(Path(name).parent)
                try:
                    self._client.log_artifact(
                        run_id, str(source), None if folder == "." else folder
                    )
                except Exception as error:
                    # artifacts on a disk that this machine does not have, or a cloud storage whose
                    # client is not installed: metrics are delivered all the same
                    if _is_away(error):
                        raise
                    raise RefusedError(f"artifact {name}: {first_line(error)}") from error


def open_store(uri: str, experiment: str, artifacts: Path | None) -> tuple[MlflowClient, str]:
    """Connect, create the sqlite schema if the file is new, and find or create the experiment.

    Two processes that create a sqlite store at once corrupt it, so a lock file guards this; a kill
    meanwhile leaves no broken file.
    """
    if not uri.startswith(SQLITE):
        client = MlflowClient(reveal(uri))
        return client, _experiment_id(client, experiment, None)
    database, options = sqlite_file(uri)
    uri = f"{SQLITE}{database}{options}"
    database.parent.mkdir(parents=True, exist_ok=True)
    with alone(database.parent / f".{database.name}.lock"):
        if not database.exists():
            _make_sqlite(database)
        client = MlflowClient(uri)
        return client, _experiment_id(client, experiment, artifacts)


def _make_sqlite(database: Path) -> None:
    """Create a database with MLflow's schema, atomically.

    MLflow runs dozens of migrations and commits each: a database whose migrations were killed
    half way can never be opened again.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    scratch = database.parent / f".{database.name}.making"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    draft = scratch / database.name
    root = str(database.parent / "mlartifacts")
    store = SqlAlchemyStore(f"sqlite:///{draft}", root)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    draft.replace(database)
    scratch.rmdir()


def _experiment_id(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage != "active":
            # a sweep must not restore an experiment that a user has deleted
            raise DataError(
                f"its experiment '{name}' was deleted there: `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}` brings it back, tracking.experiment names "
                "another"
            )
        return str(found.experiment_id)
    location = None if artifacts is None else (artifacts / name).absolute().as_uri()
    made = str(client.create_experiment(name, artifact_location=location))
    for tag, value in EXPERIMENT_TAGS.items():
        client.set_experiment_tag(made, tag, value)
    return made


def _is_away(error: Exception) -> bool:
    """Whether a repeated call may succeed."""
    if isinstance(error, MlflowException):
        return error.error_code not in REFUSALS
    return isinstance(error, requests.RequestException | ConnectionError | TimeoutError)


def _ms(time: float) -> int:
    return round(time * 1000)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return str(os.getuid())
