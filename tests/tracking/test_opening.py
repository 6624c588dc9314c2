"""`make mlflow` and the command that the summary prints: both open the store that the run used."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from celeba_gan.tracking.config import sqlite_uri
from celeba_gan.tracking.hook import MLflowTracking

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="these need make")


@pytest.fixture
def project(tmp_path: Path, copy_project: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("MLFLOW_TRACKING_URI", "KEDRO_ENV", "HIDDEN"):
        monkeypatch.delenv(variable, raising=False)
    folder = copy_project(tmp_path / "a$HIDDEN `b` %20")
    for name in ("Makefile", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "ready").touch()  # as if `make` had installed everything
    return folder


def opened(project: Path, command: str) -> list[str]:
    """What a command that a person types in the project's folder starts; `mlflow` itself prints its arguments."""
    package = project.parent / "printer" / "mlflow"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print('\\n'.join(sys.argv[1:]))")
    environment = {
        "PYTHONPATH": os.pathsep.join([str(package.parent), str(REPOSITORY / "src")]),
        "MAKEFLAGS": f"s -- READY=ready BIN={Path(sys.executable).parent}",  # instead of a new .venv
    }
    shell = ["sh", "-c", command]
    done = subprocess.run(
        shell, cwd=project, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout.splitlines()


def command_of(project: Path, env: str | None = None, conf: str = "conf") -> str:
    """The command that the summary prints after a run with this configuration."""
    patterns = {"mlflow": ["mlflow*"]}
    loader = OmegaConfigLoader(
        str(project / conf), env=env, base_env="base", default_run_env="local", config_patterns=patterns
    )
    tracking = MLflowTracking()
    context: Any = SimpleNamespace(project_path=project, config_loader=loader)
    tracking.after_context_created(context)
    return tracking._command()


def write(file: Path, store: str) -> None:
    file.write_text(f"tracking_uri: {store}\n")


def test_the_store_in_the_project_is_opened_and_arguments_are_passed_on(project: Path) -> None:
    assert command_of(project) == command_of(project, "smoke") == "make mlflow"
    store = ["ui", "--backend-store-uri", sqlite_uri(project / "mlflow.db")]
    assert opened(project, "make mlflow")[-3:] == store
    assert opened(project, "make mlflow ARGS='--host 0.0.0.0 --port 80'")[-7:] == [
        *store,
        *["--host", "0.0.0.0", "--port", "80"],
    ]


def test_the_store_of_local_settings_is_opened(project: Path) -> None:
    write(project / "conf/local/mlflow.yml", "sqlite:///mine/runs.db")
    assert command_of(project) == "make mlflow"
    assert opened(project, "make mlflow")[-1] == sqlite_uri(project / "mine/runs.db")


@pytest.mark.parametrize("changed", ["smoke", "local"])  # local does not apply to --env smoke
def test_the_store_of_an_environment_is_opened(project: Path, changed: str) -> None:
    write(project / "conf" / changed / "mlflow.yml", "sqlite:///other.db")
    assert command_of(project, "smoke") == "KEDRO_ENV=smoke make mlflow"
    expected = "other.db" if changed == "smoke" else "mlflow.db"
    assert opened(project, command_of(project, "smoke"))[-1] == sqlite_uri(project / expected)
    assert command_of(project, "folder") == ("KEDRO_ENV=folder make mlflow" if changed == "local" else "make mlflow")


def test_the_store_of_another_configuration_is_opened(project: Path) -> None:
    (project / "conf").rename(project / "elsewhere")
    shutil.copytree(project / "elsewhere", project / "conf")
    write(project / "elsewhere/base/mlflow.yml", "sqlite:///else's.db")
    assert opened(project, command_of(project, conf="elsewhere"))[-1] == sqlite_uri(project / "else's.db")


def test_the_store_of_mlflows_variable_is_opened(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "conf/local/mlflow.yml", "sqlite:///not_this.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////some where/$all.db")
    command = command_of(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert opened(project, command)[-1] == "sqlite:////some where/$all.db"


def test_a_password_is_not_printed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/runs")
    assert command_of(project) == "make mlflow with the same MLFLOW_TRACKING_URI"


def test_a_server_has_a_page_already(project: Path) -> None:
    write(project / "conf/local/mlflow.yml", "http://runs.example:5000")
    said = opened(project, "make mlflow")
    assert "The runs are tracked by the server http://runs.example:5000: open its page in a browser" in said


def test_wrong_settings_are_named(project: Path) -> None:
    (project / "conf/local/mlflow.yml").write_text("traking_uri: x\n")
    assert any(line.startswith("Error: mlflow.yml is wrong: traking_uri") for line in opened(project, "make mlflow"))
