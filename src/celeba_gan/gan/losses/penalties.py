"""Penalties on the discriminator, each by name, from its scores and the slopes of these by the images."""

from collections.abc import Mapping

from torch import Tensor

from celeba_gan.gan.losses.config import GradientPenaltySettings, PenaltySettings
from celeba_gan.gan.losses.objectives import Terms


class Penalty:
    """Those penalties whose weight is not 0; the others cost nothing."""

    def __init__(self, settings: PenaltySettings) -> None:
        self.settings = settings
        self.of_gradients = settings.of_gradients

    def is_due(self, step: int) -> bool:
        """Whether a discriminator step is one of every so many that are penalised, and any penalty has a weight."""
        return bool(self.of_gradients or self.settings.drift.weight) and step % self.settings.every == 0

    def of_scores(self, on_real: Tensor) -> Terms:
        """The penalties on scores, weighted, by their names, from those of the reals, (batch,)."""
        if not self.settings.drift.weight:
            return {}
        return {"drift": self.settings.drift.weight * on_real.square().mean()}  # Karras et al. 2018, appendix A.1

    def of_slopes(self, squares: Mapping[str, Tensor]) -> tuple[Terms, Terms]:
        """The penalties on slopes, weighted, by their names; and the mean `gradient_norm` of the gradient penalty.

        `squares` are, for each penalty in `of_gradients`, |grad D(x)|^2 (batch,) at its images: `r1` looks at reals,
        `r2` at fakes, `gradient_penalty` at points between them.
        """
        settings = self.settings
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
        return penalties, norms


def gradient_penalty(settings: GradientPenaltySettings, norm: Tensor) -> Tensor:
    """Lambda E (|grad D(x)| - target)^2 from the norms (batch,) at points between reals and fakes.

    Gulrajani et al. 2017, equation 3; one-sided, norms below the target cost nothing.
    """
    excess = norm - settings.target
    if settings.one_sided:
        excess = excess.clamp(min=0)
    return settings.weight * excess.square().mean()
