"""The plan of a training as a page in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import rich
from rich import box
from rich.table import Table
from rich.text import Text

from celeba_gan.foundation.wording import in_bytes, in_time
from celeba_gan.gan.networks.config import ConditionSettings
from celeba_gan.images.labels import LABEL, class_names

if TYPE_CHECKING:
    from celeba_gan.gan.networks.table import NetworkTable
    from celeba_gan.gan.training.plan import Plan, Schedule

_ASSUMED: Final = {"class": 10, "attributes": 40}
"""Labels where only the packed images will tell how many there are; CelebA has forty attributes."""


@dataclass(frozen=True)
class Labels:
    """How many labels the networks are told of; None: they are told nothing."""

    count: int | None
    assumed: bool = False
    """Whether that is not known yet."""


def count_labels(condition: ConditionSettings, condition_on: Sequence[str], card: dict[str, Any] | None) -> Labels:
    """The columns of the labels, as far as they are known without the images.

    Args:
        condition: What the networks are to be told.
        condition_on: What the classes are made of.
        card: Of the state that is carried on.
    """
    if condition.name == "none":
        return Labels(None)
    saved = (card or {}).get("condition")
    if saved is not None and saved["kind"] == condition.name:
        return Labels(len(saved["names"]))
    if condition.name == "attributes" and condition.attributes:
        return Labels(len(condition.attributes))
    if condition.name == "class" and LABEL not in condition_on:
        return Labels(len(class_names(condition_on)))
    return Labels(_ASSUMED[condition.name], assumed=True)


def print_page(plan: "Plan", labels: Labels) -> None:
    """Prints all of it."""
    console = rich.get_console()
    for part in (
        _facts(_subject(plan, labels)),
        _network("Generator", plan.generator),
        _network("Discriminator", plan.discriminator),
        _facts(_schedule(plan)),
        _courses(plan.schedule),
        _memory(plan),
        _facts([*_room(plan), ("Time", _time(plan))]),
    ):
        if part is not None:
            console.print(part)


def _subject(plan: "Plan", labels: Labels) -> list[tuple[str, str]]:
    hardware, settings = plan.hardware, plan.settings
    penalty = settings.penalty
    weights = [f"{name} {getattr(penalty, name).weight:g}" for name in [*penalty.of_gradients, "drift"]]
    penalties = [text for text in weights if not text.endswith(" 0")]
    every = f", every {penalty.every} steps" if penalties and penalty.every > 1 else ""
    many = f"{plan.train_images:,} of them for training" if plan.train_images else "not packed yet"
    facts = [
        (
            "Device",
            f"{hardware.device} ({hardware.device_name}), {hardware.precision}, CPU threads: {hardware.threads}",
        ),
        ("Images", f"{plan.size}x{plan.size}, {many}"),
        ("Objective", f"{settings.objective.name}; penalties: {', '.join(penalties) or 'none'}{every}"),
    ]
    if settings.augment.name != "none":
        facts.append(("Augmentation", settings.augment.name))
    if labels.count is not None:
        sure = ", a guess until the images are packed" if labels.assumed else ""
        facts.append(("Labels", f"{settings.condition.name}, {labels.count:,} of them{sure}"))
    return facts


def _network(title: str, network: "NetworkTable") -> Table:
    table = Table(
        "layer", "output of an image", box=box.SIMPLE_HEAD, title=title, title_justify="left", show_footer=True
    )
    table.columns[0].footer = network.kind
    for heading, total in (("parameters", network.parameters), ("MACs", network.macs)):
        table.add_column(heading, footer=f"{total:,}", justify="right")
    for (kind, shape), group in groupby(network.layers, key=lambda layer: (layer.kind, layer.shape)):
        layers = list(group)
        name = kind if len(layers) == 1 else f"{len(layers)} x {kind}"
        parameters, macs = (sum(getattr(layer, field) for layer in layers) for field in ("parameters", "macs"))
        table.add_row(name, " x ".join(map(str, shape)) or "1", f"{parameters:,}", f"{macs:,}")
    return table


def _schedule(plan: "Plan") -> list[tuple[str, str]]:
    settings, schedule = plan.settings, plan.schedule
    length = f"{schedule.images:,} images ({settings.kimg:g} kimg)"
    epochs = "" if schedule.epochs is None else f", each training image {schedule.epochs:.1f} times"
    batch = f"{settings.batch_size} images each"
    if plan.memory.micro_batch < settings.batch_size:
        batch += f", {plan.memory.micro_batch} at a time"
    facts = [
        ("Schedule", f"{length}{epochs}"),
        ("Iteration", f"{settings.n_critic} of the discriminator's steps, then one of the generator's; {batch}"),
    ]
    if schedule.done:
        facts.append(("Done", f"{schedule.done:,} images; {schedule.left:,} are left"))
    facts.append(
        ("To come", f"{schedule.iterations:,} iterations in {schedule.ticks:,} ticks of {settings.tick_kimg:g} kimg")
    )
    ema = settings.ema
    facts.append(("Average", f"half-life {ema.half_life_kimg:g} kimg, at most {ema.ramp_up:.0%} of the images so far"))
    if all(course.constant for course in schedule.courses):
        generator, discriminator, _ = schedule.courses
        facts.append(
            ("Learning rates", f"{generator.end:g} for the generator, {discriminator.end:g} for the discriminator")
        )
    return facts


def _courses(schedule: "Schedule") -> Table | None:
    if all(course.constant for course in schedule.courses):
        return None
    table = Table("", box=box.SIMPLE_HEAD)
    for heading in ("first iteration", "half-way", "end"):
        table.add_column(heading, justify="right")
    for course in schedule.courses:
        table.add_row(course.name, *(f"{value:.3g}" for value in (course.start, course.middle, course.end)))
    return table


def _memory(plan: "Plan") -> Table:
    memory, device = plan.memory, plan.hardware.device
    penalised = ", with the penalties' double backward" if plan.settings.penalty.of_gradients else ""
    table = Table(f"memory on {device}, an estimate", box=box.SIMPLE_HEAD, show_footer=True)
    table.columns[0].footer = "at the peak"
    table.add_column("", footer=in_bytes(memory.total), justify="right")
    rows = (
        ("weights of both networks", memory.weights),
        ("average of the generator", memory.average),
        ("Adam's moments", memory.moments),
        ("gradients", memory.gradients),
        (f"activations of {memory.micro_batch} images{penalised}", memory.activations),
        ("images of the batch that wait", memory.waiting),
        ("training images", memory.resident),
    )
    for name, count in rows:
        if count:
            table.add_row(name, in_bytes(count))
    return table


def _room(plan: "Plan") -> list[tuple[str, str]]:
    """Whether there is enough memory, and what to do where there is not."""
    free = "" if plan.free is None else f"{in_bytes(plan.free)} are free. "
    facts = [
        ("Memory", f"{free}The estimate counts what tensors hold; the program, the libraries' scratch space and what "
        "the allocator keeps come on top"),
        ("Disk", f"{in_bytes(plan.memory.disk)} for the state and both networks, written anew at every tick"),
    ]  # fmt: skip
    if not plan.fits:
        facts.append(("Too much", _advice(plan)))
    return facts


def _advice(plan: "Plan") -> str:
    needed = f"{in_bytes(plan.memory.total)} are needed, {in_bytes(plan.free or 0)} are free"
    if plan.settings.network.name == "article":
        return f"{needed}: give a smaller train.batch_size; batch norm forbids smaller parts of a batch"
    fitting = plan.micro_batch_that_fits
    if fitting is None:
        return f"{needed}: no train.micro_batch makes it fit; give smaller networks, or a device with more memory"
    return f"{needed}: try train.micro_batch={fitting}; the result does not depend on it"


def _time(plan: "Plan") -> str:
    speed = plan.speed
    if speed is None:
        return "none: the state has seen all these images already. Ask for more with train.kimg"
    batch = plan.settings.batch_size
    how = f"{speed.seconds:.0f} s of training on noise, just now"
    if speed.batch_size < batch:
        how += f", with batches of up to {speed.batch_size}, and from there extended to {batch}"
    rate = f"{speed.images_per_second:,.{0 if speed.images_per_second >= 10 else 2}f} images/s"
    return f"{in_time(plan.seconds)} at {rate}, measured in {how}. Saving the ticks comes on top"


def _facts(facts: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for label, text in facts:
        table.add_row(Text(label, "bold"), text)
    return table
