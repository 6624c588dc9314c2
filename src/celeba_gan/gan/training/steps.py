"""One iteration: `n_critic` discriminator steps and one generator step, each in micro-batches, with all their draws."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from celeba_gan.gan.augment.controller import AdaController, score_sums
from celeba_gan.gan.augment.transforms import AugmentNoise, augment, draw
from celeba_gan.gan.inputs.conditions import conditioned
from celeba_gan.gan.inputs.feed import Draws, Feed
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import Terms, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.layers import Discriminator
from celeba_gan.gan.networks.piecewise_linear import is_piecewise_linear
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.graphs import Graphs, Recorder
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.schedule import factor
from celeba_gan.gan.settings import StepSettings
from celeba_gan.gan.training.health import auc
from celeba_gan.gan.training.pair import Pair
from celeba_gan.ranks.group import ALONE, Ranks


class DiscriminatorDraws(NamedTuple):
    """Everything that a discriminator's step does not take from its state; tensors, on the CPU or on the device."""

    feed: Draws
    latents: Tensor  # (batch, latent size)
    epsilon: Tensor  # (batch,), in [0, 1]
    noise_real: AugmentNoise
    noise_fake: AugmentNoise
    factor: Tensor  # of the penalty
    learning_rate: Tensor


class GeneratorDraws(NamedTuple):
    """Likewise of a generator's step and what ends an iteration."""

    feed: Draws
    latents: Tensor
    noise_real: AugmentNoise
    noise_fake: AugmentNoise
    valid: tuple[Draws, AugmentNoise] | tuple[()]
    learning_rate: Tensor
    average_weight: Tensor


class Steps:
    """Both kinds of step. They update the pair and the strength of augmentation.

    Draws are functions of the seed and the step, made for the whole batch; each rank takes its rows of them, and each
    micro-batch its slice of those. A loss counts by its share of the whole batch, so that gradients, added up over
    micro-batches and ranks, are those of the batch. Fakes get the labels of the reals beside them, so that pairs, and
    the mixtures of the gradient penalty, are of one label.

    A step is made of draws on the CPU, and of a function of these on the device that may be recorded as a CUDA graph.
    """

    valid: Feed | None = None  # images of the valid split, where `augmentation.needs_valid`

    def __init__(
        self,
        settings: StepSettings,
        hardware: Hardware,
        pair: Pair,
        recorder: Recorder | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Steps of a pair; recorded as CUDA graphs where the hardware says so, or by another `recorder`."""
        self.ranks = ranks
        self._rows = ranks.rows(settings.batch_size)  # of the batch: this rank's
        self._own = self._rows.stop - self._rows.start
        self.settings = settings
        self.hardware = hardware
        self.pair = pair
        self.objective = make_objective(settings.objective.name)
        self.penalty = Penalty(settings.penalty)
        self.loss = DiscriminatorLoss(self.objective, self.penalty)
        self.augmentation = AdaController(settings.augment, self.objective.probability == "sigmoid", hardware.device)
        self._scores = torch.zeros_like(self.augmentation.sums)  # of this iteration, for the augmentation's controller
        self.graphs = Graphs(hardware, pair.forget_gradients, recorder)
        # Whether compiling works each rank finds out for itself, and batch norm over ranks sends from inside.
        compiler = Compiler(hardware.compiled and not (ranks.several and bool(pair.with_batch_norm)))
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
        steps = []
        for step in range(iteration * n_critic, (iteration + 1) * n_critic):
            drawn = feed.draw(step)
            steps.append(self.step_discriminator(feed, drawn, step, images))
        return _mean_terms(steps) | self.step_generator(feed, drawn, iteration, images)

    def step_discriminator(self, feed: Feed, drawn: Draws, step: int, images: int) -> Terms:
        """Runs one step of the discriminator, numbered from 0; `images` and what it returns are as in `iterate`.

        Its real images are those of the feed's draws.
        """
        penalised = self.penalty.is_due(step)
        draws = DiscriminatorDraws(
            feed=drawn,
            latents=self._latents("discriminator", step),
            epsilon=self._epsilon(step) if penalised else torch.zeros(self._own),
            noise_real=self._augmentation("reals", step),
            noise_fake=self._augmentation("fakes", step),
            factor=self.hardware.scalar(self._penalty_weight(images) if penalised else 0.0),
            learning_rate=self.hardware.scalar(self.pair.learning_rate("discriminator", images)),
        )

        def run(draws: DiscriminatorDraws) -> Terms:
            return self._update_discriminator(feed, draws, penalised)

        return self.graphs.run(("discriminator", feed, penalised), run, draws)

    def step_generator(self, feed: Feed, drawn: Draws, iteration: int, images: int) -> Terms:
        """Runs one step of the generator and what ends an iteration: the average and the strength of augmentation.

        Its real images, where the objective looks at them, and its labels are those of the feed's draws.
        """
        moves = self.augmentation.is_due(iteration + 1)
        valid = self.valid
        draws = GeneratorDraws(
            feed=drawn,
            latents=self._latents("generator", iteration),
            noise_real=self._augmentation("generator's reals", iteration),
            noise_fake=self._augmentation("generator's fakes", iteration),
            valid=() if valid is None else (valid.draw(iteration), self._augmentation("valid images", iteration)),
            learning_rate=self.hardware.scalar(self.pair.learning_rate("generator", images)),
            average_weight=self.hardware.scalar(self.pair.average_weight(images, self.settings.images_per_iteration)),
        )

        def run(draws: GeneratorDraws) -> Terms:
            return self._update_generator(feed, valid, draws, moves)

        return self.graphs.run(("generator", feed, valid, moves), run, draws)

    # --- on the device -----------------------------------------------------------------------------------------------

    def _update_discriminator(self, feed: Feed, draws: DiscriminatorDraws, penalised: bool) -> Terms:
        self.pair.set_learning_rate("discriminator", draws.learning_rate)
        real, labels = feed.batch(draws.feed)
        factor = draws.factor.float()
        parts, sizes = [], []
        for x, label, z, mix, *noise in self._micro_batches(
            real, labels, draws.latents, draws.epsilon, *draws.noise_real, *draws.noise_fake
        ):
            share = len(x) / self.settings.batch_size
            terms, gradients = self._discriminator_terms(x, label, z, mix, noise[:2], noise[2:], factor, penalised)
            on_real, on_fake = terms.pop("on_real"), terms.pop("on_fake")
            self._scores += score_sums(on_real, on_fake, None, self.augmentation.has_zero)
            loss = terms.pop("loss")
            loss = loss + factor * terms["penalty"] if penalised else loss
            if gradients is None:
                self.pair.backward(loss * share, self.pair.discriminator)
            else:
                self.pair.add_gradients(gradients, share, loss)
            scores = {"score_real": on_real.mean(), "score_fake": on_fake.mean()}
            parts.append({"discriminator_loss": loss, **scores, "auc": auc(on_real, on_fake), **terms})
            sizes.append(len(x))
        gradient = self.pair.step_discriminator()
        return _mean_terms(parts, sizes) | {"discriminator_gradient": gradient}

    def _update_generator(self, feed: Feed, valid: Feed | None, draws: GeneratorDraws, moves: bool) -> Terms:
        self.pair.set_learning_rate("generator", draws.learning_rate)
        real, labels = feed.batch(draws.feed)
        if valid is not None and draws.valid:
            self._score_valid(valid, *draws.valid)
        parts, sizes = [], []
        for x, label, z, *noise in self._micro_batches(
            real, labels, draws.latents, *draws.noise_real, *draws.noise_fake
        ):
            loss = self._generator_loss(x, label, z, noise[:2], noise[2:])
            self.pair.backward(loss * (len(x) / self.settings.batch_size), self.pair.generator)
            parts.append({"generator_loss": loss})
            sizes.append(len(x))
        gradient = self.pair.step_generator([self._scores] if self.augmentation.steered else [])
        terms = _mean_terms(parts, sizes) | {"generator_gradient": gradient}
        self.augmentation.advance(self._scores, moves, self.settings.images_per_iteration, self.pair.broken)
        self._scores.zero_()
        if self.augmentation.steered:
            terms["augment_p"] = self.augmentation.p.clone()
        self.pair.update_average(draws.average_weight)
        return terms

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

    def generator_loss(
        self, real: Tensor, labels: Tensor, z: Tensor, noise_real: Sequence[Tensor], noise_fake: Sequence[Tensor]
    ) -> Tensor:
        """The generator's loss on one micro-batch."""
        with self.hardware.autocast():
            fake = self._augment(conditioned(self.pair.generator, labels)(z), noise_fake)
            if self.objective.compares:
                real = self._augment(real, noise_real)
            return self.objective.generator(conditioned(self.pair.discriminator, labels), real, fake)["loss"]

    def _score_valid(self, valid: Feed, draws: Draws, noise: AugmentNoise) -> None:
        """Adds the discriminator's scores of a batch that it never learns from, augmented as the reals are."""
        with torch.no_grad(), self.hardware.autocast():
            for x, label, *change in self._micro_batches(*valid.batch(draws), *noise):
                scores = conditioned(self.pair.discriminator, label)(self._augment(x, change))
                self._scores += score_sums(scores[:0], scores[:0], scores, self.augmentation.has_zero)

    def _augment(self, images: Tensor, noise: Sequence[Tensor]) -> Tensor:
        return augment(images, AugmentNoise(*noise), self.settings.augment, self.augmentation.p)

    def _micro_batches(self, *draws: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """This rank's rows of the batch, cut into micro-batches."""
        size = self.settings.micro_batch or self.settings.batch_size
        return zip(*(torch.split(draw, size) for draw in draws), strict=True)

    # --- draws, on the CPU -------------------------------------------------------------------------------------------

    def _augmentation(self, purpose: str, step: int) -> AugmentNoise:
        """The draws that decide how each image of this rank's is augmented."""
        generator = random_generator(self.settings.seed, f"augmentation of {purpose}", step)
        drawn = draw(self.settings.augment, self.settings.batch_size, generator)
        return AugmentNoise(*(noise[self._rows] for noise in drawn))

    def _penalty_weight(self, images: int) -> float:
        """The factor of a penalised step's penalty: it also counts for the steps without one, and has a schedule."""
        penalty = self.settings.penalty
        return penalty.every * factor(penalty.schedule, images)

    def _epsilon(self, step: int) -> Tensor:
        generator = random_generator(self.settings.seed, "epsilon", step)
        return torch.rand(self.settings.batch_size, generator=generator)[self._rows]

    def _latents(self, purpose: str, index: int) -> Tensor:
        generator = random_generator(self.settings.seed, f"latents of the {purpose}", index)
        return draw_latents(self.pair.settings.latent, self.settings.batch_size, generator)[self._rows]


def _gradients(loss: Tensor, network: torch.nn.Module) -> tuple[Tensor | None, ...]:
    """A loss's gradient by a network's parameters, stored nowhere."""
    return torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)


def _mean_terms(parts: list[Terms], sizes: Sequence[int] = ()) -> Terms:
    """The mean of each term over those parts that have it, detached; by their sizes where these differ."""
    names = dict.fromkeys(name for terms in parts for name in terms)
    found = {name: torch.stack([terms[name].detach() for terms in parts if name in terms]) for name in names}
    if len(set(sizes)) < 2:
        return {name: values.mean() for name, values in found.items()}
    weights = [size / sum(sizes) for size in sizes]
    return {name: torch.stack([w * v for w, v in zip(weights, found[name], strict=True)]).sum() for name in names}
