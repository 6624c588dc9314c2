from pathlib import Path
from types import SimpleNamespace

import pytest

from celeba_gan.tracking.config import TrackingError, TrackingSettings, read_mark, read_settings

PROJECT = Path("/some/project")


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_default_store_and_artifacts_lie_in_the_project() -> None:
    settings = TrackingSettings()
    assert settings.store_uri(PROJECT) == "sqlite:////some/project/mlflow.db"
    assert settings.artifact_uri(PROJECT) == "file:///some/project/mlartifacts"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///runs/all.db", "sqlite:////some/project/runs/all.db"),
        ("sqlite:////data/all.db", "sqlite:////data/all.db"),
        ("http://tracking:5000", "http://tracking:5000"),
        ("databricks", "databricks"),
    ],
)
def test_only_relative_sqlite_paths_start_at_the_project(written: str, meant: str) -> None:
    assert TrackingSettings(tracking_uri=written).store_uri(PROJECT) == meant


@pytest.mark.parametrize(
    ("uri", "location", "meant"),
    [
        (None, "kept/here", "file:///some/project/kept/here"),
        (None, "/kept/there", "file:///kept/there"),
        (None, "s3://bucket/runs", "s3://bucket/runs"),
        ("postgresql+psycopg2://host/db", None, "file:///some/project/mlartifacts"),
        ("http://tracking:5000", None, None),
    ],
)
def test_a_server_decides_about_artifacts_unless_told(uri: str | None, location: str | None, meant: str | None) -> None:
    assert TrackingSettings(tracking_uri=uri, artifact_location=location).artifact_uri(PROJECT) == meant


def test_mlflows_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    settings = TrackingSettings(tracking_uri="sqlite:///here.db")
    assert settings.store_uri(PROJECT) == "http://elsewhere"
    assert settings.artifact_uri(PROJECT) is None


def test_a_misspelt_key_is_named_with_the_right_ones() -> None:
    with pytest.raises(TrackingError, match=r"mlflow.yml is wrong: traking_uri: .*Its keys are tracking_uri, "):
        read_settings({"traking_uri": "x"})


def test_a_wrong_mark_names_the_catalog_entry() -> None:
    with pytest.raises(TrackingError, match=r"Catalog entry rows, metadata.mlflow is wrong: log: .*'metrics'"):
        read_mark("rows", SimpleNamespace(metadata={"mlflow": {"log": "metric"}}))


@pytest.mark.parametrize("dataset", [None, SimpleNamespace(), SimpleNamespace(metadata={"kedro-viz": {}})])
def test_entries_without_a_mark_are_left_alone(dataset: object) -> None:
    mark = read_mark("rows", dataset)
    assert mark.log is None
    assert not mark.commit
    assert not mark.resume
