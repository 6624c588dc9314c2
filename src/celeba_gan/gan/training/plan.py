"""What a training will be, before it is run: its networks, schedule, memory and time."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from celeba_gan.gan.inputs.feed import is_resident
from celeba_gan.gan.networks.table import NetworkTable, tabulate
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.same_run import check_same_run
from celeba_gan.gan.runtime.hardware import Hardware, choose_hardware
from celeba_gan.gan.schedule import ScheduleSettings, factor
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.rehearsal import Memory, Rehearsal, Speed
from celeba_gan.gan.training.trial import faster_precision


class KnownImages(Protocol):
    """What is known of packed images without looking at them."""

    @property
    def size(self) -> int:
        """Height and width in pixels."""

    @property
    def digest(self) -> str:
        """Identifies the content."""

    def split(self, name: str) -> tuple[int, int]:
        """The first index of a split, and the one after its last."""


@dataclass(frozen=True)
class Course:
    """A value that may change with the images shown: after the first iteration, half-way and at the end."""

    name: str
    start: float
    middle: float
    end: float

    @property
    def constant(self) -> bool:
        """Whether its schedule leaves it alone."""
        return self.start == self.middle == self.end


@dataclass(frozen=True)
class Schedule:
    """How long training takes in images, and what changes on the way."""

    images: int
    """Shown to the discriminator at the end."""
    done: int
    """Of these, those of the state that is carried on."""
    images_per_iteration: int
    ticks: int
    """Still to come; each saves a state."""
    epochs: float | None
    """How often each training image is shown; None where their number is not known."""
    courses: tuple[Course, ...]

    @property
    def left(self) -> int:
        """Images still to be shown."""
        return max(0, self.images - self.done)

    @property
    def iterations(self) -> int:
        """Still to come."""
        return self.left // self.images_per_iteration


@dataclass(frozen=True)
class Plan:
    """A training that was not run."""

    settings: TrainSettings
    size: int
    """Height and width of what the networks see, in pixels."""
    classes: int | None
    train_images: int | None
    hardware: Hardware
    generator: NetworkTable
    discriminator: NetworkTable
    schedule: Schedule
    memory: Memory
    free: int | None
    """Bytes free on the device before; None: not known."""
    speed: Speed | None
    """None where nothing is left to train."""

    @property
    def seconds(self) -> float:
        """How long the iterations that are left take; saving the ticks comes on top."""
        return self.schedule.left / self.speed.images_per_second if self.speed else 0.0

    @property
    def fits(self) -> bool:
        """Whether the memory that is free holds the training, as far as is known."""
        return self.free is None or self.memory.total <= self.free

    @property
    def micro_batch_that_fits(self) -> int | None:
        """The largest divisor of the batch, smaller than the present micro-batch, that fits; None: there is none."""
        batch, now = self.settings.batch_size, self.memory.micro_batch
        sizes = [size for size in range(1, now) if batch % size == 0]
        fitting = [size for size in sizes if self.free is None or self.memory.of(size) <= self.free]
        return max(fitting, default=None)


def plan(
    settings: TrainSettings,
    size: int,
    *,
    images: KnownImages | None = None,
    resumed: Checkpoint | None = None,
    classes: int | None = None,
    free: int | None = None,
    seconds: float = 20.0,
) -> Plan:
    """Finds out what a training will be. It writes nothing, and reads no image.

    Args:
        settings: Of the training.
        size: Height and width of the packed images in pixels.
        images: The packed images, where there are any of this size.
        resumed: The state to carry on.
        classes: Columns of the labels; None: the networks are told nothing.
        free: Bytes of the host's memory that are free, for training on the CPU; None: not known.
        seconds: How long timing may take, about.

    Raises:
        NetworkError, TrainingError, HardwareError: As training would.
    """
    network_size = settings.network_size(size)
    if resumed is not None:
        check_same_run(settings, _seen(settings, network_size, images, resumed.card), resumed.card)
    hardware = choose_hardware(
        settings,
        resumed.card["hardware"] if resumed else None,
        partial(faster_precision, settings, network_size, classes),
    )
    on_device = hardware.free_memory()
    free = free if on_device is None else on_device
    train_images = None if images is None else images.split("train")[1] - images.split("train")[0]
    pixels = (train_images or 0) * size**2 * 3
    schedule = _schedule(settings, resumed.card["images"] if resumed else 0, train_images)

    rehearsal = Rehearsal(settings, network_size, hardware, classes)
    labels = () if classes is None else (torch.zeros(1, classes, device=hardware.device),)
    players = rehearsal.players
    generator = tabulate(players.generator, torch.zeros(1, settings.latent.size, device=hardware.device), *labels)
    image = torch.zeros(1, 3, network_size, network_size, device=hardware.device)
    discriminator = tabulate(players.discriminator, image, *labels)
    memory = rehearsal.memory(pixels if is_resident(settings.data, pixels, on_device) else 0)
    speed = rehearsal.speed(memory, free, seconds) if schedule.left else None
    return Plan(
        settings=settings,
        size=network_size,
        classes=classes,
        train_images=train_images,
        hardware=hardware,
        generator=generator,
        discriminator=discriminator,
        schedule=schedule,
        memory=memory,
        free=free,
        speed=speed,
    )


def _seen(settings: TrainSettings, size: int, images: KnownImages | None, card: dict[str, Any]) -> dict[str, Any]:
    """What the cards will say of the images, as far as it is known: where it is not, what the state says."""
    condition = card.get("condition")
    kind = "none" if condition is None else condition["kind"]
    if settings.condition.name == "none":
        condition = None
    elif settings.condition.name != kind:
        condition = {"names": [f"train.condition.name={settings.condition.name}"]}
    return {
        "size": size,
        "random_crop": settings.random_crop,
        "data_digest": card["data_digest"] if images is None else images.digest,
        "condition": condition,
    }


def _schedule(settings: TrainSettings, done: int, train_images: int | None) -> Schedule:
    step = settings.images_per_iteration
    images = math.ceil(settings.kimg * 1000 / step) * step
    tick_images = settings.tick_kimg * 1000
    shown, ticks = done, 0
    while shown < images:  # as the loop has it: a tick ends with the iteration that passes its mark
        end = min(images, (shown // tick_images + 1) * tick_images)
        shown += math.ceil((end - shown) / step) * step
        ticks += 1

    def course(name: str, value: float, schedule: ScheduleSettings) -> Course:
        return Course(name, *(value * factor(schedule, at) for at in (step, images // 2, images)))

    return Schedule(
        images=images,
        done=done,
        images_per_iteration=step,
        ticks=ticks,
        epochs=images / train_images if train_images else None,
        courses=(
            course(
                "generator's learning rate",
                settings.generator_optimizer.learning_rate,
                settings.generator_optimizer.schedule,
            ),
            course(
                "discriminator's learning rate",
                settings.discriminator_optimizer.learning_rate,
                settings.discriminator_optimizer.schedule,
            ),
            course("factor of the penalties", 1.0, settings.penalty.schedule),
        ),
    )
