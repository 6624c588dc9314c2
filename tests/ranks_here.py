"""Processes as a launcher such as torchrun starts them, each with its rank."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

Done = subprocess.CompletedProcess[str]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def ranks_started(
    commands: Sequence[Sequence[str]], folders: Sequence[Path] | None = None, **variables: str
) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts Python once for each command, in its folder; all have ended afterwards."""
    world = str(len(commands))
    common = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    common = common | {"MASTER_PORT": str(free_port())} | variables
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=folders[rank] if folders else None,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            | ({"PYTHONPATH": str(folders[rank] / "src")} if folders else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]
    try:
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def run_ranks(commands: Sequence[Sequence[str]], folders: Sequence[Path] | None = None, **variables: str) -> list[Done]:
    """Starts them, and waits for all: what each printed, and its exit status."""
    with ranks_started(commands, folders, **variables) as started:
        printed = [process.communicate(timeout=300)[0] for process in started]
        return [Done(one.args, one.returncode, text) for one, text in zip(started, printed, strict=True)]
