"""An SQLite store on disk: two processes at once, a kill, other versions of MLflow, and a folder that moves."""

import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from celeba_gan.tracking.config import TrackingError, TrackingSettings, sqlite_uri
from celeba_gan.tracking.fetch import fetch_generator
from celeba_gan.tracking.store import Store

CONNECT = """
import sys
from pathlib import Path
from celeba_gan.tracking.config import TrackingSettings
from celeba_gan.tracking.store import Store
store = Store.connect(TrackingSettings(experiment=sys.argv[2]), Path(sys.argv[1]))
print(store.experiment_id, store.client.create_run(store.experiment_id).info.run_id)
"""


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store has a run with a file, and a registered model. Copy it."""
    project = tmp_path_factory.mktemp("made") / "50% project"
    project.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store.connect(TrackingSettings(), project)
        run = store.client.create_run(store.experiment_id, run_name="first")
        store.client.log_text(run.info.run_id, "first", "a.txt")
        model = store.client.create_logged_model(store.experiment_id, name="generator", source_run_id=run.info.run_id)
        folder = project.parent / "model"
        (folder / "artifacts").mkdir(parents=True)
        (folder / "artifacts" / "generator.safetensors").write_text("weights")
        (folder / "MLmodel").touch()
        store.client.log_model_artifacts(model.model_id, str(folder))
        store.client.finalize_logged_model(model.model_id, "READY")
        store.client.log_outputs(run.info.run_id, [_output(model.model_id)])
        patch.setenv("MLFLOW_TRACKING_URI", store.uri)  # MLflow looks for the model's folder there
        store.client.create_registered_model("celeba_gan")
        source = f"models:/{model.model_id}"
        store.client.create_model_version("celeba_gan", source, run.info.run_id, model_id=model.model_id)
    return project


def _output(model_id: str) -> Any:
    from mlflow.entities import LoggedModelOutput

    return LoggedModelOutput(model_id, 1)


def start(project: Path, experiment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CONNECT, str(project), experiment]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def locations(project: Path) -> set[str]:
    """Every location in a store."""
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        queries = (
            "artifact_location FROM experiments",
            "artifact_uri FROM runs",
            "artifact_location FROM logged_models",
        )
        queries += ("storage_location FROM model_versions", "source FROM model_versions")
        return {location for query in queries for (location,) in database.execute(f"SELECT {query}")}


def set_schema(project: Path, version: str, *, runs: bool = True) -> None:
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        if not runs:
            database.execute("DELETE FROM runs")


@pytest.mark.slow  # each process imports MLflow and sets up a database
def test_two_first_runs_at_once_share_one_store(tmp_path: Path) -> None:
    for attempt in range(3):
        project = tmp_path / str(attempt)
        project.mkdir()
        processes = [start(project, name) for name in ("same", "same", "other")]
        done = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], [errors for _, errors in done]
        assert done[0][0].split()[0] == done[1][0].split()[0] != done[2][0].split()[0]
        assert sorted(path.name for path in project.iterdir() if not path.name.endswith(".lock")) == ["mlflow.db"]


def test_an_experiment_that_another_run_makes_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    find = MlflowClient.get_experiment_by_name
    others: list[str] = []

    def find_late(client: MlflowClient, name: str) -> Any:
        found = find(client, name)
        if found is None:
            others.append(client.create_experiment(name))  # between the question and the answer
        return found

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", find_late)
    assert Store.connect(TrackingSettings(), tmp_path).experiment_id == others[0]


def test_a_set_up_that_is_killed_is_done_again(tmp_path: Path) -> None:
    process = start(tmp_path, "killed")
    half = tmp_path / "mlflow.db.new"
    deadline = time.monotonic() + 60
    while not (half.exists() and half.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert Store.connect(TrackingSettings(), tmp_path).experiment_id
    assert not half.exists()


def test_an_empty_file_is_set_up(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert Store.connect(TrackingSettings(), tmp_path).experiment_id


@pytest.mark.parametrize(
    ("version", "runs", "advice"),
    [
        (
            "451aebb31d03",
            True,
            "is of an older MLflow than the installed .*Copy the file, then upgrade it with `mlflow db upgrade",
        ),
        ("451aebb31d03", False, "has no runs, and its set-up was interrupted .*: delete it, and the next run makes"),
        (
            "ffffffffffff",
            True,
            "is of a newer MLflow than the installed .*: upgrade that with `pip install --upgrade mlflow`",
        ),
    ],
)
def test_a_store_of_another_mlflow_is_named_with_the_way_out(
    made: Path, tmp_path: Path, version: str, runs: bool, advice: str
) -> None:
    project = shutil.copytree(made, tmp_path / "a b")
    set_schema(project, version, runs=runs)
    before = (project / "mlflow.db").read_bytes()
    with pytest.raises(TrackingError, match=advice) as caught:
        Store.connect(TrackingSettings(), project)
    assert str(project / "mlflow.db") in str(caught.value)
    assert (project / "mlflow.db").read_bytes() == before


@pytest.mark.slow  # MLflow's own command, over an MLflow store of 2023
def test_the_command_that_is_named_upgrades(tmp_path: Path) -> None:
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base

    project = tmp_path / "50% 'new'"
    project.mkdir()
    uri = sqlite_uri(project / "mlflow.db")
    engine = create_sqlalchemy_engine(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(uri)
        config.attributes["connection"] = connection
        command.upgrade(config, "7f2a7d5fae7d")
    engine.dispose()
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        database.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'old', 'active')")
        database.execute(
            "INSERT INTO runs "
            "(run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, experiment_id) "
            "VALUES ('abc', 'old', 'LOCAL', 'me', 'FINISHED', 1, 'active', 0)"
        )
    with pytest.raises(TrackingError) as caught:
        Store.connect(TrackingSettings(), project)
    upgrade = str(caught.value).partition("then upgrade it with `")[2].removesuffix("`")
    assert upgrade.startswith("mlflow db upgrade ")
    subprocess.run(f"{sys.executable} -m {upgrade}", shell=True, check=True, capture_output=True)
    assert Store.connect(TrackingSettings(), project).client.get_run("abc").info.run_name == "old"


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("these are the notes of somebody" * 100)
    with pytest.raises(TrackingError, match=r"mlflow.db cannot be read as an SQLite database .*: move it away"):
        Store.connect(TrackingSettings(), tmp_path)


def test_a_database_that_another_process_keeps_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.connect(TrackingSettings(), tmp_path)
    monkeypatch.setattr("celeba_gan.tracking.database._BUSY", 0.1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"another process has locked .*mlflow\.db for .* s: end it"):
            Store.connect(TrackingSettings(), tmp_path)


@pytest.mark.parametrize("moved", [True, False])
def test_a_moved_or_copied_project_keeps_its_files_with_it(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, moved: bool
) -> None:
    before = shutil.copytree(made, tmp_path / "before # 1")
    old = Store.connect(TrackingSettings(), before)  # corrects the copy
    (run,) = old.client.search_runs([old.experiment_id])
    here = tmp_path / "elsewhere" / "now ü%20"
    if moved:
        here.parent.mkdir()
        before.rename(here)
    else:
        shutil.copytree(before, here)
    caplog.clear()
    with caplog.at_level(logging.INFO, "celeba_gan"):
        store = Store.connect(TrackingSettings(), here)
    assert caplog.messages == [f"This project was in {before}: corrected 5 locations of files in mlflow.db"]
    assert store.client.get_run(run.info.run_id).info.artifact_uri.startswith(here.as_uri())
    store.client.log_text(store.client.create_run(store.experiment_id).info.run_id, "second", "b.txt")
    assert {path.name for path in (here / "mlartifacts").rglob("*.txt")} == {"a.txt", "b.txt"}
    assert moved or {path.name for path in (before / "mlartifacts").rglob("*.txt")} == {"a.txt"}
    assert not moved or not before.exists()
    for uri in ("models:/celeba_gan/1", f"runs:/{run.info.run_id}/generator"):
        fetched = fetch_generator(uri, TrackingSettings(), here, tmp_path / "fetched")
        assert fetched.file.read_text() == "weights"
    assert all(place.startswith(("models:/", here.as_uri(), str(here))) for place in locations(here))
    caplog.clear()
    with caplog.at_level(logging.INFO, "celeba_gan"):
        Store.connect(TrackingSettings(), here)
    assert caplog.messages == []


def test_a_model_of_a_moved_project_is_found_by_who_only_reads(made: Path, tmp_path: Path) -> None:
    here = shutil.copytree(made, tmp_path / "here")
    shutil.move(made / "mlartifacts", made / "hidden")
    try:
        assert fetch_generator("models:/celeba_gan/1", TrackingSettings(), here, tmp_path).file.read_text() == "weights"
    finally:
        shutil.move(made / "hidden", made / "mlartifacts")


def test_files_that_were_not_copied_are_named(made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(made / "mlflow.db", tmp_path)
    with caplog.at_level(logging.INFO, "celeba_gan"):
        Store.connect(TrackingSettings(), tmp_path)
    assert caplog.messages[1] == (
        f"Files of earlier runs are missing: copy {made / 'mlartifacts'} to {tmp_path / 'mlartifacts'}"
    )


def test_a_relative_place_of_the_settings_moves_too(tmp_path: Path) -> None:
    settings = TrackingSettings(artifact_location="somewhere/else", tracking_uri="sqlite:///runs/all.db")
    Store.connect(settings, tmp_path / "before")
    here = (tmp_path / "before").rename(tmp_path / "after")
    store = Store.connect(settings, here)
    experiment = store.client.get_experiment(store.experiment_id)
    assert experiment.artifact_location == (here / "somewhere/else").as_uri()


def test_stores_and_places_of_others_are_left_alone(made: Path, tmp_path: Path) -> None:
    shared, project = shutil.copytree(made, tmp_path / "shared"), tmp_path / "project"
    project.mkdir()
    there = TrackingSettings(tracking_uri=sqlite_uri(shared / "mlflow.db"))
    places = locations(shared)
    Store.connect(there, project)
    assert locations(shared) == places

    (tmp_path / "chosen" / "mlartifacts").mkdir(parents=True)
    chosen = (tmp_path / "chosen" / "mlartifacts").as_uri()
    for place in (chosen, "s3://bucket/mlartifacts"):
        settings = TrackingSettings(experiment=place[:5], artifact_location=place)
        Store.connect(settings, project)
        Store.connect(TrackingSettings(experiment=place[:5]), project)
    assert {chosen, "s3://bucket/mlartifacts"} < locations(project)
