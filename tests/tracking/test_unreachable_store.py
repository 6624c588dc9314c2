"""A store that does not answer: said at once before the first node, survived later."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Kedro = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.slow  # processes of several seconds each


@pytest.fixture(scope="module")
def port() -> int:
    """A port that nothing listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def server(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A real MLflow server, in a process group of its own. It starts slowly; the last test here kills it."""
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder)]
    process = subprocess.Popen(
        command, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # the test did it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_an_unreachable_server_is_an_error_before_any_node_works(kedro: Kedro, project: Path, port: int) -> None:
    began = time.monotonic()
    done = kedro("--params", "experiment=unreachable", MLFLOW_TRACKING_URI=f"http://me:secret@127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"MLflow cannot be used at http://***@127.0.0.1:{port}" in done.stderr
    assert "secret" not in done.stderr.rsplit("TrackingError:", 1)[1]
    assert "disable: true" in done.stderr
    assert not (project / "data" / "unreachable").exists()
    assert time.monotonic() - began < 60  # MLflow's own patience is minutes


@pytest.mark.usefixtures("server")
def test_sigterm_leaves_a_model_on_a_server_that_is_promoted_and_fetched(
    kedro: Kedro, port: int, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"http://127.0.0.1:{port}"
    done = kedro("--pipelines", "train", "--params", "experiment=served,train.fault=terminate", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 143, done.stdout + done.stderr
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (run,) = client.search_runs([experiment])
    (output,) = run.outputs.model_outputs
    assert run.info.status == "KILLED"
    assert client.get_logged_model(output.model_id).status == "READY"
    assert "MLmodel" in [file.path for file in client.list_logged_model_artifacts(output.model_id)]
    assert_promoted_and_fetched(port, tmp_path)


def assert_promoted_and_fetched(port: int, tmp_path: Path) -> None:
    """The only model on the server."""
    from celeba_gan.evaluation.documents import Evaluation
    from celeba_gan.gan.runs.run import read_exported
    from celeba_gan.tracking.config import TrackingSettings
    from celeba_gan.tracking.fetch import fetch_generator
    from celeba_gan.tracking.promotion import Promotion, promote
    from celeba_gan.tracking.store import Store

    settings = TrackingSettings(tracking_uri=f"http://127.0.0.1:{port}", experiment="tiny")
    store = Store.connect(settings, tmp_path)
    (model,) = store.client.search_logged_models([store.experiment_id])
    evaluation = Evaluation.read(Path(__file__).parents[1] / "evaluation" / "fixtures" / "evaluation_v1.json")
    promotion = Promotion(True, "swd", "served")
    for words in ("is the first champion", "the champion, was measured again"):
        assert words in str(promote(store.client, promotion, model.model_id, evaluation))
    assert len(store.client.search_model_versions("name = 'served'")) == 1
    fetched = fetch_generator("models:/served@champion", settings, tmp_path, tmp_path)
    assert str(read_exported(fetched.file).generator.card.images) == model.params["images"]


def test_a_server_that_dies_costs_no_training(
    kedro: Kedro, project: Path, port: int, server: subprocess.Popen[bytes]
) -> None:
    from celeba_gan.gan.runs.run import Run

    uri = f"http://127.0.0.1:{port}"
    done = kedro(
        "--params", "experiment=dying,train.fault=kill_server", MLFLOW_TRACKING_URI=uri, SERVER_GROUP=str(server.pid)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("keeps trying") == 1, done.stdout
    assert "Lost for MLflow:" in done.stdout
    card = Run(project / "data" / "dying").card()
    assert card is not None
    assert card.images == 300


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
