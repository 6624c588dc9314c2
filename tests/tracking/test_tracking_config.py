from pathlib import Path
from types import SimpleNamespace

import pytest

from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.tracking.config import (
    TrackingError,
    TrackingSettings,
    read_mark,
    read_settings,
    sqlite_file,
    sqlite_uri,
)

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
        ("sqlite:///all.db?timeout=9", "sqlite:////some/project/all.db?timeout=9"),
        ("sqlite:///of%20a/all.db", "sqlite:////some/project/of a/all.db"),
        ("sqlite:///50%25/all.db", "sqlite:///%2Fsome%2Fproject%2F50%25%2Fall.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://tracking:5000", "http://tracking:5000"),
        ("databricks", "databricks"),
    ],
)
def test_only_relative_sqlite_paths_start_at_the_project(written: str, meant: str) -> None:
    assert TrackingSettings(tracking_uri=written).store_uri(PROJECT) == meant


@pytest.mark.parametrize("name", ["a b", "a%20b", "100%", "what?", "x%3Fy", "a#b", "a&b", "a$HOME", "grün", "a:b@c"])
def test_sqlalchemy_opens_the_very_file_whatever_the_folder_is_called(name: str) -> None:
    from sqlalchemy.engine import make_url

    file = PROJECT / name / "mlflow.db"
    uri = TrackingSettings().store_uri(file.parent)
    assert uri == sqlite_uri(file)
    assert make_url(uri).database == str(file)
    assert sqlite_file(uri) == file


@pytest.mark.parametrize("uri", ["http://a/b", "postgresql://host/db", "sqlite://", "sqlite:///:memory:", "databricks"])
def test_other_stores_are_no_sqlite_file(uri: str) -> None:
    assert sqlite_file(uri) is None


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer from postgresql://me:p:a@ss@host/runs.", "no answer from postgresql://***@host/runs."),
        ("https://token@host:5000, http://plain:5000/a@b", "https://***@host:5000, http://plain:5000/a@b"),
        ("mysql://host/runs?user=me&password=x&ssl=1", "mysql://host/runs?user=me&password=***&ssl=1"),
        (
            "sqlite:////home/me@work/mlflow.db models:/faces@best",
            "sqlite:////home/me@work/mlflow.db models:/faces@best",
        ),
    ],
)
def test_who_logs_in_is_not_shown(text: str, shown: str) -> None:
    assert mask_secrets(text) == shown


def test_a_secret_under_a_misspelt_key_is_not_shown() -> None:
    with pytest.raises(TrackingError, match=r"tracking_ur: .*got 'postgresql://\*\*\*@host/runs'") as caught:
        read_settings({"tracking_ur": "postgresql://me:hush@host/runs"})
    assert "hush" not in str(caught.value)
