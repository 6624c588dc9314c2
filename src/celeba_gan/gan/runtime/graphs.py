"""Runs whole steps as CUDA graphs: the host starts one graph where it would start hundreds of kernels.

A graph replays what was recorded: the same kernels, with the same Python numbers, at the same places in memory. So a
step that is recorded reads everything that changes from its inputs, which are tensors at one place, and leaves what it
makes in the state it has always had (weights, moments, statistics) and in its result. Nothing in it asks the device for
a number. The kernels are those of the same step without graphs, and so are the bits.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from celeba_gan.gan.losses.objectives import Terms
from celeba_gan.gan.runtime.hardware import Hardware

logger = logging.getLogger(__name__)

Step = Callable[[Any], Terms]

_EAGER: Final = 2
"""Runs of a step before it is recorded: the first compiles, makes Adam's moments, and has libraries choose kernels."""
_ALIGNED: Final = 256  # bytes, as CUDA's allocator aligns
_SLOTS: Final = 3  # inputs that may be on their way to the device at a time


class Recorder(Protocol):
    """How a step is recorded."""

    def warm_up(self, function: Callable[[], Terms]) -> Terms:
        """Runs what will be recorded later."""

    def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
        """Runs a function once. Returns its result, and what does the same again, into the same result."""


class CudaRecorder:
    """Records with torch.cuda.graph. All graphs share their memory: of one, only the result outlives its run."""

    def __init__(self) -> None:
        # All runs before recording are on the stream that records: autograd adds gradients up on the one it knows.
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._memory = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], Terms]) -> Terms:
        """As `Recorder.warm_up`."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = function()
        current.wait_stream(self._stream)
        for term in result.values():
            term.record_stream(current)
        return result

    def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
        """As `Recorder.record`."""
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls count: another may send figures to a tracking server, or save a snapshot. The outer
        # context makes the present stream current again where recording fails; not every version of torch does.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"),
        ):
            result = function()
        graph.replay()  # recording runs nothing
        return result, graph.replay


@dataclass(frozen=True)
class _Recorded:
    names: list[str]
    result: Tensor  # the terms, by these names
    replay: Callable[[], object]


class Graphs:
    """Runs steps eagerly, then records them, then replays them; all of them eagerly where recording fails."""

    def __init__(self, hardware: Hardware, clean: Callable[[], None], recorder: Recorder | None = None) -> None:
        """Records where the hardware says so, or by another `recorder`.

        `clean` forgets what a step that failed halfway has left; it is called before that step runs again.
        """
        self.hardware = hardware
        self._clean = clean
        self._recorder = recorder or (CudaRecorder() if hardware.graphs else None)
        self._runs: Counter[Hashable] = Counter()
        self._inputs: dict[Hashable, Inputs] = {}
        self._recorded: dict[Hashable, _Recorded] = {}

    @property
    def works(self) -> bool:
        """Whether steps are recorded, or will be."""
        return self._recorder is not None

    def run(self, key: Hashable, step: Step, draws: Any) -> Terms:
        """Runs a step.

        Args:
            key: Steps of one key do the same with draws of the same shapes; a step that branches has one for each way.
            step: Of the draws on the device to scalar terms.
            draws: Tensors on the CPU, in tuples and dictionaries.
        """
        if self._recorder is None:
            return step(self.hardware.send_all(draws))
        if (recorded := self._recorded.get(key)) is None:
            self._runs[key] += 1
            if self._runs[key] <= _EAGER:
                return self._recorder.warm_up(lambda: step(self.hardware.send_all(draws)))
            try:
                recorded = self._record(key, step, draws, self._recorder)
            except Exception as error:  # whatever CUDA or a library may raise: there is no common class
                self._give_up(error)
            if recorded is None:  # outside of `except`, whose error keeps all that the failed step holds
                return step(self.hardware.send_all(draws))
        else:
            self._inputs[key].fill(draws)
            recorded.replay()
        return dict(zip(recorded.names, recorded.result.clone().unbind(), strict=True))

    def _record(self, key: Hashable, step: Step, draws: Any, recorder: Recorder) -> _Recorded:
        inputs = self._inputs[key] = Inputs(draws, self.hardware.device)
        inputs.fill(draws)
        names: list[str] = []

        def stacked() -> Tensor:
            terms = step(inputs.draws)
            names.extend(terms)
            return torch.stack([term.detach() for term in terms.values()])

        recorded = self._recorded[key] = _Recorded(names, *recorder.record(stacked))
        return recorded

    def _give_up(self, error: Exception) -> None:
        self._recorder = None
        self._clean()
        self._recorded.clear()
        self._inputs.clear()
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        logger.warning(
            "Training runs without CUDA graphs, which failed (%s: %s). Its results are the same, it is only slower; "
            "train.graphs=false silences this",
            type(error).__name__,
            reason,
        )


class Inputs:
    """Where a recorded step finds its draws: tensors one after the other in one piece of the device's memory.

    On CUDA they are sent as one copy from pinned memory, on a stream of its own, while the steps before still run.
    """

    def __init__(self, like: Any, device: str) -> None:
        """Makes room for draws of the shapes and dtypes of these."""
        leaves, self._spec = tree_flatten(like)
        self._places, end = [], 0
        for leaf in leaves:
            self._places.append((end, leaf.shape, leaf.dtype))
            end += math.ceil(leaf.nbytes / _ALIGNED) * _ALIGNED
        self._buffer = torch.zeros(end, dtype=torch.uint8, device=device)
        self._views = self._view(self._buffer)
        self.draws = tree_unflatten(self._views, self._spec)
        self._slots = [_Slot(self) for _ in range(_SLOTS)] if device == "cuda" else []
        self._next = 0

    def fill(self, draws: Any) -> None:
        """Puts draws where the step finds them; on CUDA, behind what the current stream has still to do."""
        leaves, spec = tree_flatten(draws)
        if spec != self._spec or any(
            (leaf.shape, leaf.dtype) != place[1:] for leaf, place in zip(leaves, self._places, strict=True)
        ):
            raise ValueError("these draws have other shapes than those that were recorded")
        if not self._slots:
            for view, leaf in zip(self._views, leaves, strict=True):
                view.copy_(leaf)
            return
        self._slots[self._next].send(leaves, self._buffer)
        self._next = (self._next + 1) % len(self._slots)

    def _view(self, buffer: Tensor) -> list[Tensor]:
        return [
            buffer[start : start + shape.numel() * dtype.itemsize].view(dtype).view(shape)
            for start, shape, dtype in self._places
        ]


class _Slot:
    """One set of draws on its way to a CUDA device."""

    def __init__(self, inputs: Inputs) -> None:
        self._pinned = torch.zeros(inputs._buffer.shape, dtype=torch.uint8, pin_memory=True)
        self._views = inputs._view(self._pinned)
        self._arrived = torch.empty_like(inputs._buffer)
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._sent, self._taken = (torch.cuda.Event() for _ in range(2))  # type: ignore[no-untyped-call]
        # Whatever had this memory before may still be at work on it.
        self._stream.wait_stream(torch.cuda.current_stream())

    def send(self, leaves: list[Tensor], target: Tensor) -> None:
        """Copies them, and has the current stream take them over."""
        self._sent.synchronize()  # the host may run some steps ahead of the device, not further
        for view, leaf in zip(self._views, leaves, strict=True):
            view.copy_(leaf)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._taken)
            self._arrived.copy_(self._pinned, non_blocking=True)
            self._sent.record()
        current = torch.cuda.current_stream()
        current.wait_event(self._sent)
        target.copy_(self._arrived)
        self._taken.record(current)
