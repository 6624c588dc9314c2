"""NO_COLOR and TERM=dumb: no command prints escape sequences, also in a terminal."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_gan.foundation.wording import wants_plain_text

PLAIN = {"NO_COLOR": {"TERM": "xterm-256color", "NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}}


def in_terminal(project: Path, *arguments: str, until: str | None = None, **variables: str) -> str:
    """What Python prints in a terminal: to its end, or until it has printed this, and is stopped."""
    leader, follower = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env={**environment, "PYTHONPATH": str(project / "src"), **variables},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    said, deadline = b"", time.monotonic() + 300
    with contextlib.suppress(OSError):  # at the end of the other side
        while (part := os.read(leader, 65536)) and time.monotonic() < deadline:
            said += part
            if until is not None and until.encode() in said:
                break
    os.close(leader)
    if until is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    text = said.decode("utf-8", "replace")
    assert until is None or until in text, text
    return text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    return copy_trained(tmp_path_factory.mktemp("plain") / "project")


@pytest.mark.parametrize(
    ("variables", "plain"),
    [({}, False), ({"NO_COLOR": ""}, False), ({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True)],
)
def test_what_asks_for_plain_text(variables: dict[str, str], plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_plain_text() == plain


TRAIN = ("--env", "smoke", "--pipelines", "train", "--params", "train.resume=false")
COMMANDS = {
    "kedro run": (("-m", "kedro", "run", *TRAIN), None),
    "celeba_gan": (("-m", "celeba_gan", *TRAIN), None),
    "an error": (("-m", "celeba_gan", "--env", "smok"), None),
    "kedro registry list": (("-m", "kedro", "registry", "list"), None),
    "explorer": (("-m", "celeba_gan.explorer"), "Ctrl-C ends it"),
    "tracking": (("-m", "celeba_gan.tracking", "--port", "0", "--workers", "1"), "Uvicorn running"),
}


@pytest.mark.slow
@pytest.mark.parametrize("asked", PLAIN)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_escape_sequences_where_plain_text_is_wanted(project: Path, command: str, asked: str) -> None:
    arguments, until = COMMANDS[command]
    said = in_terminal(project, *arguments, until=until, **PLAIN[asked])
    assert said.strip()
    assert "\x1b" not in said


@pytest.mark.slow
def test_a_terminal_that_can_show_colours_gets_them_and_a_bar(project: Path) -> None:
    said = in_terminal(project, *COMMANDS["kedro run"][0], TERM="xterm-256color")
    assert "\x1b[" in said
    assert "elapsed," in said  # of the bar


@pytest.mark.slow
def test_a_log_has_a_line_a_tick_and_names_nodes_alone(project: Path) -> None:
    command = [sys.executable, "-m", "kedro", "run", *TRAIN]
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert sum("/0.96 kimg  D " in line for line in lines) == 3
    starts = [line.partition("INFO")[2].strip() for line in lines if "Running node" in line]
    assert starts == ["Running node: train_gan", "Running node: plot_training_curves"]
    assert "--async" not in done.stdout
    assert "Warning" not in done.stdout
    between = lines[: next(number for number, line in enumerate(lines) if line.startswith("Trained"))]
    assert between.count("") == 1  # before the summary; none where a bar would be
