"""One MLflow run, written to through a client that notes what it is asked."""

import logging
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

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


@pytest.mark.parametrize(("status", "calls"), [(None, 0), ("FAILED", 1)])
def test_a_run_can_keep_its_end(client: Mock, former: TrackedRun, status: str | None, calls: int) -> None:
    former.close(status)
    assert client.set_terminated.call_count == calls
