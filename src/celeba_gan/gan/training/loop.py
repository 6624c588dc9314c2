"""The training loop.

The clock is images seen by the discriminator. An iteration is `n_critic` discriminator steps and one generator step;
the loop stops only between two of them. A tick is what is saved: the metric rows since the last one, samples, and the
snapshot from which the run resumes exactly.
"""

import logging
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.cores import Contention
from celeba_gan.foundation.pixels import to_uint8
from celeba_gan.gan.inputs.conditions import Conditions, conditioned, draw_grid, draw_samples
from celeba_gan.gan.inputs.feed import ImageFeed, TrainingImages
from celeba_gan.gan.inputs.randomness import random_generator
from celeba_gan.gan.runs.cards import HealthCard, ImagesCard, Keep, ModelCard, Origin, RunCard
from celeba_gan.gan.runs.initial import InitialWeights
from celeba_gan.gan.runs.resume import TrainingError, check_resumed_from, check_same_run
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Networks, Snapshot, networks_of
from celeba_gan.gan.runtime.hardware import Hardware, choose_hardware, explained_out_of_memory
from celeba_gan.gan.runtime.signals import StopSignal
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.best import Best, Measure
from celeba_gan.gan.training.clock import Clock
from celeba_gan.gan.training.estimate import Estimate
from celeba_gan.gan.training.health import Health
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps
from celeba_gan.gan.training.term_log import TermLog
from celeba_gan.gan.training.together import Stopping, are_alike, check_alike, check_batch
from celeba_gan.ranks.group import ALONE, Ranks

__all__ = ["Tick", "TrainingError", "train"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tick:
    """What one tick saves. The snapshot holds the live tensors: save it before the next tick, or copy it."""

    images: int
    since: int  # images at the tick before; this one's where it is saved again
    rows: list[dict[str, float]]
    samples: NDArray[np.uint8]  # (rows x columns, size, size, 3)
    snapshot: Snapshot

    @property
    def networks(self) -> Networks:
        """The pair inside the snapshot, live."""
        return networks_of(self.snapshot.card.of_networks(), self.snapshot.tensors)


class Stateful(Protocol):
    """What a snapshot saves as tensors."""

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors, live, by names that nothing else uses."""

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Resumes from a snapshot's tensors; those of others are ignored."""


def train(
    images: TrainingImages,
    settings: TrainSettings,
    resumed: Snapshot | None = None,
    progress: Callable[[int, int], None] | None = None,
    conditions: Conditions | None = None,
    measure: Measure | None = None,
    initial: InitialWeights | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Tick]:
    """Trains a pair of networks and yields a tick at the start, every `tick_kimg`, and when it ends or is stopped.

    Of several ranks, each computes its rows of every batch, and rank 0 alone yields; the others take the snapshot and
    the initial weights from it.

    Args:
        images: The training images are its split `train`.
        settings: All of them; see `TrainSettings`.
        resumed: The snapshot to resume from. A run that was stopped and resumed gives the same weights as one that was
            not: bit for bit on one kind of machine, torch version, precision and thread count.
        progress: Called after each iteration with the images seen so far and in all.
        conditions: The labels of all images, for conditional networks.
        measure: Called every `evaluate_every_kimg` with a function that samples from the averaged generator; what it
            returns goes into the tick's last row. It does not affect the weights.
        initial: Weights to start from instead of fresh ones, with fresh optimisers and the clock at 0. Ignored when a
            training is resumed.
        ranks: The processes that train together.

    Raises:
        NetworkError: The network does not exist at the images' size, or the random crop does not fit into them.
        FeedError: The images do not fit into the device's memory, where that was requested.
        CheckpointError: The initial weights are not what their card says.
        TrainingError: The snapshot belongs to another run, the initial weights to other networks, memory ran out, or a
            value became NaN or infinite. The last tick is then intact: an iteration that broke off in the middle is not
            a state to resume from.
        KeyboardInterrupt: After Ctrl-C, once the last tick has been yielded.
        SystemExit: After another signal that ends a program, likewise.
        RanksError: Another rank sees other images, computes otherwise, ended, or does not answer.
    """
    check_batch(ranks, settings.batch_size)
    conditions = conditions or Conditions.none()
    images_card = ImagesCard(
        size=settings.network_size(images.size),
        random_crop=settings.random_crop,
        data_digest=images.digest,
        condition=conditions.card(*images.split("train")),
    )
    card = resumed.card if resumed else None
    if ranks.leads:
        check_resumed_from(settings.resume_from, card)
        if card is not None:
            check_same_run(settings.identity(), images_card, card)
        elif initial is not None:
            initial.check(settings.network, settings.latent, images_card)
        first, end = images.split("train")
        if card is None and (too_few := settings.augment.find_too_few(end - first)) is not None:
            logger.warning("%s", too_few)
    if (known := ranks.from_leader(card.to_json() if card else None)) is not None and not ranks.leads:
        card = RunCard.from_json(known, "rank 0's snapshot")
    hardware = choose_hardware(settings, card.hardware if card else None, gathers_pixels=settings.augment.name == "ada")
    check_alike(ranks, hardware, images_card)
    feed = ImageFeed(settings, images, hardware, conditions, ranks=ranks)
    health = Health(feed.reals(256), card.health if card else None) if ranks.leads else None
    training = _Training(settings, hardware, images_card, card, health, measure, ranks)
    if resumed is not None:
        training.load(resumed.tensors)
    elif initial is not None:
        training.start_from(initial)
    training.take_from_leader()
    if training.steps.augmentation.needs_valid:
        training.steps.valid = ImageFeed(settings, images, hardware, conditions, "valid", ranks)
    clock = training.clock
    if training.images >= clock.length:
        if not ranks.leads:
            return
        logger.info(
            "Nothing to train: the networks have seen %d images, and train.kimg is %g thousand. "
            "Give a larger train.kimg, or start anew with --params train.resume=false",
            training.images,
            settings.kimg,
        )
        training.best.card = card.best if card else None  # other settings of the measurement forget nothing here
        yield training.tick([])
        return
    if card is None:
        if ranks.leads:
            yield training.tick([])
    else:
        logger.info("Resuming from the snapshot at %d images, up to %d", training.images, clock.length)
        if settings.init_from is not None:
            logger.info("Ignoring train.init_from: this run resumes from a snapshot")

    log = TermLog(training.pair.learning_rate)
    saved, advice = training.images, settings.smaller_batch()
    if training.steps.graphs.works:  # what they hold is lost to the steps that are not recorded yet
        advice += ". CUDA graphs need memory of their own: train.graphs=false gives it back"
    estimate = Estimate(clock, training.images, hardware.device)
    threads = hardware.threads if hardware.device == "cpu" else 1  # on a GPU the host's threads wait for nothing
    contention = Contention(threads, " (a resumed training: also train.threads=1)")
    with StopSignal() as stop:
        stopping = Stopping(stop, ranks)
        while training.images < clock.length and not stopping.now(training.images):
            end = clock.next_tick(training.images)
            log.start(training.images)
            while training.images < end and not stopping.now(training.images):
                images_after = training.images + clock.iteration
                # For reproducible bits: autograd sums gradients in the order of the forward operations' numbers, which
                # each thread counts for itself. On CUDA, backward runs in another thread, so a penalty's numbers there
                # would depend on everything the process did before.
                with explained_out_of_memory(advice), torch.autograd.set_multithreading_enabled(False):
                    terms = training.steps.iterate(feed, training.iteration, images_after)
                training.iteration, training.images = training.iteration + 1, images_after
                log.add(training.images, terms)
                estimate.iterated(training.images)
                contention.look()
                if progress is not None:
                    progress(training.images, clock.length)
            # The loop waits for the device here, once a tick.
            rows, broken = log.rows(settings.rows_per_tick, training.average if ranks.several else None)
            if broken is not None:
                error = TrainingError(
                    f"{broken.term} became {broken.value} after {broken.images} images. Weights were not updated; the "
                    f"last snapshot ({saved} images) is intact. Lower the learning rates or raise the penalty's "
                    "weight, then run the same command again to resume from it, or start anew with "
                    "--params train.resume=false"
                )
                raise ranks.agreed(error)
            training.keep_alike()
            if ranks.leads:
                yield training.tick(rows)
            ranks.wait()  # not in the next step's sum, which on CUDA would not say who is late
            saved = training.images
        if stop.received is not None:
            ranks.outlive_leader()
            stop.raise_if_received()


class _Training:
    """A training in progress: its clock, its networks and steps, and what a tick saves of them."""

    def __init__(
        self,
        settings: TrainSettings,
        hardware: Hardware,
        images_card: ImagesCard,
        card: RunCard | None,
        health: Health | None,
        measure: Measure | None,
        ranks: Ranks,
    ) -> None:
        """Of the snapshot's card, if it is resumed. Ranks that do not lead watch no `health`."""
        self.settings, self.hardware, self.clock = settings, hardware, Clock.of(settings)
        self.images_card, self.health, self.measure, self.ranks = images_card, health, measure, ranks
        condition = self.condition = images_card.condition
        self.pair = Pair(settings, images_card.size, hardware, len(condition.names) if condition else None, ranks)
        settings.check_combination(self.pair.with_batch_norm)
        self.steps = Steps(settings, hardware, self.pair, ranks=ranks)
        self.stateful: list[Stateful] = [self.pair, self.steps.augmentation]
        self.id = card.id if card else uuid.uuid4().hex
        self.images = card.images if card else 0
        self.iteration = card.iteration if card else 0
        self.history = [*card.history, card.images] if card else []
        self.origin: Origin | None = card.init_from if card else None
        measured = self.clock.measure_every is not None
        self._drifted = False
        self.best = Best(settings.evaluate_images, card.best if card else None, measured=measured)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Resumes from a snapshot's tensors.

        Raises:
            TrainingError: They are not those that its card describes.
        """
        try:
            for part in self.stateful:
                part.load_state_dict(tensors)
        except (RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise TrainingError(
                f"The snapshot at {self.images:,} images has other tensors than its card describes "
                f"({reason[:300]}). Restore it, or start anew with another experiment name"
            ) from error

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor that a snapshot saves, live."""
        return {name: tensor for part in self.stateful for name, tensor in part.state_dict().items()}

    def take_from_leader(self) -> None:
        """Gives this rank the state of rank 0."""
        if self.ranks.several:
            tensors = self.ranks.tensors_from_leader(self.state_dict())
            if not self.ranks.leads:
                self.load(tensors)

    def keep_alike(self) -> None:
        """Sees to it that a rank whose arithmetic differs in the last bits does not drift away, nor a resumed run."""
        if not self.ranks.several or are_alike(self.ranks, self.state_dict().values()):
            return
        if not self._drifted:
            logger.warning("The ranks compute on processors that round differently: all go on with rank 0's weights")
        self._drifted = True
        self.take_from_leader()

    def average(self, terms: Tensor) -> None:
        """Makes this rank's terms of the losses those of the whole batch, in place."""
        batch = self.settings.batch_size
        rows = self.ranks.rows(batch)
        terms *= (rows.stop - rows.start) / batch
        self.ranks.sum_([terms])

    def start_from(self, initial: InitialWeights) -> None:
        """Gives the pair the weights of an earlier training."""
        initial.load_into(self.pair.networks)
        self.pair.clip_weights()
        self.origin = Origin(id=initial.card.id, images=initial.card.images)
        logger.info("Starting from the weights in %s, trained on %d images", initial.source, self.origin.images)

    def tick(self, rows: list[dict[str, float]]) -> Tick:
        """Everything that is saved at this moment."""
        samples = self._grid()
        if rows and self.health is not None:
            rows[-1] |= self.health.examine(self.images, rows, samples) | self._measured()
            rows[-1] |= self.hardware.peak_memory(graphs=self.steps.graphs.works)
        since = self.history[-1] if self.history else 0
        tick = Tick(self.images, since, rows, samples, Snapshot(SNAPSHOT, self._card(), self.state_dict()))
        self.history.append(self.images)
        return tick

    def _card(self) -> RunCard:
        settings = self.settings
        networks = ModelCard(
            id=self.id,
            images=self.images,
            finished=self.images >= self.clock.length,
            init_from=self.origin,
            best=self.best.card,
            **dict(self.images_card),
            network=settings.network,
            latent=settings.latent,
            objective=settings.objective.name,
            probability=self.steps.objective.probability,
        )
        return RunCard.extend(
            networks,
            iteration=self.iteration,
            history=sorted({*self.history} - {self.images}),
            identity=settings.identity(),
            hardware=self.hardware.card(),
            health=self.health.card if self.health else HealthCard(),
            keep=Keep(states=settings.keep_states, best=settings.keep_best),
        )

    def _grid(self) -> NDArray[np.uint8]:
        """The grid's samples from the averaged generator, its noise fixed or drawn anew every so many updates."""
        grid = self.settings.grid
        draw = self.iteration // grid.refresh_every if grid.refresh_every else 0
        generator = random_generator(self.settings.seed, "grid", draw)
        return self._images(*draw_grid(self.settings.latent, self.condition, grid.rows, grid.columns, generator))

    def _sample(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Images of the averaged generator, uint8 (count, size, size, 3), labelled as the training images are."""
        return self._images(*draw_samples(self.settings.latent, self.condition, count, seed))

    def _images(self, latents: Tensor, labels: Tensor) -> NDArray[np.uint8]:
        parts = []
        with torch.inference_mode(), self.hardware.autocast():
            for z, label in zip(torch.split(latents, 64), torch.split(labels, 64), strict=True):
                generator = conditioned(self.pair.average, self.hardware.send(label))
                parts.append(to_uint8(generator(self.hardware.send(z))))
        return np.concatenate(parts)

    def _measured(self) -> dict[str, float]:
        """This tick's measurement; nothing where none is due."""
        if self.measure is None or not self.clock.is_measured(self.images):
            return {}
        measured = self.measure(self._sample)
        self.best.compare(measured, self.images)
        return {name: float(value) for name, value in measured.items() if math.isfinite(value)}
