"""The training loop.

The clock is images shown to the discriminator. An iteration is `n_critic` discriminator steps and one generator step;
the loop stops only between two of them. A tick is what is saved: the metric rows since the last one, samples, the
networks and the state from which the run carries on exactly.
"""

import logging
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.pixels import to_uint8
from celeba_gan.gan.inputs.conditions import Conditions, conditioned, draw_grid, draw_labels
from celeba_gan.gan.inputs.feed import ImageFeed, TrainingImages
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.losses.objectives import Terms
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.initial import InitialWeights
from celeba_gan.gan.runs.same_run import TrainingError, check_resumed_from, check_same_run
from celeba_gan.gan.runtime.hardware import Hardware, choose_hardware, explained_out_of_memory
from celeba_gan.gan.runtime.signals import StopSignal
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.health import Health
from celeba_gan.gan.training.measuring import Best, Measure, is_measured
from celeba_gan.gan.training.metering import Meter
from celeba_gan.gan.training.players import Players
from celeba_gan.gan.training.steps import Steps
from celeba_gan.gan.training.trial import faster_precision

__all__ = ["Tick", "TrainingError", "train"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tick:
    """What one tick saves. The checkpoints hold the live tensors: save them before the next tick, or copy them."""

    images: int
    since: int  # images at the tick before; this one's where it is saved again
    rows: list[dict[str, float]]
    samples: NDArray[np.uint8]  # (rows x columns, size, size, 3)
    generator: Checkpoint
    discriminator: Checkpoint
    state: Checkpoint


def train(
    images: TrainingImages,
    settings: TrainSettings,
    resumed: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
    conditions: Conditions | None = None,
    measure: Measure | None = None,
    initial: InitialWeights | None = None,
) -> Iterator[Tick]:
    """Trains a pair of networks and yields a tick at the start, every `tick_kimg`, and when it ends or is stopped.

    Args:
        images: The training images are its split `train`.
        settings: All of them; see `TrainSettings`.
        resumed: The state to carry on from. A run that was stopped and resumed gives the same weights as one that was
            not: bit for bit on one kind of machine, torch version, precision and thread count.
        progress: Called after each iteration with the images shown so far and in all.
        conditions: The labels of all images, for networks that are told them.
        measure: Called every `evaluate_every_kimg` with a function that samples from the averaged generator; what it
            returns goes into the tick's last row. It has no say in the weights.
        initial: Weights to start from instead of fresh ones, with fresh optimisers and the clock at 0. A training that
            is carried on takes no notice of them.

    Raises:
        NetworkError: The network does not exist at the images' size, or the random crop does not fit into them.
        FeedError: The images do not fit into the device's memory, where they were asked to be.
        CheckpointError: The initial weights are not what their card says.
        TrainingError: The state belongs to another run, the initial weights to other networks, memory ran out, or a
            value became NaN or infinite. The last tick then stands: an iteration that broke off in the middle is no
            state to carry on from.
        KeyboardInterrupt: After Ctrl-C, once the last tick has been yielded.
        SystemExit: After SIGTERM, likewise.
    """
    conditions = conditions or Conditions.none()
    seen: dict[str, Any] = {
        "size": settings.network_size(images.size),
        "random_crop": settings.random_crop,
        "data_digest": images.digest,
        "condition": conditions.card(*images.split("train")),
    }
    check_resumed_from(settings, resumed.card if resumed else None)
    if resumed is not None:
        check_same_run(settings, seen, resumed.card)
    elif initial is not None:
        initial.check(settings, seen)
    classes = len(conditions.names) or None
    hardware = choose_hardware(
        settings,
        resumed.card["hardware"] if resumed else None,
        partial(faster_precision, settings, seen["size"], classes),
    )
    feed = ImageFeed(settings, images, hardware, conditions)
    run = _Run(settings, hardware, seen, classes, Health(feed.reals(256)), resumed)
    run.measure = measure
    if resumed is None and initial is not None:
        run.start_from(initial)
    if run.steps.augmentation.needs_valid:
        run.steps.valid = ImageFeed(settings, images, hardware, conditions, "valid")
    length = math.ceil(settings.kimg * 1000 / settings.images_per_iteration) * settings.images_per_iteration
    if run.shown >= length:
        logger.info(
            "Already trained on %d images, and train.kimg asks for %g thousand: nothing to train. "
            "Ask for more, or start anew with --params train.resume=false",
            run.shown,
            settings.kimg,
        )
        yield run.tick([], finished=True)
        return
    if resumed is None:
        yield run.tick([], finished=False)
    else:
        logger.info("Carries on from the state at %d images, up to %d", run.shown, length)
        if settings.init_from is not None:
            logger.info("train.init_from %s has no say: it is for the start of a training", settings.init_from)

    meter = Meter(run.players.generator_optimizer, run.players.discriminator_optimizer)
    saved = run.shown
    with StopSignal() as stop:
        while run.shown < length and stop.received is None:
            tick_images = settings.tick_kimg * 1000
            end = min(length, (run.shown // tick_images + 1) * tick_images)
            meter.start(run.shown)
            while run.shown < end and stop.received is None:
                with explained_out_of_memory(settings):
                    terms = run.iterate(feed)
                meter.add(run.shown, terms)
                if progress is not None:
                    progress(run.shown, length)
            rows, broken = meter.rows(settings.rows_per_tick)  # the loop waits for the device here, once a tick
            if broken is not None:
                raise TrainingError(
                    f"{broken.term} became {broken.value} after {broken.shown} images. No weight took it over: the "
                    f"last saved state, at {saved} images, stands. Lower the learning rates or raise the penalty's "
                    "weight, then the same command carries on from there, or start anew with "
                    "--params train.resume=false"
                )
            yield run.tick(rows, finished=run.shown >= length)
            saved = run.shown
        stop.raise_if_received()


class _Run:
    """A training under way: its clock, its players and steps, and what is saved of them."""

    def __init__(
        self,
        settings: TrainSettings,
        hardware: Hardware,
        seen: dict[str, Any],
        classes: int | None,
        health: Health,
        resumed: Checkpoint | None,
    ) -> None:
        self.settings = settings
        self.hardware = hardware
        self.seen = seen  # what every card says of the images
        self.health = health
        self.players = Players(settings, seen["size"], hardware, resumed, classes)
        self.steps = Steps(settings, hardware, self.players)
        card: dict[str, Any] = {}
        if resumed is not None:
            card = resumed.card
            self.steps.restore(resumed.tensors)
            health.restore(card)
        self.id: str = card.get("id", uuid.uuid4().hex)
        self.shown: int = card.get("images", 0)
        self.iteration: int = card.get("iteration", 0)
        self.course: list[int] = [*card.get("course", ()), card["images"]] if card else []
        self.origin: dict[str, Any] | None = card.get("init_from")
        self.best = Best(settings, card.get("best"))
        self.measure: Measure | None = None

    def start_from(self, initial: InitialWeights) -> None:
        """Gives the players the weights of an earlier training."""
        initial.load_into(self.players.generator, self.players.average, self.players.discriminator)
        self.players.clip_weights()
        self.origin = initial.origin()
        logger.info("Starts from the weights in %s, trained on %d images", initial.source, self.origin["images"])

    def iterate(self, feed: ImageFeed) -> Terms:
        """One iteration. Returns scalar terms on the device."""
        shown = self.shown + self.settings.images_per_iteration
        terms = self.steps.iterate(feed, self.iteration, shown)
        self.iteration, self.shown = self.iteration + 1, shown
        return terms

    def samples(self) -> NDArray[np.uint8]:
        """The grid's samples from the averaged generator, its noise fixed or drawn anew every so many updates.

        With labels, each row has a combination of its own, and each column the same latents in every row.
        """
        grid = self.settings.grid
        draw = self.iteration // grid.refresh_every if grid.refresh_every else 0
        latents, labels = draw_grid(
            self.settings.latent,
            self.seen["condition"],
            grid.rows,
            grid.columns,
            random_generator(self.settings.seed, "grid", draw),
        )
        return self._images(latents, labels)

    def sample(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Images of the averaged generator, uint8 (count, size, size, 3), labelled as the training images are.

        The draws are those of `TrainedGenerator.sample`, and nothing else's.
        """
        latents = draw_latents(self.settings.latent, count, random_generator(seed, "samples", 0))
        return self._images(latents, draw_labels(self.seen["condition"], count, random_generator(seed, "labels", 0)))

    def _images(self, latents: Tensor, labels: Tensor) -> NDArray[np.uint8]:
        parts = []
        with torch.inference_mode(), self.hardware.autocast():
            for z, label in zip(torch.split(latents, 64), torch.split(labels, 64), strict=True):
                generator = conditioned(self.players.average, self.hardware.send(label))
                parts.append(to_uint8(generator(self.hardware.send(z))))
        return np.concatenate(parts)

    def tick(self, rows: list[dict[str, float]], *, finished: bool) -> Tick:
        """Everything that is saved at this moment."""
        samples = self.samples()
        if rows:
            rows[-1] |= self.health.examine(self.shown, rows, samples) | self._measured(finished=finished)
            rows[-1] |= self.hardware.peak_memory()
        common: dict[str, Any] = {
            "id": self.id,
            "images": self.shown,
            "finished": finished,
            "init_from": self.origin,
            "best": self.best.card(),
            **self.seen,
        }
        network: dict[str, Any] = {
            **common,
            "network": self.settings.network.model_dump(mode="json"),
            "latent": self.settings.latent.model_dump(mode="json"),
            "objective": self.settings.objective.name,
            "probability": self.steps.objective.probability,
        }
        state = {
            **network,
            "iteration": self.iteration,
            "course": sorted({*self.course} - {self.shown}),  # the images shown before each state on the way here
            "identity": self.settings.identity(),
            "hardware": self.hardware.card(),
            "health": self.health.card(),
            "keep": {"states": self.settings.keep_states, "best": self.settings.keep_best},
        }
        since = self.course[-1] if self.course else 0
        self.course.append(self.shown)
        return Tick(
            images=self.shown,
            since=since,
            rows=rows,
            samples=samples,
            generator=Checkpoint("generator", network, self.players.average.state_dict()),
            discriminator=Checkpoint("discriminator", network, self.players.discriminator.state_dict()),
            state=Checkpoint("training_state", state, self.players.tensors() | self.steps.tensors()),
        )

    def _measured(self, *, finished: bool) -> dict[str, float]:
        """What this tick's measurement says; nothing where none is due."""
        if self.measure is None or not is_measured(self.settings, self.shown, finished=finished):
            return {}
        measured = self.measure(self.sample)
        self.best.compare(measured, self.shown)
        return {name: float(value) for name, value in measured.items() if math.isfinite(value)}
