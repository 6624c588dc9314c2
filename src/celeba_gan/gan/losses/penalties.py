"""Penalties on the discriminator, each by name, and their weighted sum."""

import torch
from torch import Tensor

from celeba_gan.foundation.precision import full_precision
from celeba_gan.gan.losses.config import GradientPenaltySettings, PenaltySettings
from celeba_gan.gan.losses.objectives import Discriminator, Terms


class Penalty:
    """The sum of those penalties whose weight is not 0; the others cost nothing."""

    def __init__(self, settings: PenaltySettings) -> None:
        self.settings = settings
        self.of_gradients = settings.of_gradients

    def is_due(self, step: int) -> bool:
        """Whether a discriminator step is one of every so many that are penalised, and any penalty has a weight."""
        return bool(self.of_gradients or self.settings.drift.weight) and step % self.settings.every == 0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, epsilon: Tensor, on_real: Tensor
    ) -> Terms:
        """Each penalty weighted, by name; their sum, `penalty`; and the gradient penalty's mean `gradient_norm`.

        Reals and fakes are (batch, 3, height, width), `epsilon` (batch,) is uniform in [0, 1], and `on_real` (batch,)
        are the scores of the reals, which the objective has computed already.
        """
        settings = self.settings
        places = {"r1": real, "r2": fake}
        if "gradient_penalty" in self.of_gradients:
            places["gradient_penalty"] = torch.lerp(fake, real, epsilon[:, None, None, None])
        squares = _squared_slopes(discriminator, {name: places[name] for name in self.of_gradients})
        penalties: Terms = {}
        norms: Terms = {}
        if "gradient_penalty" in squares:
            norm = squares["gradient_penalty"].add(1e-12).sqrt()
            penalties["gradient_penalty"] = gradient_penalty(settings.gradient_penalty, norm)
            norms["gradient_norm"] = norm.mean()
        if "r1" in squares:  # gamma/2 E|grad D(real)|^2 (Mescheder et al. 2018, equation 9)
            penalties["r1"] = settings.r1.weight / 2 * squares["r1"].mean()
        if "r2" in squares:  # gamma/2 E|grad D(fake)|^2 (the same, equation 10)
            penalties["r2"] = settings.r2.weight / 2 * squares["r2"].mean()
        if settings.drift.weight:  # epsilon E D(real)^2 (Karras et al. 2018, appendix A.1)
            penalties["drift"] = settings.drift.weight * on_real.square().mean()
        total = torch.stack(list(penalties.values())).sum()
        return {"penalty": total, **penalties, **norms}


def gradient_penalty(settings: GradientPenaltySettings, norm: Tensor) -> Tensor:
    """Lambda E (|grad D(x)| - target)^2 from the norms (batch,) at points between reals and fakes.

    Gulrajani et al. 2017, equation 3; one-sided, norms below the target cost nothing.
    """
    excess = norm - settings.target
    if settings.one_sided:
        excess = excess.clamp(min=0)
    return settings.weight * excess.square().mean()


def _squared_slopes(discriminator: Discriminator, places: dict[str, Tensor]) -> Terms:
    """|grad D(x)|^2 at every image of each place, (batch,): one backward pass for all of them.

    The gradient of the scores' sum at a sample is that sample's own, since no sample sees another. torch.func.grad,
    not autograd.grad(create_graph=True), because torch.compile refuses the latter.
    """
    if not places:
        return {}
    images = list(places.values())
    joined = torch.cat(images) if len(images) > 1 else images[0]
    slopes = torch.func.grad(lambda images: discriminator(images).sum())(joined)
    squares = full_precision(slopes).flatten(1).square().sum(dim=1)
    return dict(zip(places, squares.chunk(len(images)), strict=True))
