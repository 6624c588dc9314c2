"""CPU cores."""

import logging
import os
import time
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_LOOK_AFTER: Final = 10.0  # seconds of work
_BUSY: Final = 0.2  # of the time that a thread wanted a core


def available_cores() -> int:
    """The cores this process may use, which in a container or a batch job are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Contention:
    """Warns once where other programs take the cores that several threads of one computation want.

    Such threads wait for the slowest of them, many times a second, so that two can be slower than one. Linux
    counts how long a thread waited for a core; on other systems nothing is said.
    """

    def __init__(self, threads: int, remedy: str = "") -> None:
        """Begins to watch the thread that calls; `remedy` is added to the advice."""
        self._threads, self._remedy = threads, remedy
        self._began, self._before = time.monotonic(), _scheduled() if threads > 1 else None

    def look(self) -> None:
        """Call now and then, from the same thread."""
        passed = time.monotonic() - self._began
        if self._before is None or passed < _LOOK_AFTER:
            return
        (ran, waited), after, self._before = self._before, _scheduled(), None
        if after is None:
            return
        ran, waited = after[0] - ran, after[1] - waited
        if waited > _BUSY * (ran + waited) and ran + waited > 0.5e9 * passed:  # a thread that sleeps wants no core
            logger.warning(
                "Other programs use the same cores: this one waited for a core %.0f%% of the time, and its %d threads "
                "wait for each other, so that one thread alone can be several times faster. Stop the others, or run "
                "the same command with OMP_NUM_THREADS=1%s",
                100 * waited / (ran + waited),
                self._threads,
                self._remedy,
            )


def _scheduled() -> tuple[int, int] | None:
    """Nanoseconds in which this thread ran, and in which it waited for a core; None where nobody counts them."""
    try:
        ran, waited, _ = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(ran), int(waited)
