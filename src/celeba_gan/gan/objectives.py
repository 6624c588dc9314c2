"""Objectives and penalties: functions of (discriminator, real, fake, noise) that return the terms of the loss.

Real and fake images are (batch, 3, height, width) in [-1, 1]; a discriminator gives one score per image. Each term
is a float32 (or float64) scalar under the name it has in the paper. Fakes for the discriminator's step come detached.
An objective is one class and one line in `OBJECTIVES`; a penalty one class and one line in `PENALTIES`.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_gan.gan.config import GradientPenaltySettings, ObjectiveSettings, PenaltySettings

Discriminator = Callable[[Tensor], Tensor]
Terms = dict[str, Tensor]
Probability = Literal["sigmoid", "centred_sigmoid"]


class Objective(Protocol):
    """A pair of losses."""

    probability: ClassVar[Probability]
    """How a score becomes a probability of being real: `sigmoid(D)`, or `sigmoid(D - c)` for a critic whose zero means
    nothing."""

    def discriminator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """Terms `loss`, `score_real` and `score_fake` of the discriminator's step."""

    def generator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """Term `loss` of the generator's step."""


class WGAN:
    """Wasserstein distance (Arjovsky et al. 2017, equation 3): the critic maximises E D(real) - E D(fake)."""

    probability: ClassVar[Probability] = "centred_sigmoid"

    def discriminator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """E D(fake) - E D(real)."""
        on_real, on_fake = _scores(discriminator, real, fake)
        return {"loss": on_fake.mean() - on_real.mean(), "score_real": on_real.mean(), "score_fake": on_fake.mean()}

    def generator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """-E D(fake)."""
        return {"loss": -_score(discriminator, fake).mean()}


class Minimax:
    """The original game (Goodfellow et al. 2014, equation 1), its generator loss saturating as printed."""

    probability: ClassVar[Probability] = "sigmoid"

    def discriminator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """-E log sigmoid(D(real)) - E log(1 - sigmoid(D(fake)))."""
        on_real, on_fake = _scores(discriminator, real, fake)
        loss = -F.logsigmoid(on_real).mean() - F.logsigmoid(-on_fake).mean()
        return {"loss": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()}

    def generator(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Terms:
        """E log(1 - sigmoid(D(fake)))."""
        return {"loss": F.logsigmoid(-_score(discriminator, fake)).mean()}


class Penalty(Protocol):
    """What is added to the discriminator's loss."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor, epsilon: Tensor) -> Terms:
        """Term `penalty`, already weighted, and whatever else is worth a curve."""


class GradientPenalty:
    """lambda E (|grad D(x)| - target)^2 on lines between reals and fakes (Gulrajani et al. 2017, equation 3)."""

    def __init__(self, settings: GradientPenaltySettings) -> None:
        self.settings = settings

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor, epsilon: Tensor) -> Terms:
        """Terms `penalty` and `gradient_norm`.

        Args:
            discriminator: Gives one score per image and mixes no samples.
            real: Images (batch, 3, height, width).
            fake: As many images.
            epsilon: Uniform in [0, 1], one number per sample: (batch,).
        """
        mixed = torch.lerp(fake, real, epsilon[:, None, None, None])
        # The sum's gradient at a sample is that sample's own, since no sample sees another. torch.func.grad, not
        # autograd.grad(create_graph=True), because torch.compile refuses the latter.
        slopes = torch.func.grad(lambda images: discriminator(images).sum())(mixed)
        norm = _full_precision(slopes).flatten(1).square().sum(dim=1).add(1e-12).sqrt()  # (batch,)
        penalty = self.settings.weight * (norm - self.settings.target).square().mean()
        return {"penalty": penalty, "gradient_norm": norm.mean()}


class NoPenalty:
    """Adds nothing."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor, epsilon: Tensor) -> Terms:
        """No terms."""
        return {}


OBJECTIVES: dict[str, Callable[[ObjectiveSettings], Objective]] = {
    "wgan": lambda settings: WGAN(),
    "minimax": lambda settings: Minimax(),
}
PENALTIES: dict[str, Callable[[PenaltySettings], Penalty]] = {
    "gradient_penalty": lambda settings: GradientPenalty(settings.gradient_penalty),
    "none": lambda settings: NoPenalty(),
}


def _scores(discriminator: Discriminator, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of both, in one forward pass: no discriminator of ours mixes samples."""
    on_real, on_fake = _score(discriminator, torch.cat([real, fake])).chunk(2)
    return on_real, on_fake


def _score(discriminator: Discriminator, images: Tensor) -> Tensor:
    return _full_precision(discriminator(images))


def _full_precision(values: Tensor) -> Tensor:
    """At least float32: losses and norms lose too much in bfloat16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
