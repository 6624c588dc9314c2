"""One iteration: `n_critic` discriminator steps and one generator step, each in micro-batches, with all their draws."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from celeba_gan.gan.augment.controller import AdaController, score_sums
from celeba_gan.gan.augment.transforms import AugmentNoise, augment, draw
from celeba_gan.gan.inputs.conditions import conditioned
from celeba_gan.gan.inputs.feed import Feed
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import Terms, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.layers import Discriminator
from celeba_gan.gan.networks.piecewise_linear import is_piecewise_linear
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.schedule import factor
from celeba_gan.gan.settings import StepSettings
from celeba_gan.gan.training.health import auc
from celeba_gan.gan.training.pair import Pair


class Steps:
    """Both kinds of step. They update the pair and the strength of augmentation.

    Draws are functions of the seed and the step, made for the whole batch; each micro-batch takes its slice. Fakes get
    the labels of the reals beside them, so that pairs, and the mixtures of the gradient penalty, are of one label.
    """

    valid: Feed | None = None  # images of the valid split, where `augmentation.needs_valid`

    def __init__(self, settings: StepSettings, hardware: Hardware, pair: Pair) -> None:
        self.settings = settings
        self.hardware = hardware
        self.pair = pair
        self.objective = make_objective(settings.objective.name)
        self.penalty = Penalty(settings.penalty)
        self.loss = DiscriminatorLoss(self.objective, self.penalty)
        self.augmentation = AdaController(settings.augment, self.objective.probability == "sigmoid", hardware.device)
        self._scores = torch.zeros_like(self.augmentation.sums)  # of this iteration, for the augmentation's controller
        self._share = (settings.micro_batch or settings.batch_size) / settings.batch_size
        compiler = Compiler(hardware.compiled)
        self._passes = is_piecewise_linear(pair.discriminator)
        self._discriminator_terms = compiler.wrap(
            self.discriminator_terms,
            lambda found: found[1] or _gradients(found[0]["loss"] + found[0].get("penalty", 0), pair.discriminator),
        )
        self._generator_loss = compiler.wrap(self.generator_loss, lambda loss: _gradients(loss, pair.generator))

    def iterate(self, feed: Feed, iteration: int, images: int) -> Terms:
        """Runs one iteration (numbered from 0); `images` is the count seen by the discriminator when it ends.

        Returns:
            Scalar terms on the device; the discriminator's are means over its steps.
        """
        n_critic = self.settings.n_critic
        self.pair.set_learning_rates(images)
        self._scores.zero_()
        steps = []
        for step in range(iteration * n_critic, (iteration + 1) * n_critic):
            real, labels = feed.batch(step)
            steps.append(self.step_discriminator(step, images, real, labels))
        terms = _mean_terms(steps) | self._step_generator(iteration, real, labels)
        if self.valid is not None:
            self._score_valid(self.valid, iteration)
        self.augmentation.advance(self._scores, iteration + 1, self.settings.images_per_iteration, self.pair.broken)
        if self.augmentation.steered:
            terms["augment_p"] = self.augmentation.p.clone()
        self.pair.update_average(images, self.settings.images_per_iteration)
        return terms

    def step_discriminator(self, step: int, images: int, real: Tensor, labels: Tensor) -> Terms:
        """Runs one step of the discriminator, numbered from 0; `images` and what it returns are as in `iterate`."""
        penalised = self.penalty.is_due(step)
        latents = self._latents("discriminator", step)
        noise_real, noise_fake = self._augmentation("reals", step), self._augmentation("fakes", step)
        epsilon = self._epsilon(step) if penalised else torch.zeros(len(real), device=real.device)
        weight = self._penalty_weight(images) if penalised else 0.0
        factor = torch.tensor(weight, device=real.device)
        parts = []
        for x, label, z, mix, *noise in self._micro_batches(real, labels, latents, epsilon, *noise_real, *noise_fake):
            terms, gradients = self._discriminator_terms(x, label, z, mix, noise[:2], noise[2:], factor, penalised)
            on_real, on_fake = terms.pop("on_real"), terms.pop("on_fake")
            self._scores += score_sums(on_real, on_fake, None, self.augmentation.has_zero)
            loss = terms.pop("loss")
            loss = loss + weight * terms["penalty"] if penalised else loss
            if gradients is None:
                self.pair.backward(loss * self._share, self.pair.discriminator)
            else:
                self.pair.add_gradients(gradients, self._share, loss)
            scores = {"score_real": on_real.mean(), "score_fake": on_fake.mean()}
            parts.append({"discriminator_loss": loss, **scores, "auc": auc(on_real, on_fake), **terms})
        gradient = self.pair.step_discriminator()
        return _mean_terms(parts) | {"discriminator_gradient": gradient}

    def discriminator_terms(
        self,
        real: Tensor,
        labels: Tensor,
        z: Tensor,
        epsilon: Tensor,
        noise_real: Sequence[Tensor],
        noise_fake: Sequence[Tensor],
        factor: Tensor,
        penalised: bool,
    ) -> tuple[Terms, dict[str, Tensor] | None]:
        """The terms of the discriminator's loss on one micro-batch; all noise comes as arguments.

        Those of a piecewise-linear one come with the gradient by its parameters, in which `factor` stands before the
        penalty; those of any other are a graph, and come with None.
        """
        network = self.pair.discriminator
        with torch.no_grad(), self.hardware.autocast():
            fake = self._augment(conditioned(self.pair.generator, labels)(z).to(real.dtype), noise_fake)
        real = self._augment(real, noise_real)
        if not self._passes:
            with self.hardware.autocast():
                return self.loss.terms(conditioned(network, labels), real, fake, epsilon, penalised), None
        assert isinstance(network, Discriminator)
        known = labels if labels.shape[1] else None
        dtype = torch.bfloat16 if self.hardware.precision == "bfloat16" else network.score.weight.dtype
        with torch.no_grad():
            return self.loss.gradients(network, known, real, fake, epsilon, factor, penalised, dtype)

    def _step_generator(self, iteration: int, real: Tensor, labels: Tensor) -> Terms:
        latents, parts = self._latents("generator", iteration), []
        noise_real = self._augmentation("generator's reals", iteration)
        noise_fake = self._augmentation("generator's fakes", iteration)
        for x, label, z, *noise in self._micro_batches(real, labels, latents, *noise_real, *noise_fake):
            loss = self._generator_loss(x, label, z, noise[:2], noise[2:])
            self.pair.backward(loss * self._share, self.pair.generator)
            parts.append({"generator_loss": loss})
        gradient = self.pair.step_generator()
        return _mean_terms(parts) | {"generator_gradient": gradient}

    def generator_loss(
        self, real: Tensor, labels: Tensor, z: Tensor, noise_real: Sequence[Tensor], noise_fake: Sequence[Tensor]
    ) -> Tensor:
        """The generator's loss on one micro-batch."""
        with self.hardware.autocast():
            fake = self._augment(conditioned(self.pair.generator, labels)(z), noise_fake)
            real = self._augment(real, noise_real)
            return self.objective.generator(conditioned(self.pair.discriminator, labels), real, fake)["loss"]

    def _score_valid(self, valid: Feed, iteration: int) -> None:
        """Adds the discriminator's scores of a batch that it never learns from, augmented as the reals are."""
        noise = self._augmentation("valid images", iteration)
        with torch.no_grad(), self.hardware.autocast():
            for x, label, *change in self._micro_batches(*valid.batch(iteration), *noise):
                scores = conditioned(self.pair.discriminator, label)(self._augment(x, change))
                self._scores += score_sums(scores[:0], scores[:0], scores, self.augmentation.has_zero)

    def _micro_batches(self, *draws: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The global batch's tensors, cut into micro-batches."""
        size = self.settings.micro_batch or self.settings.batch_size
        return zip(*(torch.split(draw, size) for draw in draws), strict=True)

    def _augmentation(self, purpose: str, step: int) -> AugmentNoise:
        """The draws that decide how each image of the global batch is augmented."""
        generator = random_generator(self.settings.seed, f"augmentation of {purpose}", step)
        noise = draw(self.settings.augment, self.settings.batch_size, generator)
        return AugmentNoise(*(self.hardware.send(numbers) for numbers in noise))

    def _augment(self, images: Tensor, noise: Sequence[Tensor]) -> Tensor:
        return augment(images, AugmentNoise(*noise), self.settings.augment, self.augmentation.p)

    def _penalty_weight(self, images: int) -> float:
        """The factor of a penalised step's penalty: it also counts for the steps without one, and has a schedule."""
        penalty = self.settings.penalty
        return penalty.every * factor(penalty.schedule, images)

    def _epsilon(self, step: int) -> Tensor:
        generator = random_generator(self.settings.seed, "epsilon", step)
        return self.hardware.send(torch.rand(self.settings.batch_size, generator=generator))

    def _latents(self, purpose: str, index: int) -> Tensor:
        generator = random_generator(self.settings.seed, f"latents of the {purpose}", index)
        return self.hardware.send(draw_latents(self.pair.settings.latent, self.settings.batch_size, generator))


def _gradients(loss: Tensor, network: torch.nn.Module) -> tuple[Tensor | None, ...]:
    """A loss's gradient by a network's parameters, stored nowhere."""
    return torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)


def _mean_terms(parts: list[Terms]) -> Terms:
    """The mean of each term over those parts that have it, detached."""
    names = dict.fromkeys(name for terms in parts for name in terms)
    return {name: torch.stack([terms[name].detach() for terms in parts if name in terms]).mean() for name in names}
