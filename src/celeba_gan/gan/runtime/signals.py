"""Stopping between two iterations when the user, a scheduler or the system requests it."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Records SIGINT and SIGTERM in a flag, which the training loop reads between two iterations.

    An exception raised by the signal itself could land between the update of two tensors and leave a torn state. The
    second signal does raise at once: then the last saved tick is what remains. Outside the main thread Python allows
    no handlers, and nothing is recorded.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def raise_if_received(self) -> None:
        """Ends the process as the signal would have: KeyboardInterrupt, or exit status 143."""
        if self.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.received is not None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            raise KeyboardInterrupt
        self.received = number
        # os.write, because a handler may have interrupted a print.
        os.write(2, b"\nStopping after this iteration, then saving. Once more: abort at once, back to the last tick\n")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
