"""The warning where other programs take the cores: with a real one, on the same core."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from celeba_gan.foundation import cores
from celeba_gan.foundation.cores import Contention

needs_counts = pytest.mark.skipif(cores._scheduled() is None, reason="needs the scheduler's counts, of Linux")


def work(contention: Contention, seconds: float) -> None:
    """Computes on one core, and looks."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        sum(range(10_000))
        contention.look()


@pytest.fixture
def other_program() -> Iterator[None]:
    """It computes on the core that is left to this one."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    time.sleep(0.3)  # it starts
    yield
    other.kill()
    other.wait()
    os.sched_setaffinity(0, allowed)


@needs_counts
@pytest.mark.parametrize(("threads", "warnings"), [(2, 1), (1, 0)])
def test_a_program_on_the_same_core_is_noticed_once(
    threads: int,
    warnings: int,
    other_program: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "_LOOK_AFTER", 0.5)
    contention = Contention(threads, " (or nothing)")
    with caplog.at_level(logging.WARNING):
        work(contention, 1.5)
    assert len(caplog.messages) == warnings
    assert all("its 2 threads wait for each other" in message for message in caplog.messages)
    assert all(message.endswith("OMP_NUM_THREADS=1 (or nothing)") for message in caplog.messages)


@needs_counts
def test_a_thread_that_sleeps_misses_no_core(
    other_program: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_LOOK_AFTER", 0.5)
    contention = Contention(2)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            time.sleep(0.05)
            contention.look()
    assert contention._before is None  # it has looked
    assert not caplog.messages
