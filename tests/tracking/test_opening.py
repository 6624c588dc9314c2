"""`make mlflow` and the command that the summary prints: both open the store that the run used."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from kedro.config import OmegaConfigLoader

from celeba_gan.tracking.__main__ import check_port, main
from celeba_gan.tracking.config import sqlite_uri
from celeba_gan.tracking.hook import MLflowTracking

REPOSITORY = Path(__file__).parents[2]

Opened = Callable[[str], str]


@pytest.fixture
def project(tmp_path: Path, copy_project: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("MLFLOW_TRACKING_URI", "KEDRO_ENV", "HIDDEN"):
        monkeypatch.delenv(variable, raising=False)
    folder = copy_project(tmp_path / "a$HIDDEN `b` %20")
    for name in ("Makefile", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "ready").touch()  # as if `make` had installed everything
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started(project: Path, command: str) -> list[str]:
    """What `make mlflow` starts, as one process; its first words are variables, as people type them."""
    printer = project.parent / "printer"
    printer.mkdir()
    (printer / "sitecustomize.py").write_text("import os; os.execv = lambda _, started: print(*started, sep='\\n')")
    environment = {
        "PYTHONPATH": os.pathsep.join([str(printer), str(REPOSITORY / "src")]),
        "MAKEFLAGS": f"s -- READY=ready BIN={Path(sys.executable).parent}",  # instead of a new .venv
    }
    shell = ["sh", "-c", command]
    done = subprocess.run(shell, cwd=project, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def opened(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The store that a command of this form opens: VARIABLE=value make mlflow."""

    def store(command: str) -> str:
        seen: list[list[str]] = []
        with monkeypatch.context() as patch:
            *variables, make, target = shlex.split(command)
            assert (make, target) == ("make", "mlflow")
            for name, _, value in (variable.partition("=") for variable in variables):
                patch.setenv(name, value)
            patch.chdir(project)
            patch.setattr(sys, "argv", ["tracking", "--port", str(free_port())])
            patch.setattr(os, "execv", lambda _, started: seen.append(started))
            main()
        ((*_, option, uri, _, _),) = seen
        assert option == "--backend-store-uri"
        return uri

    return store


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


@pytest.mark.slow
def test_make_opens_the_store_in_the_project_and_passes_arguments_on(project: Path) -> None:
    assert command_of(project) == command_of(project, "smoke") == "make mlflow"
    port = str(free_port())
    arguments = ["ui", "--backend-store-uri", sqlite_uri(project / "mlflow.db"), "--host", "0.0.0.0", "--port", port]
    assert started(project, f"make mlflow ARGS='--host 0.0.0.0 --port {port}'")[-7:] == arguments
    assert (project / "mlflow.db").is_file()


def test_the_store_of_local_settings_is_opened(project: Path, opened: Opened) -> None:
    write(project / "conf/local/mlflow.yml", "postgresql://host/mine")
    assert command_of(project) == "make mlflow"
    assert opened("make mlflow") == "postgresql://host/mine"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        pytest.param([], "http://127.0.0.1:5000/", marks=pytest.mark.slow),
        pytest.param(["--port", "80"], "http://127.0.0.1:80/", marks=pytest.mark.slow),
        (["--host=0.0.0.0", "-p", "81", "--workers", "2"], "http://127.0.0.1:81/"),
        pytest.param(["-h", "gpu7"], "http://gpu7:5000/", marks=pytest.mark.slow),
    ],
)
def test_the_address_at_which_runs_are_seen_is_printed(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    address: str,
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["tracking", *arguments])
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.setattr("celeba_gan.tracking.__main__.check_port", lambda *_: None)  # these may be taken here
    main()
    empty = "experiments?workflowType=machine_learning"
    assert capsys.readouterr().out == f"The runs, in a few seconds: {address}#/{empty}\n"
    from mlflow.tracking import MlflowClient

    experiment = MlflowClient(sqlite_uri(project / "mlflow.db")).create_experiment("celeba_gan")
    main()
    curves = f"experiments/{experiment}/runs?compareRunsMode=CHART&workflowType=machine_learning"
    assert capsys.readouterr().out == f"The runs, in a few seconds: {address}#/{curves}\n"


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_taken_port_is_named_before_the_server_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the server was started")

    monkeypatch.chdir(project)
    monkeypatch.setattr(os, "execv", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["tracking", "--host", host, "--port", str(port)])
        with pytest.raises(SystemExit, match=rf"^Error: port {port} of {host} is taken.* give --port"):
            main()
    assert capsys.readouterr().out == ""  # no address of a page that is another program's
    check_port(host, str(port))  # it is free again


def test_what_else_is_wrong_with_a_port_is_left_to_mlflow() -> None:
    for port in ("99999", "abc", "-1"):
        check_port("127.0.0.1", port)
    check_port("no.such.host.invalid", "5000")


@pytest.mark.parametrize("changed", ["smoke", "local"])  # local does not apply to --env smoke
def test_the_store_of_an_environment_is_opened(project: Path, opened: Opened, changed: str) -> None:
    write(project / "conf" / changed / "mlflow.yml", "postgresql://host/changed")
    write(project / "conf/base/mlflow.yml", "postgresql://host/base")
    assert command_of(project, "smoke") == "KEDRO_ENV=smoke make mlflow"
    assert opened(command_of(project, "smoke")) == f"postgresql://host/{'changed' if changed == 'smoke' else 'base'}"
    assert command_of(project, "folder") == ("KEDRO_ENV=folder make mlflow" if changed == "local" else "make mlflow")


def test_the_store_of_another_configuration_is_opened(project: Path, opened: Opened) -> None:
    shutil.copytree(project / "conf", project / "elsewhere")
    write(project / "elsewhere/base/mlflow.yml", "postgresql://host/$else's")
    assert opened(command_of(project, conf="elsewhere")) == "postgresql://host/$else's"


def test_the_store_of_mlflows_variable_is_opened(
    project: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "conf/local/mlflow.yml", "postgresql://host/not_this")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "postgresql://host/$all")
        command = command_of(project)
    assert opened(command) == "postgresql://host/$all"


def test_from_a_folder_of_the_project_make_is_sent_to_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "conf" / "base")
    assert command_of(project) == "make -C ../.. mlflow"
    assert command_of(project, "smoke").endswith("make -C ../.. mlflow")


def test_without_make_mlflows_own_command_opens_the_store(project: Path) -> None:
    (project / "Makefile").unlink()
    assert command_of(project) == f"mlflow ui --backend-store-uri {shlex.quote(sqlite_uri(project / 'mlflow.db'))}"
    write(project / "conf/base/mlflow.yml", "postgresql://me:secret@host/runs")
    assert command_of(project) == "mlflow ui --backend-store-uri the tracking_uri of this run"


def test_a_password_is_not_printed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/runs")
    assert command_of(project) == "make mlflow with the same MLFLOW_TRACKING_URI"


def test_nor_is_one_of_another_folders_configuration(project: Path) -> None:
    shutil.copytree(project / "conf", project / "elsewhere")
    write(project / "elsewhere/base/mlflow.yml", "postgresql://me:secret@host/runs")
    command = command_of(project, conf="elsewhere")
    assert command == "make mlflow with MLFLOW_TRACKING_URI set to this run's tracking_uri"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("tracking_uri: http://runs:5000", "Error: the runs are tracked by the server http://runs:5000: open its page"),
        ("traking_uri: x", "Error: mlflow.yml is wrong: traking_uri"),
    ],
)
def test_what_cannot_be_opened_is_named(project: Path, opened: Opened, written: str, message: str) -> None:
    (project / "conf/local/mlflow.yml").write_text(written)
    with pytest.raises(SystemExit, match=message):
        opened("make mlflow")


def guide_command(words: str) -> str:
    """The one command with these words in the guide on looking at runs."""
    guide = (REPOSITORY / "docs/how-to/compare-runs.md").read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = [line for line in guide.splitlines() if words in line]
    return line


@pytest.mark.slow  # MLflow's server takes half a minute to start
def test_the_page_opens_from_another_machine_as_the_guide_says(project: Path) -> None:
    line = guide_command("make mlflow ARGS=")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = f"faces.example:{port}"
    command = line.strip().replace("NAME:5000", host).replace("--host", f"--port {port} --host")
    environment = {
        "PYTHONPATH": str(REPOSITORY / "src"),
        "MAKEFLAGS": f"s -- READY=ready BIN={Path(sys.executable).parent}",
    }
    server = subprocess.Popen(["sh", "-c", command], cwd=project, env=os.environ | environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(requests.ConnectionError):
                answer = requests.get(f"http://127.0.0.1:{port}/", headers={"Host": host}, timeout=20)
                break
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert answer.status_code == 200
        search = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/search"
        statuses = [
            requests.post(
                search, headers={"Host": name, "Origin": f"http://{name}"}, json={"max_results": 1}, timeout=20
            )
            for name in (host, f"other.example:{port}")
        ]
        assert [status.status_code for status in statuses] == [200, 403]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
def test_a_static_page_of_another_environment_is_built_as_the_guide_says(project: Path) -> None:
    program, *arguments = shlex.split(guide_command("kedro viz build"))
    assert program == "kedro"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "KEDRO_ENV": "smoke"}
    command = [sys.executable, "-m", "kedro", *arguments]
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    nodes = [file.read_text() for file in (project / "build/api/nodes").iterdir()]
    assert any("data/06_models/smoke" in node for node in nodes)
    assert not any("data/06_models/demo" in node for node in nodes)
