"""Objectives: pairs of losses of (discriminator, real, fake) that read like their equations.

Real and fake images are (batch, 3, height, width) in [-1, 1]; a discriminator gives one score per image. Each loss is
a float32 (or float64) scalar, a mean over the batch, so that it does not depend on how the batch is split. Fakes for
the discriminator's step come detached. A new objective is one class and one line in `registry.OBJECTIVES`; its two
losses see only the scores of reals and fakes, each (batch,).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_gan.foundation.precision import full_precision
from celeba_gan.gan.losses.registry import OBJECTIVES, Probability

Critic = Callable[[Tensor], Tensor]
Terms = dict[str, Tensor]


class Objective(ABC):
    """A pair of losses."""

    probability: ClassVar[Probability] = "sigmoid"
    compares: ClassVar[bool] = False  # whether the generator's loss, too, looks at the scores of reals

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Term `loss` of the generator's step."""
        on_fake = full_precision(critic(fake))
        on_real = on_fake.detach()
        if self.compares:
            with torch.no_grad():
                on_real = full_precision(critic(real))
        return {"loss": self.generator_loss(on_real, on_fake)}

    @abstractmethod
    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """What the discriminator minimises."""

    @abstractmethod
    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """What the generator minimises; `on_real` may be used where the objective `compares`."""


class Minimax(Objective):
    """The original game (Goodfellow et al. 2014, equation 1), its generator loss saturating as printed."""

    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """-E log sigmoid(D(real)) - E log(1 - sigmoid(D(fake)))."""
        return -F.logsigmoid(on_real).mean() - F.logsigmoid(-on_fake).mean()

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E log(1 - sigmoid(D(fake)))."""
        return F.logsigmoid(-on_fake).mean()


class NonSaturating(Minimax):
    """The game with the generator's loss that does not vanish while it loses (Goodfellow et al. 2014, section 3)."""

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """-E log sigmoid(D(fake))."""
        return -F.logsigmoid(on_fake).mean()


class WGAN(Objective):
    """Wasserstein distance (Arjovsky et al. 2017, equation 3): the critic maximises E D(real) - E D(fake)."""

    probability = "centred_sigmoid"

    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E D(fake) - E D(real)."""
        return on_fake.mean() - on_real.mean()

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """-E D(fake)."""
        return -on_fake.mean()


class LSGAN(Objective):
    """Least squares with labels 0 for fakes and 1 for reals (Mao et al. 2017, equation 9)."""

    probability = "clip"

    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E (D(real) - 1)^2 / 2 + E D(fake)^2 / 2."""
        return (on_real - 1).square().mean() / 2 + on_fake.square().mean() / 2

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E (D(fake) - 1)^2 / 2."""
        return (on_fake - 1).square().mean() / 2


class Hinge(Objective):
    """Hinge loss (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E max(0, 1 - D(real)) + E max(0, 1 + D(fake))."""
        return F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """-E D(fake)."""
        return -on_fake.mean()


class RpGAN(Objective):
    """Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2): each fake against one real.

    Pairs, not averages: an average over the batch would mix its samples.
    """

    probability = "centred_sigmoid"
    compares = True

    def discriminator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E softplus(-(D(real) - D(fake)))."""
        return F.softplus(on_fake - on_real).mean()

    def generator_loss(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """E softplus(-(D(fake) - D(real)))."""
        return F.softplus(on_real - on_fake).mean()


def make_objective(name: str) -> Objective:
    """The objective of this name in the registry, which imports no torch and so knows classes by their names."""
    objective: Objective = globals()[OBJECTIVES[name].class_name]()
    return objective
