"""Stores on disk, and one MLflow run, written to through a client that records its calls."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from celeba_gan.tracking.config import TrackingSettings
from celeba_gan.tracking.store import Store, TrackedRun


def fail() -> None:
    raise OSError("gone")


@pytest.fixture
def client() -> Mock:
    return Mock()


@pytest.fixture
def former(client: Mock) -> TrackedRun:
    info = SimpleNamespace(run_id="1", run_name="former", status="KILLED")
    run: Any = SimpleNamespace(info=info, data=SimpleNamespace(params={}, tags={}))
    return TrackedRun(Store(client, "uri", "0"), run)


def test_a_picture_that_is_there_is_not_logged_again(client: Mock, former: TrackedRun) -> None:
    there = "images/my~samples+step+10+timestamp+1700000000000+0a1b.png"
    client.list_artifacts.return_value = [SimpleNamespace(path=there)]
    for images in (1, 10, 100):
        former.log_image(None, "my/samples", images)
    assert [call.kwargs["step"] for call in client.log_image.call_args_list] == [1, 100]
    client.list_artifacts.assert_called_once()


@pytest.mark.parametrize(("last", "goes_on"), [(True, False), (False, True)])
def test_a_failure_promises_no_more_tries_than_there_are(
    caplog: pytest.LogCaptureFixture, former: TrackedRun, last: bool, goes_on: bool
) -> None:
    with caplog.at_level(logging.WARNING, "celeba_gan"):
        assert not former.attempt("the model", fail, only_chance=last)
    assert "MLflow (uri) failed to log the model: gone" in caplog.text
    assert ("keeps trying" in caplog.text) is goes_on


@pytest.mark.parametrize(("lost", "said"), [(1, "1 piece of"), (2, "2 pieces of")])
def test_what_is_lost_is_counted(caplog: pytest.LogCaptureFixture, former: TrackedRun, lost: int, said: str) -> None:
    with caplog.at_level(logging.WARNING, "celeba_gan"):
        for _ in range(lost):
            former.attempt("rows", fail, only_chance=True)
        former.close("FINISHED")
    assert said in caplog.text


def test_what_is_on_disk_is_not_lost_but_still_to_be_logged(
    caplog: pytest.LogCaptureFixture, former: TrackedRun
) -> None:
    with caplog.at_level(logging.WARNING, "celeba_gan"):
        for name in ("rows", "pictures"):
            former.attempt(name, fail, only_chance=True, on_disk=True)
        assert former.behind == {"rows", "pictures"}
        former._paused_until = 0.0
        assert former.attempt("rows", lambda: None, on_disk=True)
        former.close("FINISHED")
    assert caplog.text.count("failed to log") == 1
    assert "MLflow lacks pictures of the last ticks, which are in data/" in caplog.text
    assert "Lost" not in caplog.text


def test_after_one_last_chance_in_vain_there_is_no_other(former: TrackedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that swallows requests costs a timeout each time."""
    clock = iter((0.0, 40.0, 41.0, 42.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    called: list[str] = []
    assert not former.attempt("the description", fail, only_chance=True)
    assert not former.attempt("the model", lambda: called.append("it"), only_chance=True)
    assert called == []
    assert former.lost == 2


@pytest.mark.parametrize(("status", "calls"), [(None, 0), ("FAILED", 1)])
def test_a_run_can_keep_its_end(client: Mock, former: TrackedRun, status: str | None, calls: int) -> None:
    former.close(status)
    assert client.set_terminated.call_count == calls


@pytest.mark.parametrize(
    ("before", "after"), [("A note of mine", None), ("", "new"), ("Old\n\nTo resume or repeat it: `kedro run`", "new")]
)
def test_a_resumed_run_keeps_the_description_that_a_person_wrote(
    client: Mock, former: TrackedRun, monkeypatch: pytest.MonkeyPatch, before: str, after: str | None
) -> None:
    monkeypatch.setattr(former, "_start_monitor", lambda resumed: None)
    former._before.tags["mlflow.note.content"] = before
    former.resume({"mlflow.note.content": "new", "device": "cpu"}, {})
    tags = {tag.key: tag.value for tag in client.log_batch.call_args.kwargs["tags"]}
    assert tags.get("mlflow.note.content") == after
    assert tags["device"] == "cpu"


@pytest.mark.slow
def test_store_and_artifacts_are_in_the_project_whatever_its_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cwd, project, file = tmp_path / "cwd", tmp_path / "50%25 wh?at #1 & $HOME grün", tmp_path / "a.txt"
    for folder in (cwd, project):
        folder.mkdir()
    file.write_text("a")
    monkeypatch.chdir(cwd)
    store = Store.connect(TrackingSettings(), project)
    run = store.client.create_run(store.experiment_id)
    store.client.log_artifact(run.info.run_id, str(file))
    assert (project / "mlflow.db").is_file()
    assert [found.read_text() for found in (project / "mlartifacts").rglob("a.txt")] == ["a"]
    assert [found.path for found in store.client.list_artifacts(run.info.run_id)] == ["a.txt"]
    assert list(cwd.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"cwd", project.name, "a.txt"}  # nothing beside it
