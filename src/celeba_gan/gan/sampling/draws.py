"""Latents and labels that steering starts from."""

from collections.abc import Sequence

from torch import Tensor

from celeba_gan.gan.inputs.conditions import draw_samples, named_labels
from celeba_gan.gan.networks.config import LatentSettings
from celeba_gan.gan.sampling.trained import TrainedGenerator


def draw(generator: TrainedGenerator, count: int, seed: int, labels: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Latents (count, latent size) and labels (count, names) as training draws them, by the seed alone.

    With named labels, all rows have these.

    Raises:
        ConditionError: The generator knows no such label.
    """
    latents, drawn = draw_samples(generator.latent, generator.condition, count, seed)
    return latents, named_labels(generator.condition, labels).expand(count, -1) if labels else drawn


def deviation(latent: LatentSettings) -> float:
    """The standard deviation of a number of a drawn latent, and of its projection on any unit vector."""
    return 3**-0.5 if latent.distribution == "uniform" else 1.0
