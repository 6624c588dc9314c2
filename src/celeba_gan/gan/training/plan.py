"""What a training will be, before it is run: its networks, schedule, memory and time."""

from dataclasses import dataclass

from celeba_gan.gan.inputs.feed import KnownImages, is_resident
from celeba_gan.gan.networks.table import NetworkTable, tabulate_pair
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.resume import check_same_run, expected_images
from celeba_gan.gan.runtime.hardware import Hardware, choose_hardware
from celeba_gan.gan.schedule import ScheduleSettings, factor
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.clock import Clock
from celeba_gan.gan.training.probe import Memory, Probe, Speed


@dataclass(frozen=True)
class Value:
    """A value that may change with the images seen: after the first iteration, half-way and at the end."""

    name: str
    start: float
    middle: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """How long training takes in images, and what changes on the way."""

    images: int  # seen by the discriminator at the end
    done: int  # of these, those of the snapshot that is resumed
    images_per_iteration: int
    ticks: int  # still to come; each saves a snapshot
    epochs: float | None  # how often each training image is seen; None where their number is not known
    values: tuple[Value, ...]  # those that have a schedule

    @property
    def left(self) -> int:
        """Images still to be seen."""
        return max(0, self.images - self.done)

    @property
    def iterations(self) -> int:
        """Still to come."""
        return self.left // self.images_per_iteration


@dataclass(frozen=True)
class Plan:
    """A training that was not run."""

    settings: TrainSettings
    size: int  # height and width of what the networks see, in pixels
    train_images: int | None
    hardware: Hardware
    generator: NetworkTable
    discriminator: NetworkTable
    schedule: Schedule
    memory: Memory
    free: int | None  # bytes free on the device before; None: not known
    speed: Speed | None  # None where nothing is left to train

    @property
    def seconds(self) -> float:
        """How long the iterations that are left take; saving the ticks comes on top."""
        return self.schedule.left / self.speed.images_per_second if self.speed else 0.0

    @property
    def fits(self) -> bool:
        """Whether the memory that is free holds the training, as far as is known."""
        return self.free is None or self.memory.total <= self.free


def plan(
    settings: TrainSettings,
    size: int,
    *,
    images: KnownImages | None = None,
    resumed: RunCard | None = None,
    classes: int | None = None,
    free: int | None = None,
    seconds: float = 8.0,
) -> Plan:
    """Finds out what a training will be. It writes nothing, and reads no image.

    Args:
        settings: Of the training.
        size: Height and width of the packed images in pixels.
        images: The packed images, where there are any of this size.
        resumed: Card of the snapshot to resume.
        classes: Columns of the labels; None: unconditional.
        free: Bytes of the host's memory that are free, for training on the CPU; None: not known.
        seconds: How long timing may take, about.

    Raises:
        NetworkError, TrainingError, HardwareError: As training would.
    """
    network_size = settings.network_size(size)
    if resumed is not None:
        digest = None if images is None else images.digest
        check_same_run(settings.identity(), expected_images(settings, network_size, resumed, digest), resumed)
    hardware = choose_hardware(
        settings, resumed.hardware if resumed else None, gathers_pixels=settings.augment.name == "ada"
    )
    on_device = hardware.free_memory()
    free = free if on_device is None else on_device
    train_images = None if images is None else images.split("train")[1] - images.split("train")[0]
    pixels = (train_images or 0) * size**2 * 3
    schedule = _schedule(settings, resumed.images if resumed else 0, train_images)

    probe = Probe(settings, network_size, hardware, classes)
    generator, discriminator = tabulate_pair(settings.network, settings.latent, network_size, classes)
    resident = pixels if is_resident(settings.data, pixels, on_device) else 0
    memory, speed = probe.measure(resident, free, seconds)
    return Plan(
        settings=settings,
        size=network_size,
        train_images=train_images,
        hardware=hardware,
        generator=generator,
        discriminator=discriminator,
        schedule=schedule,
        memory=memory,
        free=free,
        speed=speed if schedule.left else None,
    )


def _schedule(settings: TrainSettings, done: int, train_images: int | None) -> Schedule:
    clock = Clock.of(settings)

    def value(name: str, start: float, schedule: ScheduleSettings) -> Value:
        return Value(name, *(start * factor(schedule, at) for at in (clock.iteration, clock.length // 2, clock.length)))

    generator, discriminator = settings.generator_optimizer, settings.discriminator_optimizer
    return Schedule(
        images=clock.length,
        done=done,
        images_per_iteration=clock.iteration,
        ticks=clock.ticks_after(done),
        epochs=clock.length / train_images if train_images else None,
        values=(
            value("Generator's learning rate", generator.learning_rate, generator.schedule),
            value("Discriminator's learning rate", discriminator.learning_rate, discriminator.schedule),
            value("Factor of the penalties", 1.0, settings.penalty.schedule),
        ),
    )
