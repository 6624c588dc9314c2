"""The plan of a training as a page in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import rich
from rich import box
from rich.table import Table
from rich.text import Text

from celeba_gan.foundation.wording import counted, in_bytes, in_time
from celeba_gan.gan.networks.config import ConditionSettings
from celeba_gan.images.labels import LABEL, class_names

if TYPE_CHECKING:
    from celeba_gan.gan.networks.table import NetworkTable
    from celeba_gan.gan.runs.cards import RunCard
    from celeba_gan.gan.training.plan import Plan

_ASSUMED: Final = {"class": 10, "attributes": 40}
"""Labels where their number is not known before the images are packed; CelebA has forty attributes."""


@dataclass(frozen=True)
class Labels:
    """How many labels the networks take; None: unconditional."""

    count: int | None
    assumed: bool = False  # not known yet


def count_labels(condition: ConditionSettings, condition_on: Sequence[str], card: "RunCard | None") -> Labels:
    """The columns of the labels, as far as they are known without the images; `card` is that of a resumed snapshot."""
    if condition.name == "none":
        return Labels(None)
    saved = card.condition if card else None
    if saved is not None and saved.kind == condition.name:
        return Labels(len(saved.names))
    if condition.name == "attributes" and condition.attributes:
        return Labels(len(condition.attributes))
    if condition.name == "class" and LABEL not in condition_on:
        return Labels(len(class_names(condition_on)))
    return Labels(_ASSUMED[condition.name], assumed=True)


def print_page(plan: "Plan", labels: Labels) -> None:
    """Prints the plan."""
    console = rich.get_console()
    for part in (
        _facts(_subject(plan, labels)),
        _network("Generator", plan.generator),
        _network("Discriminator", plan.discriminator),
        _facts(_schedule(plan)),
        _memory(plan),
        _facts([*_room(plan), ("Time", _time(plan))]),
    ):
        console.print(part)


def _subject(plan: "Plan", labels: Labels) -> list[tuple[str, str]]:
    hardware, settings = plan.hardware, plan.settings
    penalty = settings.penalty
    weights = [f"{name} {getattr(penalty, name).weight:g}" for name in [*penalty.of_gradients, "drift"]]
    penalties = [text for text in weights if not text.endswith(" 0")]
    every = f", every {penalty.every} steps" if penalties and penalty.every > 1 else ""
    many = f"{plan.train_images:,} of them for training" if plan.train_images else "not packed yet"
    name = f"{hardware.device} ({hardware.device_name})"
    facts = [
        ("Device", f"{name}, {hardware.precision}, CPU threads: {hardware.threads}"),
        ("Images", f"{plan.size}x{plan.size}, {many}"),
        ("Objective", f"{settings.objective.name}; penalties: {', '.join(penalties) or 'none'}{every}"),
    ]
    if settings.augment.name != "none":
        facts.append(("Augmentation", settings.augment.name))
    if plan.train_images and (too_few := settings.augment.find_too_few(plan.train_images)) is not None:
        facts.append(("Few images", too_few))
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
    if settings.micro_batch and settings.micro_batch < settings.batch_size:
        batch += f", {settings.micro_batch} at a time"
    facts = [
        ("Schedule", f"{length}{epochs}"),
        ("Iteration", f"{settings.n_critic} of the discriminator's steps, then one of the generator's; {batch}"),
    ]
    if schedule.done:
        facts.append(("Done", f"{schedule.done:,} images; {schedule.left:,} are left"))
    ticks = f"{schedule.iterations:,} iterations in {schedule.ticks:,} ticks of {settings.tick_kimg:g} kimg"
    ema = settings.ema
    average = f"half-life {ema.half_life_kimg:g} kimg, at most {ema.ramp_up:.0%} of the images so far"
    facts += [("Remaining", ticks), ("Average", average)]
    for value in schedule.values:
        now, middle, end = (f"{number:.3g}" for number in (value.start, value.middle, value.end))
        facts.append(
            (value.name, now if now == middle == end else f"{now} at first, {middle} half-way, {end} at the end")
        )
    return facts


def _memory(plan: "Plan") -> Table:
    memory, settings = plan.memory, plan.settings
    micro = settings.micro_batch or settings.batch_size
    penalised = ", with the penalties" if settings.penalty.of_gradients else ""
    table = Table(f"memory on {plan.hardware.device}", box=box.SIMPLE_HEAD, show_footer=True)
    table.columns[0].footer = "at the peak"
    table.add_column("", footer=in_bytes(memory.total), justify="right")
    rows = (
        ("weights of both networks", memory.weights),
        ("average of the generator", memory.average),
        ("Adam's moments", memory.moments),
        ("gradients", memory.gradients),
        (f"activations of {micro} images{penalised}", memory.activations),
        ("training images", memory.resident),
    )
    for name, count in rows:
        if count:
            table.add_row(name, in_bytes(count))
    return table


def _room(plan: "Plan") -> list[tuple[str, str]]:
    """Whether there is enough memory, and what to do where there is not."""
    free = "" if plan.free is None else f"{in_bytes(plan.free)} are free. "
    how = "Measured in one iteration"
    if plan.memory.measured != (plan.settings.micro_batch or plan.settings.batch_size):
        some = counted(plan.memory.measured, "image")
        how = f"Extrapolated from one iteration with {some} at a time, since more did not fit into memory or time"
    facts = [
        ("Memory", f"{free}{how}. Not counted: the program, the libraries' workspace, the allocator's cache"),
        ("Disk", f"{in_bytes(plan.memory.disk)} for a snapshot and both networks, written at every tick"),
    ]
    if not plan.fits:
        facts.append(("Does not fit", plan.settings.smaller_batch()))
    return facts


def _time(plan: "Plan") -> str:
    speed = plan.speed
    if speed is None:
        return "none: the networks have seen all these images already. Set a larger train.kimg to continue"
    batch = plan.settings.batch_size
    how = f"{speed.seconds:.0f} s of training on noise, just now"
    if speed.batch_size < batch:
        how += (
            f", with batches of up to {speed.batch_size}, and extrapolated to {batch}: it may be several times faster"
        )
    rate = f"{speed.images_per_second:,.{0 if speed.images_per_second >= 10 else 2}f} images/s"
    return f"{in_time(plan.seconds)} at {rate}, measured in {how}. Saving the ticks takes additional time"


def _facts(facts: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for label, text in facts:
        table.add_row(Text(label, "bold"), text)
    return table
