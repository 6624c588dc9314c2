"""Stopping between two iterations when the user, a scheduler or the system requests it."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self

from celeba_gan.ranks.launched import launched

# They end a program that does not catch them: Ctrl-C, a lost terminal, the end of a batch job's time, ... Those of a
# crash are not among them, and SIGKILL cannot be caught.
_NAMES: Final = (
    "SIGINT SIGTERM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGVTALRM SIGPROF SIGXCPU SIGIO SIGPWR SIGSTKFLT SIGBREAK"
)
_REAL_TIME: Final = range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if hasattr(signal, "SIGRTMIN") else range(0)
SIGNALS: Final = (*(getattr(signal, name) for name in _NAMES.split() if hasattr(signal, name)), *_REAL_TIME)


class SignalHandlers:
    """Catches the signals that end a program, while the context lasts; only the main thread can.

    The first one stops the training that is running, in whichever thread; a second one, or the first where no training
    is running, ends the process by an exception, so that what is open is closed. A signal that is ignored stays
    ignored, as SIGHUP under `nohup`; one with a handler of another library keeps it, but for SIGINT and SIGTERM.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []  # of standard output and error

    def __enter__(self) -> Self:
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                ours = getattr(handler, "__func__", None) is SignalHandlers._handle
                asked = number in (signal.SIGINT, signal.SIGTERM) and handler not in (signal.SIG_IGN, None)
                if not ours and (asked or handler == signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        _leave([descriptor for descriptor in self._terminals if not os.isatty(descriptor)])
        stop = StopSignal.running
        if stop is None or stop.received is not None:
            self.__exit__(None, None, None)
            _end(number)
        else:
            stop.received = number
            if not launched().leads:
                return  # a launcher sends it to all, and one says so
            with contextlib.suppress(OSError):  # os.write, because a handler may have interrupted a print
                os.write(2, b"\nStopping after this iteration, then saving. Once more: abort, back to the last tick\n")


class StopSignal(SignalHandlers):
    """Records the first signal in a flag, which the training loop reads between two iterations.

    An exception raised by the signal itself could land between the update of two tensors and leave a torn state. The
    second signal does raise at once: then the last saved tick is what remains. In another thread than the main one,
    `SignalHandlers` must be active in that.
    """

    running: "StopSignal | None" = None

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None

    def __enter__(self) -> Self:
        StopSignal.running = self
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        StopSignal.running = None

    def raise_if_received(self) -> None:
        """Ends the process as the signal would have: KeyboardInterrupt, or an exit status of 128 and its number."""
        if self.received is not None:
            _end(self.received)


def is_stopping() -> bool:
    """Whether the training that is running received a signal."""
    return StopSignal.running is not None and StopSignal.running.received is not None


def _end(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _leave(terminals: list[int]) -> None:
    """Writes no more to terminals that are gone: each attempt would be an error, in the middle of saving."""
    for descriptor in terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
