"""The kinds of faults that `faults.py` injects."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fault_project import STAGES, Project, Undisturbed


class TooLateError(RuntimeError):
    """The command had ended before the fault could be injected."""


class NotHereError(RuntimeError):
    """This machine does not let the fault be injected; the message says why."""


@dataclass(frozen=True)
class Case:
    """One fault to be injected."""

    project: Project
    undisturbed: Undisturbed
    draw: random.Random
    number: int  # from 0


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `inject` raises FaultError unless it was survived, and returns a note for the printed line."""

    name: str
    what: str
    inject: Callable[[Case], str]
    count: int
    is_kill: bool = False


def listing(data: Path) -> set[tuple[str, int]]:
    """Names and sizes of all files."""
    return {(str(path.relative_to(data)), path.stat().st_size) for path in data.rglob("*") if path.is_file()}


def kill(case: Case, stage: str) -> str:
    """Kill -9 at a random moment of a stage's duration; then the same command."""
    project, before, after = case.project, case.undisturbed.before(stage), case.undisturbed.after(stage)
    project.restore(before)
    running = project.begin(stage)
    running.sleep_until(case.draw.uniform(0, case.undisturbed.seconds[stage]))
    running.send(signal.SIGKILL)
    if running.wait().status != -signal.SIGKILL:
        raise TooLateError
    had_written = listing(project.data) != listing(before)
    project.check_whole(before, after)
    project.run(stage)
    project.check_same(after)
    return "with files written before the kill" if had_written else ""


KINDS: Final = [
    Kind(f"kill_{stage}", f"kill -9 in {stage}, then the same command", partial(kill, stage=stage), 15, is_kill=True)
    for stage in STAGES
]
