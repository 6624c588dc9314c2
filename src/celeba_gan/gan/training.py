"""The training loop.

The clock is images shown to the discriminator. An iteration is `n_critic` discriminator steps and one generator step;
the loop stops only between two of them. A tick is what is saved: the metric rows since the last one, samples, the
networks and the state from which the run carries on exactly.
"""

import logging
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.gan.augment import AugmentNoise, augment, draw
from celeba_gan.gan.augment_control import AdaController, score_sums
from celeba_gan.gan.checkpoint import Checkpoint
from celeba_gan.gan.config import TrainSettings
from celeba_gan.gan.feed import ImageFeed, TrainingImages
from celeba_gan.gan.hardware import Hardware, choose_hardware
from celeba_gan.gan.interrupt import StopSignal
from celeba_gan.gan.metering import Meter
from celeba_gan.gan.objectives import OBJECTIVES, Terms
from celeba_gan.gan.penalties import Penalty
from celeba_gan.gan.players import Players
from celeba_gan.gan.randomness import draw_latents, random_generator
from celeba_gan.gan.schedules import factor
from celeba_gan.gan.trained import as_uint8

logger = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """Training cannot start, carry on or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Tick:
    """What one tick saves. The checkpoints hold the live tensors: save them before the next tick, or copy them."""

    images: int
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
) -> Iterator[Tick]:
    """Trains a pair of networks and yields a tick at the start, every `tick_kimg`, and when it ends or is stopped.

    Args:
        images: The training images are its split `train`.
        settings: All of them; see `TrainSettings`.
        resumed: The state to carry on from. A run that was stopped and resumed gives the same weights as one that was
            not: bit for bit on one kind of machine, torch version, precision and thread count.
        progress: Called after each iteration with the images shown so far and in all.

    Raises:
        NetworkError: The network does not exist at the images' size, or the random crop does not fit into them.
        FeedError: The images do not fit into the device's memory, where they were asked to be.
        TrainingError: The state belongs to another run, or a value became NaN or infinite. The last tick then stands:
            an iteration that broke off in the middle is no state to carry on from.
        KeyboardInterrupt: After Ctrl-C, once the last tick has been yielded.
        SystemExit: After SIGTERM, likewise.
    """
    size = settings.network_size(images.size)
    if resumed is not None:
        _check_same_run(settings, size, images.digest, resumed.card)
    hardware = choose_hardware(settings, resumed.card["hardware"] if resumed else None)
    players = Players(settings, size, hardware, resumed)
    seen = {"size": size, "random_crop": settings.random_crop, "data_digest": images.digest}
    run = _Run(settings, hardware, players, seen, resumed)
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
    feed = ImageFeed(settings, images, hardware)
    if resumed is None:
        yield run.tick([], finished=False)

    meter = Meter(players.generator_optimizer, players.discriminator_optimizer)
    saved = run.shown
    with StopSignal() as stop:
        while run.shown < length and stop.received is None:
            tick_images = settings.tick_kimg * 1000
            end = min(length, (run.shown // tick_images + 1) * tick_images)
            meter.start(run.shown)
            while run.shown < end and stop.received is None:
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
    """A training under way: its clock, its draws and its two kinds of step."""

    def __init__(
        self,
        settings: TrainSettings,
        hardware: Hardware,
        players: Players,
        seen: dict[str, Any],
        resumed: Checkpoint | None,
    ) -> None:
        self.settings = settings
        self.hardware = hardware
        self.players = players
        self.seen = seen  # what every card says of the images
        self.objective = OBJECTIVES[settings.objective.name]()
        self.penalty = Penalty(settings.penalty)
        self.augmentation = AdaController(settings.augment, self.objective.probability == "sigmoid", hardware.device)
        if resumed is not None and "augment.p" in resumed.tensors:
            self.augmentation.restore(resumed.tensors)
        self._share = (settings.micro_batch or settings.batch_size) / settings.batch_size
        card = resumed.card if resumed is not None else {}
        self.id: str = card.get("id", uuid.uuid4().hex)
        self.shown: int = card.get("images", 0)
        self.iteration: int = card.get("iteration", 0)

    def iterate(self, feed: ImageFeed) -> Terms:
        """One iteration. Returns scalar terms on the device; the discriminator's are means over its steps."""
        self.players.set_learning_rates(self.shown + self.settings.images_per_iteration)
        steps, self.scores = [], torch.zeros_like(self.augmentation.sums)
        for step in range(self.iteration * self.settings.n_critic, (self.iteration + 1) * self.settings.n_critic):
            real = feed.batch(step)
            steps.append(self._discriminator_step(step, real))
        terms = _mean_terms(steps) | self._generator_step(real)
        self.iteration += 1
        images = self.settings.images_per_iteration
        self.augmentation.advance(self.scores, self.iteration, images, self.players.broken)
        if self.augmentation.steered:
            terms["augment_p"] = self.augmentation.p.clone()
        self.shown += images
        self.players.update_average(self.shown)
        return terms

    def _discriminator_step(self, step: int, real: Tensor) -> Terms:
        """Draws are made for the whole batch; each micro-batch takes its slice and adds its share of the gradient."""
        players, penalised = self.players, self.penalty.is_due(step)
        latents = self._latents("discriminator", step)
        changes = self._changes("reals", step), self._changes("fakes", step)
        epsilon = self._epsilon(step) if penalised else torch.zeros(len(real))
        counts = self._penalty_counts() if penalised else 0.0
        parts = []
        for shown, z, mix, *noise in self._micro_batches(real, latents, epsilon, *changes[0], *changes[1]):
            with torch.no_grad(), self.hardware.autocast():
                fake = self._augment(players.generator(z).float(), noise[2:])
            shown = self._augment(shown, noise[:2])
            with self.hardware.autocast():
                terms = self.objective.discriminator(players.discriminator, shown, fake)
                on_real, on_fake = terms.pop("on_real"), terms.pop("on_fake")
                if penalised:
                    terms |= self.penalty(players.discriminator, shown, fake, mix, on_real)
            self.scores += score_sums(on_real, on_fake, None, self.augmentation.has_zero)
            loss = terms.pop("loss")
            loss = loss + counts * terms["penalty"] if penalised else loss
            players.backward_discriminator(loss * self._share)
            scores = {"score_real": on_real.mean(), "score_fake": on_fake.mean()}
            parts.append({"discriminator_loss": loss, **scores, **terms})
        gradient = players.step_discriminator()
        return _mean_terms(parts) | {"discriminator_gradient": gradient}

    def _generator_step(self, real: Tensor) -> Terms:
        players, parts = self.players, []
        latents, step = self._latents("generator", self.iteration), self.iteration
        changes = self._changes("generator's fakes", step), self._changes("generator's reals", step)
        for shown, z, *noise in self._micro_batches(real, latents, *changes[0], *changes[1]):
            with self.hardware.autocast():
                fake = self._augment(players.generator(z), noise[:2])
                shown = self._augment(shown, noise[2:])
                loss = self.objective.generator(players.discriminator, shown, fake)["loss"]
            players.backward_generator(loss * self._share)
            parts.append({"generator_loss": loss})
        gradient = players.step_generator()
        return _mean_terms(parts) | {"generator_gradient": gradient}

    def _micro_batches(self, *draws: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The global batch's tensors, cut into micro-batches."""
        size = self.settings.micro_batch or self.settings.batch_size
        return zip(*(torch.split(draw, size) for draw in draws), strict=True)

    def _changes(self, purpose: str, step: int) -> tuple[Tensor, Tensor]:
        """The draws that decide how each image of the global batch is augmented."""
        settings, generator = self.settings, random_generator(self.settings.seed, f"augmentation of {purpose}", step)
        noise = draw(settings.augment, settings.batch_size, generator).to(self.hardware.send)
        return noise.chance, noise.amount

    def _augment(self, images: Tensor, noise: Sequence[Tensor]) -> Tensor:
        return augment(images, AugmentNoise(*noise), self.settings.augment, self.augmentation.p)

    def _penalty_counts(self) -> float:
        """How often a penalised step's penalty counts: for the steps without one, and as its schedule says."""
        penalty = self.settings.penalty
        return penalty.every * factor(penalty.schedule, self.shown + self.settings.images_per_iteration)

    def _epsilon(self, step: int) -> Tensor:
        generator = random_generator(self.settings.seed, "epsilon", step)
        return self.hardware.send(torch.rand(self.settings.batch_size, generator=generator))

    def _latents(self, purpose: str, index: int) -> Tensor:
        generator = random_generator(self.settings.seed, f"latents of the {purpose}", index)
        return self.hardware.send(draw_latents(self.settings.latent, self.settings.batch_size, generator))

    def samples(self) -> NDArray[np.uint8]:
        """The grid's samples from the averaged generator, its noise fixed or drawn anew every so many updates."""
        grid = self.settings.grid
        draw = self.iteration // grid.refresh_every if grid.refresh_every else 0
        latents = draw_latents(
            self.settings.latent, grid.rows * grid.columns, random_generator(self.settings.seed, "grid", draw)
        )
        with torch.inference_mode(), self.hardware.autocast():
            parts = [as_uint8(self.players.average(self.hardware.send(part))) for part in torch.split(latents, 64)]
        return np.concatenate(parts)

    def tick(self, rows: list[dict[str, float]], *, finished: bool) -> Tick:
        """Everything that is saved at this moment."""
        common: dict[str, Any] = {
            "id": self.id,
            "images": self.shown,
            "finished": finished,
            **self.seen,
        }
        network: dict[str, Any] = {
            **common,
            "network": self.settings.network.model_dump(mode="json"),
            "latent": self.settings.latent.model_dump(mode="json"),
            "objective": self.settings.objective.name,
            "probability": self.objective.probability,
        }
        state = {
            **common,
            "iteration": self.iteration,
            "identity": self.settings.identity(),
            "hardware": self.hardware.card(),
        }
        return Tick(
            images=self.shown,
            rows=rows,
            samples=self.samples(),
            generator=Checkpoint("generator", network, self.players.average.state_dict()),
            discriminator=Checkpoint("discriminator", network, self.players.discriminator.state_dict()),
            state=Checkpoint("training_state", state, self.players.tensors() | self.augmentation.tensors()),
        )


def _mean_terms(parts: list[Terms]) -> Terms:
    """The mean of each term over those parts that have it, detached."""
    names = dict.fromkeys(name for terms in parts for name in terms)
    return {name: torch.stack([terms[name].detach() for terms in parts if name in terms]).mean() for name in names}


def _check_same_run(settings: TrainSettings, size: int, digest: str, card: dict[str, Any]) -> None:
    """Refuses to carry on another run, naming both values of each difference and the way out.

    A setting that the saved state lacks, because it did not exist yet, had its default.
    """
    now = _flatten({**settings.identity(), "image size": size})
    before = {name: value for name, value in _flatten(_defaults(settings)).items() if name in now}
    before |= _flatten({**card["identity"], "image size": card["size"]})
    differences = [
        f"  {name}: {before.get(name, 'absent')} in the saved state, {now.get(name, 'absent')} now"
        for name in sorted(before.keys() | now.keys())
        if name not in before or name not in now or before[name] != now[name]
    ]
    if card["data_digest"] != digest:
        differences.append(
            f"  packed images: digest {card['data_digest'][:12]} in the saved state, {digest[:12]} now "
            "(another source, split, crop or size)"
        )
    if differences:
        raise TrainingError(
            "The saved training state belongs to another run:\n"
            + "\n".join(differences)
            + "\nGive the values of the saved state to carry it on; or keep both runs with --params experiment=NAME "
            "(and dataset=NAME where the images differ); or start anew with --params train.resume=false (the old "
            "results are set aside, not deleted)"
        )


def _defaults(settings: TrainSettings) -> dict[str, Any]:
    """The identity of a training that was told nothing but its network's name and what it must be told."""
    needed = {
        name: getattr(settings, name) for name, field in TrainSettings.model_fields.items() if field.is_required()
    }
    return TrainSettings.model_validate(
        {**needed, "network": {"name": settings.network.name}, "n_critic": 1}
    ).identity()


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
