"""The loss of a discriminator's step and its penalties: as a graph for autograd, or together with its gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from celeba_gan.foundation.precision import full_precision
from celeba_gan.gan.losses.objectives import Critic, Objective, Terms
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.layers import Discriminator
from celeba_gan.gan.networks.piecewise_linear import Passes


@dataclass(frozen=True)
class DiscriminatorLoss:
    """An objective and the penalties beside it.

    Each image passes forward once, whether its score counts, its slope, or both. No discriminator of ours mixes
    samples: the slope of the scores' sum by an image is that of its own score.

    Terms are scalars, but for the scores `on_real` and `on_fake`, (batch,) each: the objective's `loss`; and on a
    penalised step each penalty by its name, their sum, `penalty`, and the mean `gradient_norm` of the gradient penalty.
    """

    objective: Objective
    penalty: Penalty

    def terms(self, critic: Critic, real: Tensor, fake: Tensor, epsilon: Tensor, penalised: bool) -> Terms:
        """The terms, differentiable by the weights of any discriminator.

        Args:
            critic: Images to scores.
            real: (batch, 3, height, width) in [-1, 1].
            fake: As `real`, detached from the generator.
            epsilon: (batch,), uniform in [0, 1]; for the gradient penalty.
            penalised: Whether penalties are computed.
        """
        batch = self._arrange(real, fake, epsilon, penalised)
        images, sloped = batch.images, batch.sloped
        if not batch.places:
            return _with_sum(self._of_scores(full_precision(critic(images)), penalised)[1])

        def score(images: Tensor) -> tuple[Tensor, Tensor]:
            scores = full_precision(critic(images))
            return scores.sum(), scores

        # torch.func.grad, not autograd.grad(create_graph=True), because torch.compile refuses the latter.
        slopes, scores = torch.func.grad(score, has_aux=True)(images[sloped])
        others = torch.cat([images[: sloped.start], images[sloped.stop :]])
        if len(others):
            of_others = full_precision(critic(others))
            scores = torch.cat([of_others[: sloped.start], scores, of_others[sloped.start :]])
        return _with_sum(self._of_scores(scores[: 2 * len(real)], penalised)[1] | self._of_slopes(slopes, batch)[1])

    def gradients(
        self,
        discriminator: Discriminator,
        labels: Tensor | None,
        real: Tensor,
        fake: Tensor,
        epsilon: Tensor,
        factor: Tensor,
        penalised: bool,
        dtype: torch.dtype,
    ) -> tuple[Terms, dict[str, Tensor]]:
        """The terms, and the gradient of `loss` + factor x `penalty` by the parameters; see `Passes`.

        Args:
            discriminator: A piecewise-linear one.
            labels: (batch, classes) of both the reals and the fakes; None: it takes none.
            real: As in `terms`.
            fake: As in `terms`.
            epsilon: As in `terms`.
            penalised: As in `terms`.
            factor: A scalar on the device.
            dtype: In which the layers are computed.
        """
        batch = self._arrange(real, fake, epsilon, penalised)
        if labels is not None:
            labels = labels.repeat(len(batch.images) // len(labels), 1)
        passes, sloped = Passes(discriminator, dtype), batch.sloped
        scores = passes.forward(batch.images, labels)
        by_score, terms = _differentiated(
            lambda scores: self._of_scores(scores, penalised, factor), scores[: 2 * len(real)]
        )
        by_score = torch.cat([by_score, scores.new_zeros(len(scores) - len(by_score))])  # mixtures have no part in it
        if not batch.places:
            passes.pull(by_score, sloped)
            return _with_sum(terms), passes.gradients()
        seeds = by_score.clone()
        seeds[sloped] = 1
        slopes = full_precision(passes.pull(seeds, sloped))
        by_slope, penalties = _differentiated(lambda slopes: self._of_slopes(slopes, batch, factor), slopes)
        shares = by_score[sloped] if sloped.start < 2 * len(real) else None
        return _with_sum(terms | penalties), passes.gradients(by_slope, shares)

    def _arrange(self, real: Tensor, fake: Tensor, epsilon: Tensor, penalised: bool) -> "_Batch":
        names, count = self.penalty.of_gradients if penalised else [], len(real)
        images = [real, fake]
        if "gradient_penalty" in names:
            images.append(torch.lerp(fake, real, epsilon[:, None, None, None]))
        starts = {"r1": 0, "r2": count, "gradient_penalty": 2 * count}
        return _Batch(torch.cat(images), {name: slice(starts[name], starts[name] + count) for name in names})

    def _of_scores(self, scores: Tensor, penalised: bool, factor: Tensor | float = 1) -> tuple[Tensor, Terms]:
        """What is minimised, and its terms, from the scores of reals and fakes."""
        on_real, on_fake = scores.chunk(2)
        loss = self.objective.discriminator_loss(on_real, on_fake)
        penalties = self.penalty.of_scores(on_real) if penalised else {}
        total = loss + factor * sum(penalties.values())
        return total, {"loss": loss, "on_real": on_real, "on_fake": on_fake, **penalties}

    def _of_slopes(self, slopes: Tensor, batch: "_Batch", factor: Tensor | float = 1) -> tuple[Tensor, Terms]:
        """As `_of_scores`, from the slopes at the images that have one."""
        squares = full_precision(slopes).flatten(1).square().sum(dim=1)
        first = batch.sloped.start
        of_places = {name: squares[place.start - first : place.stop - first] for name, place in batch.places.items()}
        penalties, norms = self.penalty.of_slopes(of_places)
        return factor * torch.stack(list(penalties.values())).sum(), {**penalties, **norms}


@dataclass(frozen=True)
class _Batch:
    """Reals, fakes, and perhaps mixtures, after one another, and where those are whose slopes are penalised."""

    images: Tensor
    places: dict[str, slice]

    @property
    def sloped(self) -> slice:
        """The images from the first to the last of them."""
        if not self.places:
            return slice(0, 0)
        return slice(min(place.start for place in self.places.values()), max(p.stop for p in self.places.values()))


def _differentiated(function: Callable[[Tensor], tuple[Tensor, Terms]], inputs: Tensor) -> tuple[Tensor, Terms]:
    """The derivative by the inputs of the first of a function's results, and the second."""
    if torch.compiler.is_compiling():  # which refuses autograd.grad
        found: tuple[Tensor, Terms] = torch.func.grad(function, has_aux=True)(inputs)
        return found
    with torch.enable_grad():  # a third of the time of torch.func.grad, which is as long as a small layer's
        leaf = inputs.detach().requires_grad_()
        total, terms = function(leaf)
        (derivative,) = torch.autograd.grad(total, leaf)
    return derivative, {name: term.detach() for name, term in terms.items()}


def _with_sum(terms: Terms) -> Terms:
    """The terms with the sum of the penalties, if there are any."""
    penalties = [terms[name] for name in ("gradient_penalty", "r1", "r2", "drift") if name in terms]
    return {**terms, "penalty": torch.stack(penalties).sum()} if penalties else terms
