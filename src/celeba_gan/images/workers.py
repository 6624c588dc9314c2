"""Worker processes for images: light, in order, and ended with their parent.

Pillow does not scale with threads at CelebA's size, so images are drawn and decoded in processes.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, ClassVar, Final, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_PER_WORKER: Final = 4


def tasks_begun(workers: int) -> int:
    """The most tasks that `map_in_processes` has in progress or finished but not yielded."""
    return 1 if workers == 1 else workers * _TASKS_PER_WORKER


def shared_memory(kind: str, length: int) -> Any:
    """An array that this process shares with its workers, if it is among their `shared` arguments.

    It is in /dev/shm if that has room, which in a container it may not have, else in the folder for temporary files,
    and is freed with the last process that uses it. `kind` is as in the standard library's `array`: "B" for bytes, "q"
    for int64; the elements are 0.
    """
    return multiprocessing.get_context("spawn").RawArray(kind, length)


def map_in_processes(
    function: Callable[..., Result], shared: tuple[Any, ...], tasks: Iterable[Task], workers: int
) -> Iterator[Result]:
    """Yields `function(*shared, task)` for every task, in order; one worker means this process.

    Memory is constant: at most four tasks per worker are in progress. Processes are spawned, since a fork of a process
    with torch's or MLflow's threads may hang.

    Args:
        function: A module-level function; workers import only its module.
        shared: Its first arguments, sent to each worker once.
        tasks: The values of its last argument.
        workers: Processes, at least 1.

    Raises:
        concurrent.futures.process.BrokenProcessPool: A worker died.
    """
    if workers == 1:
        yield from (function(*shared, task) for task in tasks)
        return
    stop = shared_memory("B", 1)
    pool = ProcessPoolExecutor(workers, _LightContext(), _start, (function, shared, stop))
    begun: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            if len(begun) == tasks_begun(workers):
                yield begun.popleft().result()
            begun.append(pool.submit(_work, task))
        while begun:
            yield begun.popleft().result()
    finally:
        stop[0] = 1
        pool.shutdown(cancel_futures=True)


class _LightProcess(SpawnProcess):
    """A spawned process that does not import its parent's main module.

    The main module would bring Kedro, and perhaps torch, into every worker, and where it is a script without a
    `__name__ == "__main__"` guard, or standard input, spawning fails.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - the name is multiprocessing's
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class _LightContext(SpawnContext):
    Process: ClassVar[Any] = _LightProcess


_function: Callable[[Any], Any]
_stop: Any = [0]


def stopped() -> bool:
    """Whether the result of the current task is no longer needed; long tasks check it to return early."""
    return bool(_stop[0])


def _start(function: Callable[..., Any], shared: tuple[Any, ...], stop: Any) -> None:
    global _function, _stop
    _function, _stop = partial(function, *shared), stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: the parent ends the workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Ends a worker whose parent was killed: it would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Any) -> Any:
    return _function(task)
