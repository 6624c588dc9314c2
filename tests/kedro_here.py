"""`kedro run` as people type it, in the process of the tests: importing torch, pandas and MLflow anew takes seconds.

Tests about processes (signals, exit statuses, what is imported) start one of their own.
"""

import contextlib
import functools
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import configure_project, settings

TRAINED = "train.keep_states=3,train.keep_best=true,train.evaluate_every_kimg=0.32"  # how `trained_project` was


@functools.cache
def configure() -> None:
    """Makes this package the one of Kedro's settings and pipelines; once, as each time takes a third of a second.

    `bootstrap_project` would also put the project's folder of sources on `sys.path` and into PYTHONPATH, for good.
    """
    configure_project("celeba_gan")


def run_python(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, in a project's folder and with the project's own code."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Done:
    """What a command printed, on both streams, and its exit status."""

    text: str
    status: int

    @property
    def words(self) -> str:
        """The text as one line, however it was wrapped."""
        return " ".join(self.text.split())


@contextlib.contextmanager
def _as_a_process(project: Path) -> Iterator[None]:
    """In the project's folder, with what a run changes for its whole process restored afterwards."""
    environment, path, hook = dict(os.environ), list(sys.path), sys.excepthook
    hooks, threads = settings.HOOKS, torch.get_num_threads()
    # Dynaconf looks for the script at the bottom of the stack; reading the frames' sources as well takes half a second.
    quick = mock.patch("inspect.stack", functools.partial(inspect.stack, context=0))
    try:
        with contextlib.chdir(project), quick:
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        sys.excepthook = hook
        settings.set("HOOKS", hooks)
        torch.set_num_threads(threads)


def kedro_run(project: Path, *arguments: str, status: int = 0) -> Done:
    """Runs `kedro run` in the project's folder; fails unless it exits with this status."""
    printed = io.StringIO()
    code = 0
    with _as_a_process(project), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            KedroCLI(project).main(["run", *arguments], prog_name="kedro")
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)  # as Python does at the end of a process
            code = 1
    done = Done(printed.getvalue(), code)
    assert done.status == status, done.text
    return done
