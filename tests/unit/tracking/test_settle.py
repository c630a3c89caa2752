"""The address of the store: given, as the folder was begun, or MLflow's own variables."""

import pytest

from raymoco.config import TrackingConfig
from raymoco.errors import InputError
from raymoco.tracking import place_of, settle_tracking
from raymoco.tracking.store import open_store


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_mlflows_variables_are_used_where_the_config_is_silent_and_that_is_told(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@host:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    settled, note = settle_tracking(TrackingConfig(), tmp_path)
    assert (settled.uri, settled.experiment) == ("http://me:***@host:5000", "mine")
    assert "MLFLOW_TRACKING_URI=http://me:***@host:5000" in note
    assert "MLFLOW_EXPERIMENT_NAME=mine" in note

    given = TrackingConfig(uri="none", experiment="other")
    assert settle_tracking(given, tmp_path) == (given, "")


def test_an_address_in_the_environment_that_raymoco_does_not_write_to_is_told(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///somewhere/mlruns")
    settled, note = settle_tracking(TrackingConfig(), tmp_path)
    assert settled.uri is None
    assert "file:///somewhere/mlruns is ignored" in note
    assert str(tmp_path / "mlflow.db") in note


def test_a_resume_goes_on_where_the_folder_logs_whatever_the_environment_says(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert settle_tracking(TrackingConfig(), tmp_path, {"uri": None}) == (TrackingConfig(), "")
    saved = {"uri": "http://other:5000", "experiment": "mine"}
    settled, _ = settle_tracking(TrackingConfig(), tmp_path, saved)
    assert settled.model_dump() == saved


def test_a_relative_file_is_saved_absolute_and_is_the_same_when_it_is_given_again(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    given = TrackingConfig(uri="sqlite:///a.db?timeout=60")
    settled, _ = settle_tracking(given, tmp_path)
    assert settled.uri == f"sqlite:///{tmp_path}/a.db?timeout=60"
    assert settle_tracking(given, tmp_path, settled.model_dump())[0] == settled
    old = {"uri": "sqlite:///a.db?timeout=60", "experiment": None}  # as version 0.1 saved it
    assert settle_tracking(given, tmp_path, old)[0].uri == old["uri"]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_a_sqlite_address_may_have_options(tmp_path):
    place = place_of(tmp_path / "run", f"sqlite:///{tmp_path}/a.db?timeout=60", None)
    open_store(place.uri, "raymoco", None)
    assert [path.name for path in tmp_path.glob("a.db*")] == ["a.db"]


def test_other_schemes_are_refused_without_their_password(tmp_path):
    with pytest.raises(InputError, match=r"postgresql://me:\*\*\*@host"):
        place_of(tmp_path, "postgresql://me:s3cret@host/db", None)
