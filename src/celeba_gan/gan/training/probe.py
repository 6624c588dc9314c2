"""Real training iterations on random images, to measure beforehand the memory they take and the time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from celeba_gan.gan.inputs.feed import Draws
from celeba_gan.gan.runtime.hardware import Hardware, is_out_of_memory
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

FIRST = (1, 2, 4, 8)  # images at a time in the iterations that come first, to see whether larger ones fit
_QUICK = 3.0  # seconds; faster iterations are timed again: the first one also chooses kernels and counts bytes
_ENOUGH = 0.3  # seconds of timing, of which the fastest counts: another program may have had the cores meanwhile
NEVER = 2**30  # as `penalty.every`: no step is penalised


@dataclass(frozen=True)
class Memory:
    """Bytes that training needs on its device, beside the program itself."""

    weights: int  # both networks', buffers included
    average: int  # of the generator's weights
    moments: int  # Adam's
    gradients: int  # those of the larger network: the other's are gone by then
    activations: int  # what a step holds at its peak beside the gradients
    resident: int  # training images kept on the device
    disk: int  # on disk: a snapshot and both networks
    measured: int  # images at a time in the iteration that was measured; fewer than requested where those did not fit

    @property
    def total(self) -> int:
        """At the peak."""
        return self.weights + self.average + self.moments + self.gradients + self.activations + self.resident


@dataclass(frozen=True)
class Speed:
    """How fast iterations were."""

    images_per_second: float
    batch_size: int  # with which it was measured: that of the settings, or a smaller one to save time or memory
    seconds: float  # how long measuring took


class Probe:
    """A training on noise that is thrown away."""

    def __init__(self, settings: TrainSettings, size: int, hardware: Hardware, classes: int | None) -> None:
        """Builds the networks; otherwise as `Pair`."""
        self.settings = settings
        self.size = size
        # Compiling takes longer than the probe, and graphs are recorded only after some steps.
        self.hardware = Hardware.model_validate({**hardware.model_dump(), "compiled": False, "graphs": False})
        self.classes = classes or 0
        self.pair = Pair(settings, size, hardware, classes)
        settings.check_combination(self.pair.with_batch_norm)

    def measure(self, resident: int, free: int | None, seconds: float) -> tuple[Memory, Speed]:
        """Runs iterations of growing batches, up to the requested one as far as memory and time allow.

        The memory is what tensors hold at the peak; scratch space of libraries and what the allocator keeps come on
        top. Where the requested batch does not fit, activations and time are extended in proportion to the images.

        Args:
            resident: Bytes of training images that stay on the device.
            free: Bytes free on the device; None: not known.
            seconds: How long it may take, about. The smallest batch is measured in any case.
        """
        began = time.perf_counter()
        batch = self.settings.batch_size
        micro = self.settings.micro_batch or batch
        sizes = sorted({*(size for size in FIRST if size < micro and micro % size == 0), batch})
        self._make_moments()
        measured, peak, took = 0, 0, 0.0
        for size in sizes:
            now = min(size, micro)
            if measured:
                left = seconds - (time.perf_counter() - began)
                # Measuring takes about four steps of each network.
                expected = (peak * now // min(measured, micro), 4 * took / self.settings.n_critic * size / measured)
                if (free is not None and expected[0] > 0.8 * free) or expected[1] > left:
                    break
            try:
                peak, took = self._iterate(size, now)
            except RuntimeError as error:
                if not measured or not is_out_of_memory(error):
                    raise
                break
            measured = size
        rate = batch * self.settings.n_critic / (took * batch / measured)
        return (
            self._memory(peak, min(measured, micro), micro, resident),
            Speed(rate, measured, time.perf_counter() - began),
        )

    def _memory(self, peak: int, measured: int, micro: int, resident: int) -> Memory:
        tensors, pair = self.pair.state_dict(), self.pair
        average, discriminator = (
            _bytes([*network.parameters(), *network.buffers()]) for network in (pair.average, pair.discriminator)
        )
        gradients = max(_bytes(network.parameters()) for network in (pair.generator, pair.discriminator))
        return Memory(
            weights=average + discriminator,  # the average is as large as the generator
            average=average,
            moments=_bytes(tensor for name, tensor in tensors.items() if "_optimizer." in name),
            gradients=gradients,
            activations=max(0, peak - gradients) * micro // measured,
            resident=resident,
            disk=_bytes(tensors.values()) + average + discriminator,
            measured=measured,
        )

    def _iterate(self, batch: int, micro: int) -> tuple[int, float]:
        """The peak of an iteration in bytes, and the seconds of an average one.

        Measured are one step of the discriminator and one of the generator, since a whole iteration of a large preset
        takes minutes on a CPU.
        """
        penalty, n_critic = self.settings.penalty, self.settings.n_critic
        size = {"batch_size": batch, "micro_batch": micro, "n_critic": 1}
        penalised = self._steps(size, every=1)
        with LiveBytes(self.hardware.device) as live:
            both = self._time(penalised, batch)
        if both < _QUICK:
            both = self._fastest(penalised, batch)
        if n_critic == penalty.every == 1:
            return live.peak, both
        discriminator = step = self._fastest(penalised, batch, whole=False)
        if penalty.every > 1:
            plain = self._fastest(self._steps(size, every=NEVER), batch, whole=False)
            step = plain + (discriminator - plain) / penalty.every
        return live.peak, max(0.0, both - discriminator) + n_critic * step

    def _make_moments(self) -> None:
        """Makes Adam's moments, which are no part of a step's peak: they last from the first step on."""
        for network, step in (
            (self.pair.discriminator, self.pair.step_discriminator),
            (self.pair.generator, self.pair.step_generator),
        ):
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            step()

    def _fastest(self, steps: Steps, batch: int, *, whole: bool = True) -> float:
        """As `_time`, of as many as `_ENOUGH` lets begin."""
        began = time.perf_counter()
        seconds = self._time(steps, batch, whole=whole)
        while time.perf_counter() - began < _ENOUGH:
            seconds = min(seconds, self._time(steps, batch, whole=whole))
        return seconds

    def _time(self, steps: Steps, batch: int, *, whole: bool = True) -> float:
        """Seconds of an iteration, or of one step of the discriminator alone."""
        feed = _Noise(batch, self.size, self.classes, self.hardware)
        self._wait()
        began = time.perf_counter()
        if whole:
            steps.iterate(feed, 1, 1)
        else:
            steps.step_discriminator(feed, feed.draw(1), 1, 1)
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.hardware.device != "cpu":
            torch.accelerator.synchronize()

    def _steps(self, changes: dict[str, int], every: int) -> Steps:
        penalty = self.settings.penalty.model_copy(update={"every": every})
        settings = self.settings.model_copy(update={**changes, "penalty": penalty})
        steps = Steps(settings, self.hardware, self.pair)
        if steps.augmentation.needs_valid:
            steps.valid = _Noise(settings.batch_size, self.size, self.classes, self.hardware)
        return steps


@dataclass(frozen=True)
class _Noise:
    """A feed of random images."""

    count: int
    size: int
    classes: int
    hardware: Hardware

    def draw(self, step: int) -> Draws:
        """Nothing: images are made on the device."""
        return {}

    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Random images (count, 3, size, size) in [-1, 1] and labels (count, classes)."""
        pixels = torch.rand(self.count, 3, self.size, self.size, device=self.hardware.device) * 2 - 1
        labels = torch.zeros(self.count, self.classes, device=self.hardware.device)
        return pixels.contiguous(memory_format=torch.channels_last), labels


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class is not typed
    """Tracks the bytes of the tensors on one kind of device that were made inside it and are still alive."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.peak = 0
        self.now = 0
        self._known: set[int] = set()  # storages by their identity

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._add(storage, 0)  # was there before
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            self._add(storage, storage.nbytes() if storage.device.type == self.device else 0)
        self.peak = max(self.peak, self.now)
        return result

    def _add(self, storage: torch.UntypedStorage, count: int) -> None:
        if id(storage) not in self._known:
            self._known.add(id(storage))
            self.now += count
            finalize(storage, self._remove, id(storage), count)

    def _remove(self, identity: int, count: int) -> None:
        self._known.remove(identity)
        self.now -= count


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    return (value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor))
