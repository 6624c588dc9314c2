"""One iteration: `n_critic` discriminator steps and one generator step, each in micro-batches, with all their draws."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from celeba_gan.gan.augment.controller import AdaController, score_sums
from celeba_gan.gan.augment.transforms import AugmentNoise, augment, draw
from celeba_gan.gan.inputs.conditions import conditioned
from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.losses.objectives import OBJECTIVES, Terms
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.schedule import factor
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.health import auc
from celeba_gan.gan.training.players import Players


class Steps:
    """Both kinds of step. They keep nothing but what moves: the players, and the strength of augmentation.

    Draws are functions of the seed and the step, made for the whole batch; each micro-batch takes its slice. Fakes get
    the labels of the reals beside them, so that pairs, and the mixtures of the gradient penalty, are of one label.
    """

    valid: ImageFeed | None = None
    """Images of the valid split, where `augmentation.needs_valid`."""

    def __init__(self, settings: TrainSettings, hardware: Hardware, players: Players) -> None:
        self.settings = settings
        self.hardware = hardware
        self.players = players
        self.objective = OBJECTIVES[settings.objective.name]()
        self.penalty = Penalty(settings.penalty)
        self.augmentation = AdaController(settings.augment, self.objective.probability == "sigmoid", hardware.device)
        self._scores = torch.zeros_like(self.augmentation.sums)  # of this iteration, for what steers augmentation
        self._share = (settings.micro_batch or settings.batch_size) / settings.batch_size
        compiler = Compiler(hardware.compiled)
        self._discriminator_terms = compiler.wrap(
            self.discriminator_terms,
            lambda terms: players.discriminator_gradients(terms["loss"] + terms.get("penalty", 0)),
        )
        self._generator_loss = compiler.wrap(self.generator_loss, players.generator_gradients)

    def tensors(self) -> Terms:
        """What the training state keeps beside the players, live."""
        return self.augmentation.tensors()

    def restore(self, tensors: Terms) -> None:
        """Carries on from a saved state; states of before there was augmentation have none."""
        if "augment.p" in tensors:
            self.augmentation.restore(tensors)

    def iterate(self, feed: ImageFeed, iteration: int, shown: int) -> Terms:
        """One iteration.

        Args:
            feed: Gives the real images of every discriminator step.
            iteration: Its number, from 0.
            shown: Images shown to the discriminator when it ends.

        Returns:
            Scalar terms on the device; the discriminator's are means over its steps.
        """
        # Gradients that meet are added in the order in which their forward steps were numbered, and each thread counts
        # for itself. On CUDA, backward passes have a thread of their own, where a penalty's gradient takes its numbers:
        # the order, and with it the last bits, would depend on all that the process did before.
        with torch.autograd.set_multithreading_enabled(False):
            return self._iterate(feed, iteration, shown)

    def _iterate(self, feed: ImageFeed, iteration: int, shown: int) -> Terms:
        n_critic = self.settings.n_critic
        self.players.set_learning_rates(shown)
        self._scores.zero_()
        steps = []
        for step in range(iteration * n_critic, (iteration + 1) * n_critic):
            real, labels = feed.batch(step)
            steps.append(self._discriminator_step(step, shown, real, labels))
        terms = _mean_terms(steps) | self._generator_step(iteration, real, labels)
        if self.valid is not None:
            self._score_valid(self.valid, iteration)
        self.augmentation.advance(self._scores, iteration + 1, self.settings.images_per_iteration, self.players.broken)
        if self.augmentation.steered:
            terms["augment_p"] = self.augmentation.p.clone()
        self.players.update_average(shown)
        return terms

    def _discriminator_step(self, step: int, shown: int, real: Tensor, labels: Tensor) -> Terms:
        penalised = self.penalty.is_due(step)
        latents = self._latents("discriminator", step)
        changes = self._changes("reals", step), self._changes("fakes", step)
        epsilon = self._epsilon(step) if penalised else torch.zeros(len(real), device=real.device)
        counts = self._penalty_counts(shown) if penalised else 0.0
        parts = []
        for images, label, z, mix, *noise in self._micro_batches(
            real, labels, latents, epsilon, *changes[0], *changes[1]
        ):
            terms = self._discriminator_terms(images, label, z, mix, noise, penalised)
            on_real, on_fake = terms.pop("on_real"), terms.pop("on_fake")
            self._scores += score_sums(on_real, on_fake, None, self.augmentation.has_zero)
            loss = terms.pop("loss")
            loss = loss + counts * terms["penalty"] if penalised else loss
            self.players.backward_discriminator(loss * self._share)
            scores = {"score_real": on_real.mean(), "score_fake": on_fake.mean()}
            parts.append({"discriminator_loss": loss, **scores, "auc": auc(on_real, on_fake), **terms})
        gradient = self.players.step_discriminator()
        return _mean_terms(parts) | {"discriminator_gradient": gradient}

    def discriminator_terms(
        self, real: Tensor, labels: Tensor, z: Tensor, mix: Tensor, noise: Sequence[Tensor], penalised: bool
    ) -> Terms:
        """The terms of the discriminator's loss on one micro-batch; all noise comes as arguments."""
        with torch.no_grad(), self.hardware.autocast():
            fake = self._augment(conditioned(self.players.generator, labels)(z).to(real.dtype), noise[2:])
        real = self._augment(real, noise[:2])
        discriminator = conditioned(self.players.discriminator, labels)
        with self.hardware.autocast():
            terms = self.objective.discriminator(discriminator, real, fake)
            if penalised:
                terms |= self.penalty(discriminator, real, fake, mix, terms["on_real"])
        return terms

    def _score_valid(self, valid: ImageFeed, iteration: int) -> None:
        """Notes how the discriminator scores a batch that it never learns from, augmented as the reals are."""
        noise = self._changes("valid images", iteration)
        with torch.no_grad(), self.hardware.autocast():
            for images, label, *change in self._micro_batches(*valid.batch(iteration), *noise):
                scores = conditioned(self.players.discriminator, label)(self._augment(images, change))
                self._scores += score_sums(scores[:0], scores[:0], scores, self.augmentation.has_zero)

    def _generator_step(self, iteration: int, real: Tensor, labels: Tensor) -> Terms:
        latents, parts = self._latents("generator", iteration), []
        changes = self._changes("generator's fakes", iteration), self._changes("generator's reals", iteration)
        for images, label, z, *noise in self._micro_batches(real, labels, latents, *changes[0], *changes[1]):
            loss = self._generator_loss(images, label, z, noise)
            self.players.backward_generator(loss * self._share)
            parts.append({"generator_loss": loss})
        gradient = self.players.step_generator()
        return _mean_terms(parts) | {"generator_gradient": gradient}

    def generator_loss(self, real: Tensor, labels: Tensor, z: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """The generator's loss on one micro-batch."""
        with self.hardware.autocast():
            fake = self._augment(conditioned(self.players.generator, labels)(z), noise[:2])
            real = self._augment(real, noise[2:])
            return self.objective.generator(conditioned(self.players.discriminator, labels), real, fake)["loss"]

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

    def _penalty_counts(self, shown: int) -> float:
        """How often a penalised step's penalty counts: for the steps without one, and as its schedule says."""
        penalty = self.settings.penalty
        return penalty.every * factor(penalty.schedule, shown)

    def _epsilon(self, step: int) -> Tensor:
        generator = random_generator(self.settings.seed, "epsilon", step)
        return self.hardware.send(torch.rand(self.settings.batch_size, generator=generator))

    def _latents(self, purpose: str, index: int) -> Tensor:
        generator = random_generator(self.settings.seed, f"latents of the {purpose}", index)
        return self.hardware.send(draw_latents(self.settings.latent, self.settings.batch_size, generator))


def _mean_terms(parts: list[Terms]) -> Terms:
    """The mean of each term over those parts that have it, detached."""
    names = dict.fromkeys(name for terms in parts for name in terms)
    return {name: torch.stack([terms[name].detach() for terms in parts if name in terms]).mean() for name in names}
