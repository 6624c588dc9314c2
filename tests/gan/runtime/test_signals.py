"""Signals that end a program: which are caught, and what the first and the second one do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeba_gan.gan.runtime.signals import SIGNALS, SignalHandlers, StopSignal, is_stopping

TRIED = [*(number for number in SIGNALS if isinstance(number, signal.Signals)), signal.SIGRTMIN + 2]
CRASHES = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPIPE", "SIGXFSZ", "SIGKILL"}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_they_are_all_that_end_a_program_but_for_crashes() -> None:
    """Asks the system: a child that sleeps, and what each signal does to it."""
    for number in sorted(signal.valid_signals()):
        name = next((one.name for one in signal.Signals if one == number), f"real-time signal {number}")
        if name in CRASHES:
            continue
        child = subprocess.Popen(["sleep", "9"])
        os.kill(child.pid, number)
        try:
            ended = child.wait(0.1) != 0
        except subprocess.TimeoutExpired:
            ended = False
        child.kill()
        child.wait()
        assert ended == (number in SIGNALS), name


@pytest.mark.parametrize("number", TRIED, ids=lambda number: signal.strsignal(number))
def test_without_a_training_the_first_ends_the_process_by_an_exception(number: int) -> None:
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as raised, SignalHandlers():
        os.kill(os.getpid(), number)
    if number != signal.SIGINT:
        assert raised.value.code == 128 + number  # type: ignore[union-attr]


def test_the_first_stops_a_training_and_the_second_aborts(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), SignalHandlers(), StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert (stop.received, is_stopping()) == (signal.SIGHUP, True)
        os.kill(os.getpid(), signal.SIGTERM)
    assert not is_stopping()
    assert "Once more: abort" in capfd.readouterr().err


def test_a_training_in_another_thread_is_stopped_from_the_main_one() -> None:
    found: list[int | None] = []
    began = threading.Event()

    def train() -> None:
        with StopSignal() as stop:
            began.set()
            for _ in range(500):
                if stop.received is not None:
                    break
                time.sleep(0.01)
            found.append(stop.received)

    with SignalHandlers():
        thread = threading.Thread(target=train)
        thread.start()
        assert began.wait(5)
        os.kill(os.getpid(), signal.SIGINT)
        thread.join()
    assert found == [signal.SIGINT]


def test_ignored_signals_stay_ignored_and_handlers_of_others_are_kept() -> None:
    """As `nohup`, a shell's background jobs and debuggers set them."""
    seen: list[int] = []
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    user = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop.received is None
        assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGHUP, hang_up)
        signal.signal(signal.SIGUSR1, user)


PROGRAM = """
import signal, sys, time
from celeba_gan.gan.runtime.signals import StopSignal
with StopSignal() as stop:
    print("ready", flush=True)
    while stop.received is None:
        time.sleep(0.01)
    print("a line for a terminal that is gone", flush=True)
    print("another", file=sys.stderr, flush=True)
    open(sys.argv[1], "w").write(signal.Signals(stop.received).name)
"""


def test_a_lost_terminal_stops_it_and_prints_do_no_harm(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    path = tmp_path / "saved"
    program = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + PROGRAM, path],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    assert b"ready" in os.read(leader, 100)
    os.close(leader)  # as a lost connection does
    assert program.wait(10) == 0
    assert path.read_text() == "SIGHUP"
