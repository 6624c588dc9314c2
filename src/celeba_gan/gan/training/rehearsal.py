"""Training steps on random images, to see beforehand what memory they need and how long they take."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, cast
from weakref import finalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.players import Players
from celeba_gan.gan.training.steps import Steps

SMALL = (2, 3)
"""Images at a time in the two steps from which the memory of larger ones is extrapolated."""
NEVER = 2**30
"""As `penalty.every`: no step of a rehearsal is penalised."""


@dataclass(frozen=True)
class Memory:
    """Bytes that training needs on its device, beside the program itself."""

    weights: int
    """Both networks', buffers included."""
    average: int
    """Of the generator's weights."""
    moments: int
    """Adam's."""
    gradients: int
    """Those of the larger network: the other's are gone by then."""
    steps: "StepMemory"
    micro_batch: int
    """Images at a time."""
    waiting: int
    """Real images of the batch that wait for their micro-batch."""
    resident: int
    """Training images kept on the device."""
    disk: int
    """On disk: a state and both networks."""

    @property
    def activations(self) -> int:
        """What a step holds at its peak beside the gradients."""
        return max(0, self.steps.peak(self.micro_batch) - self.gradients)

    @property
    def total(self) -> int:
        """At the peak."""
        return self.lasting + self.steps.peak(self.micro_batch)

    @property
    def lasting(self) -> int:
        """What is there between two steps, too."""
        return self.weights + self.average + self.moments + self.waiting + self.resident

    def of(self, micro_batch: int) -> int:
        """At the peak, with another micro-batch; gradients then wait while the next micro-batch is computed."""
        return self.lasting + self.steps.peak(micro_batch) + (self.gradients if micro_batch < self.micro_batch else 0)


@dataclass(frozen=True)
class StepMemory:
    """Bytes that come in the course of an iteration, operation by operation: `first + images * each`."""

    first: NDArray[np.float64]
    each: NDArray[np.float64]

    def peak(self, images: int) -> int:
        """The most there is at any moment, with so many images at a time."""
        return int((self.first + images * self.each).max())


@dataclass(frozen=True)
class Speed:
    """How fast iterations were."""

    images_per_second: float
    batch_size: int
    """With which it was measured: that of the settings, or a smaller one to save time or memory."""
    seconds: float
    """How long measuring took."""


class Rehearsal:
    """A training that learns from noise and is thrown away."""

    def __init__(self, settings: TrainSettings, size: int, hardware: Hardware, classes: int | None) -> None:
        """Builds the networks.

        Args:
            settings: Of the training.
            size: Height and width of what the networks see, in pixels.
            hardware: Where it will run.
            classes: Columns of the labels; None: unconditional.

        Raises:
            NetworkError: The networks do not exist at this size.
        """
        self.settings = settings
        self.size = size
        self.hardware = replace(hardware, compiled=False)  # compiling takes longer than the rehearsal
        self.classes = classes or 0
        self.players = Players(settings, size, hardware, None, classes)

    def memory(self, resident: int) -> Memory:
        """What memory a step takes, as an estimate: what tensors hold at each moment.

        Iterations with few images at a time, run for real, hold memory that grows by the same amount with each further
        image, moment by moment; nothing of the size that is asked about is allocated. Scratch space of libraries and
        what the allocator keeps for later come on top.

        Args:
            resident: Bytes of training images that stay on the device.
        """
        settings, players = self.settings, self.players
        micro = settings.micro_batch or settings.batch_size
        parts = 1 if micro == settings.batch_size else 2  # in the second, the first one's gradients are there
        courses: list[NDArray[np.float64]] = []
        for images in SMALL:
            small = {"batch_size": parts * images, "micro_batch": images, "n_critic": 1}
            steps, feed = self._steps(small, every=1)
            if not courses:
                steps.iterate(feed, 0, 1)  # makes Adam's moments, which then last
            with LiveBytes(self.hardware.device) as live:
                steps.iterate(feed, 1, 1)
            courses.append(np.array(live.course, np.float64))
        each = (courses[1] - courses[0]) / (SMALL[1] - SMALL[0])
        tensors = {name: tensor.nbytes for name, tensor in (players.tensors() | steps.tensors()).items()}
        moments = sum(count for name, count in tensors.items() if "_optimizer." in name)
        generator, discriminator, average = (
            sum(tensor.nbytes for tensor in [*network.parameters(), *network.buffers()])
            for network in (players.generator, players.discriminator, players.average)
        )
        gradients = [
            sum(weight.nbytes for weight in network.parameters())
            for network in (players.generator, players.discriminator)
        ]
        return Memory(
            weights=generator + discriminator,
            average=average,
            moments=moments,
            gradients=max(gradients),
            steps=StepMemory(courses[0] - SMALL[0] * each, each),
            micro_batch=micro,
            waiting=max(0, settings.batch_size - parts * micro) * 3 * self.size**2 * 4,
            resident=resident,
            disk=sum(tensors.values()) + average + discriminator,
        )

    def speed(self, memory: Memory, free: int | None, seconds: float) -> Speed:
        """Times iterations, with the whole batch if it fits into the time and into memory, else with a part of it.

        Args:
            memory: What `memory` said.
            free: Bytes free on the device; None: not known.
            seconds: How long it may take, about. The smallest batch is timed in any case.
        """
        began = time.perf_counter()
        batch = self.settings.batch_size
        sizes = [size for size in self._batch_sizes() if free is None or memory.of(size) <= 0.8 * free] or [1]
        size = sizes[min(1, len(sizes) - 1)]
        timed: dict[int, list[float]] = {}
        while True:
            took = timed.setdefault(size, [])
            took.append(self._time(size))
            left = seconds - (time.perf_counter() - began)
            share = left / (2 if len(timed) == 1 else 3)  # for each of two iterations, and some room for error
            larger = [other for other in sizes if other > size and expected_time(timed, other) <= share]
            if larger and len(took) > 1:  # the first iteration with any size is slower
                size = larger[-1]
            elif len(took) > 12 or min(took) > left:
                break
        iteration = fmean(took[1:] or took) if size == batch else expected_time(timed, batch)
        return Speed(batch * self.settings.n_critic / iteration, size, time.perf_counter() - began)

    def _batch_sizes(self) -> list[int]:
        """Batch sizes that divide the settings' into equal parts, and are whole micro-batches or less than one."""
        batch, micro = self.settings.batch_size, self.settings.micro_batch or self.settings.batch_size
        return [size for size in range(1, batch + 1) if batch % size == 0 and (size <= micro or size % micro == 0)]

    def _time(self, batch: int) -> float:
        """Seconds of an average iteration with this batch size."""
        every = self.settings.penalty.every
        size = {"batch_size": batch, "micro_batch": min(batch, self.settings.micro_batch or batch)}
        penalised = self._time_iteration(*self._steps(size, every=1))
        if every == 1:
            return penalised
        plain = self._time_iteration(*self._steps(size, every=NEVER))
        return plain + (penalised - plain) / every

    def _time_iteration(self, steps: Steps, feed: ImageFeed) -> float:
        self._wait()
        began = time.perf_counter()
        steps.iterate(feed, 1, 1)
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.hardware.device != "cpu":
            torch.accelerator.synchronize()

    def _steps(self, changes: dict[str, Any], every: int) -> tuple[Steps, ImageFeed]:
        penalty = self.settings.penalty.model_copy(update={"every": every})
        settings = self.settings.model_copy(update={**changes, "penalty": penalty})
        feed = cast(ImageFeed, _Noise(settings.batch_size, self.size, self.classes, self.hardware))
        steps = Steps(settings, self.hardware, self.players)
        if steps.augmentation.needs_valid:
            steps.valid = feed
        return steps, feed


def expected_time(timed: dict[int, list[float]], batch: int) -> float:
    """Seconds of an iteration with a larger batch than those timed, by the line through the two largest of them.

    It is between the time of the largest and that time in proportion to the batch, which it is where one was timed.

    Args:
        timed: Batch sizes, and how long each iteration took.
        batch: Not smaller than those.
    """
    *smaller, largest = sorted(timed)
    fastest = min(timed[largest])
    proportional = fastest * batch / largest
    if not smaller:
        return proportional
    slope = (fastest - min(timed[smaller[-1]])) / (largest - smaller[-1])
    return min(proportional, max(fastest, fastest + slope * (batch - largest)))


@dataclass(frozen=True)
class _Noise:
    """Stands where a step asks a feed for its images and labels."""

    count: int
    size: int
    classes: int
    hardware: Hardware

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Random images (count, 3, size, size) in [-1, 1] and labels (count, classes)."""
        pixels = torch.rand(self.count, 3, self.size, self.size, device=self.hardware.device) * 2 - 1
        labels = torch.zeros(self.count, self.classes, device=self.hardware.device)
        return pixels.contiguous(memory_format=torch.channels_last), labels


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class is not typed
    """Notes after every operation inside it how many bytes the tensors hold that were made there and still live.

    Only those on one kind of device count.
    """

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.course: list[int] = []
        self._now = 0
        self._known: set[int] = set()  # storages by their identity

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._meet(storage, 0)  # was there before
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            self._meet(storage, storage.nbytes() if storage.device.type == self.device else 0)
        self.course.append(self._now)
        return result

    def _meet(self, storage: torch.UntypedStorage, count: int) -> None:
        if id(storage) not in self._known:
            self._known.add(id(storage))
            self._now += count
            finalize(storage, self._part, id(storage), count)

    def _part(self, identity: int, count: int) -> None:
        self._known.remove(identity)
        self._now -= count


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    return (value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor))
