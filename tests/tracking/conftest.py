"""A small Kedro project with the real hook and datasets, run in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Kedro = Callable[..., subprocess.CompletedProcess[str]]


def _environment() -> dict[str, str]:
    # Bootstrapping a Kedro project in some other test adds to PYTHONPATH.
    unwanted = ("MLFLOW_", "PYTHONPATH", "KEDRO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"PYTHONPATH": str(HERE.parents[1] / "src")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with a store of its own."""
    folder = tmp_path_factory.mktemp("project") / "project"
    shutil.copytree(HERE / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "conf" / "local").mkdir()
    return folder


@pytest.fixture(scope="module")
def kedro(project: Path) -> Kedro:
    """Runs `kedro run` with these arguments."""

    def run(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kedro", "run", *arguments],
            cwd=project,
            env=_environment() | {"COLUMNS": "1000"} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def scenario(project: Path) -> dict[str, Any]:
    """What the steps of `scenario.py` gave."""
    command = [sys.executable, "scenario.py"]
    done = subprocess.run(command, cwd=project, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def client(project: Path) -> Any:
    """MLflow's client of the project's store."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{project}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client: Any) -> Callable[[str], list[Any]]:
    """The MLflow runs of an experiment of ours, the oldest first."""

    def find(experiment: str) -> list[Any]:
        tiny = client.get_experiment_by_name("tiny").experiment_id
        return list(client.search_runs([tiny], f"tags.experiment = '{experiment}'", order_by=["start_time ASC"]))

    return find
