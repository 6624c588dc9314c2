"""Photographs projected into the latent space: the latent whose image is nearest to each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.pixels import Images, from_uint8
from celeba_gan.foundation.precision import full_float32
from celeba_gan.foundation.wording import Report, no_report
from celeba_gan.gan.inputs.conditions import conditioned
from celeba_gan.gan.sampling.control_config import ProjectionSettings
from celeba_gan.gan.sampling.control_documents import ImageError
from celeba_gan.gan.sampling.trained import TrainedGenerator

Features = Callable[[Tensor], Tensor]
"""Images (n, 3, size, size) in [-1, 1] -> features (n, d), differentiable."""

_MOST: Final = 64  # images at once
_MOST_PIXELS: Final = 2**18  # in all of them: the gradient keeps every layer's output in memory
_COARSEST: Final = 4  # pixels a side


class ProjectionError(ValueError):
    """Photographs that cannot be projected; the message says why, and what is allowed."""


@dataclass(frozen=True)
class Projection:
    """The latent found for one photograph, and what it was compared with."""

    latent: NDArray[np.float32]  # (latent size,)
    labels: NDArray[np.float32]  # (names,)
    image: NDArray[np.uint8]  # (size, size, 3), of the latent
    error: ImageError
    best_random: ImageError  # of the best random latent
    mean_sample: ImageError  # of the mean of all random samples
    steps: int


def project(
    generator: TrainedGenerator,
    photographs: Images,
    settings: ProjectionSettings,
    seed: int,
    features: Features | None = None,
    labels: Sequence[str] = (),
    report: Report = no_report,
) -> list[Projection]:
    """Finds for each photograph the latent whose image is nearest to it.

    The nearest of many random latents are moved by Adam. The loss is the squared distance of the pixels, averaged over
    a pyramid of resolutions, plus that of the features, each as a multiple of its mean over random samples, plus
    `norm_weight` times (|z| / r - 1)^2, where r is the norm of drawn latents: most images can be matched better by
    latents that were never drawn in training, whose neighbours are no faces. A generator that takes labels keeps those
    of the random latent it starts from. The result depends on the seed, and not on which photographs are projected
    together, up to rounding.

    Args:
        generator: Makes the images.
        photographs: uint8 (n, size, size, 3), of the generator's size.
        settings: Steps, restarts and weights.
        seed: Decides the random latents.
        features: The network for feature distances; None: pixels alone count.
        labels: Names of the labels of all images; empty: drawn as training has them.
        report: Called after each step of a group of photographs.

    Raises:
        ProjectionError: The photographs have another shape or type.
        ConditionError: The generator knows no such label.
    """
    size = generator.card.size
    if photographs.dtype != np.uint8 or photographs.ndim != 4 or photographs.shape[1:] != (size, size, 3):
        raise ProjectionError(
            f"This generator makes images of {size}x{size} pixels, so photographs are uint8 (n, {size}, {size}, 3), "
            f"not {photographs.dtype} {photographs.shape}. Crop and resize them as the training images were"
        )
    if not len(photographs):
        return []
    with full_float32():
        search = _Search(generator, settings, features, *generator.draw(settings.candidates, seed, labels))
        each = max(1, search.batch // settings.restarts)  # photographs at once
        found: list[Projection] = []
        starts = range(0, len(photographs), each)
        for group, start in enumerate(starts):

            def stepped(steps: int, before: int = group * settings.steps) -> None:
                report("Projecting photographs", before + steps, len(starts) * settings.steps)

            found += search(photographs[start : start + each], stepped)
        return found


def image_errors(
    images: Images, photographs: Images, features: Features | None, device: str = "cpu"
) -> list[ImageError]:
    """How far images are from photographs, pair by pair; both uint8 (n, size, size, 3)."""
    off = images.astype(np.float64) - photographs
    rmse = np.sqrt(np.square(off).mean(axis=(1, 2, 3)))
    apart: list[float | None] = [None] * len(images)
    if features is not None:
        with torch.no_grad():
            one, other = (features(from_uint8(some).to(device)).cpu().double() for some in (images, photographs))
        apart = list((one - other).norm(dim=1).tolist())
    return [ImageError(rmse=float(r), features=f) for r, f in zip(rmse, apart, strict=True)]


class _Search:
    """The random latents with their images, and the search from the nearest of them."""

    def __init__(
        self,
        generator: TrainedGenerator,
        settings: ProjectionSettings,
        features: Features | None,
        latents: Tensor,
        labels: Tensor,
    ) -> None:
        self.generator, self.settings = generator, settings
        self.features = features if settings.feature_weight else None
        self.measured = features
        self.latents, self.labels = latents, labels
        self.batch = max(1, min(_MOST, _MOST_PIXELS // generator.card.size**2))
        pairs = zip(torch.split(latents, self.batch), torch.split(labels, self.batch), strict=True)
        self.samples = np.concatenate([generator.images(*pair) for pair in pairs])
        self.mean = np.round(self.samples.mean(axis=0)).astype(np.uint8)
        self.radius = generator.latent.deviation * generator.latent.size**0.5
        self.scales = self._spread()

    def __call__(self, photographs: Images, stepped: Callable[[int], None]) -> list[Projection]:
        count, restarts = len(photographs), min(self.settings.restarts, len(self.latents))
        targets = self._describe(self._tensor(photographs))
        nearest = self._distances(targets).argsort(dim=1, stable=True)[:, :restarts]  # (photographs, restarts)
        starts = nearest.flatten()
        labels = self.labels[starts]
        wanted = [part.repeat_interleave(restarts, dim=0) for part in targets]
        latents, losses = self._descend(self.latents[starts], labels, wanted, stepped)
        best = losses.view(count, restarts).argmin(dim=1) + restarts * torch.arange(count)
        found, kept = latents[best], labels[best]
        images = self.generator.images(found, kept)
        mean = np.repeat(self.mean[None], count, axis=0)  # a broadcast array is read-only, of which torch warns
        errors, randoms, means = (
            image_errors(some, photographs, self.measured, self.generator.device)
            for some in (images, self.samples[nearest[:, 0].numpy()], mean)
        )
        return [
            Projection(latent, label, image, error, random, of_mean, self.settings.steps)
            for latent, label, image, error, random, of_mean in zip(
                found.numpy(), kept.numpy(), images, errors, randoms, means, strict=True
            )
        ]

    def _descend(
        self, starts: Tensor, labels: Tensor, wanted: list[Tensor], stepped: Callable[[int], None]
    ) -> tuple[Tensor, Tensor]:
        """The best latent on the way from each start, and its loss; Adam treats every number by itself."""
        device, steps = self.generator.device, self.settings.steps
        z = starts.to(device).clone().requires_grad_()
        network = conditioned(self.generator.module, labels.to(device))
        optimizer = torch.optim.Adam([z], lr=self.settings.learning_rate)
        best, least = z.detach().clone(), torch.full((len(z),), torch.inf, device=device)
        for step in range(steps + 1):
            losses = self._distance(self._describe(network(z)), wanted) + self._prior(z)
            with torch.no_grad():
                better = losses < least
                best[better], least[better] = z[better], losses[better]
            if step == steps:
                break
            optimizer.param_groups[0]["lr"] = self.settings.learning_rate * (1 + cos(pi * step / steps)) / 2
            optimizer.zero_grad()
            torch.autograd.backward(losses.sum())
            optimizer.step()
            stepped(step + 1)
        return best.cpu(), least.cpu()

    def _described_samples(self) -> Iterator[list[Tensor]]:
        """The random samples batch by batch, since all at once may be gigabytes."""
        for start in range(0, len(self.samples), self.batch):
            with torch.no_grad():
                yield self._describe(self._tensor(self.samples[start : start + self.batch]))

    def _spread(self) -> list[float]:
        """Mean square distance of random samples from their mean: it makes the distances comparable."""
        count, kinds = len(self.samples), 1 if self.features is None else 2
        sums, squares = [torch.zeros(1)] * kinds, [0.0] * kinds
        for parts in self._described_samples():
            for kind, part in enumerate(parts):
                doubles = part.cpu().double()  # some devices have no float64
                sums[kind] = sums[kind] + doubles.sum(dim=0)
                squares[kind] += float(doubles.square().sum())
        means = [float((total / count).square().sum()) for total in sums]
        return [max(square / count - mean, 1e-12) for square, mean in zip(squares, means, strict=True)]

    def _distances(self, targets: list[Tensor]) -> Tensor:
        """Of every photograph to every random sample: (photographs, samples)."""
        found = []
        for parts in self._described_samples():
            rows = range(len(targets[0]))
            found.append(
                torch.stack([self._distance(parts, [part[row : row + 1] for part in targets]) for row in rows])
            )
        return torch.cat(found, dim=1).cpu()

    def _tensor(self, images: Images) -> Tensor:
        return from_uint8(images).to(self.generator.device)

    def _describe(self, images: Tensor) -> list[Tensor]:
        """What distances are measured in: the pyramid (n, numbers), and the features where there are any."""
        return [pyramid(images), *([] if self.features is None else [self.features(images).flatten(1)])]

    def _distance(self, images: list[Tensor], targets: list[Tensor]) -> Tensor:
        """The weighted sum of squared distances, row by row: (n,)."""
        weights = [1.0, self.settings.feature_weight]
        parts = zip(images, targets, self.scales, weights, strict=False)  # without features there is one part
        return torch.stack([weight * _squares(a, b) / scale for a, b, scale, weight in parts]).sum(dim=0)

    def _prior(self, latents: Tensor) -> Tensor:
        off: Tensor = latents.norm(dim=1) / self.radius - 1
        return self.settings.norm_weight * off.square()


def pyramid(images: Tensor) -> Tensor:
    """Images (n, 3, size, size) at halved resolutions down to 4x4 by box averages, as one vector each: (n, numbers).

    The squared Euclidean distance of two vectors is the mean square difference of the pixels, averaged over the levels:
    coarse ones let the search see what is a few pixels off.
    """
    levels = [images]
    while levels[-1].shape[-1] // 2 >= _COARSEST:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return torch.cat([level.flatten(1) / (len(levels) * level[0].numel()) ** 0.5 for level in levels], dim=1)


def _squares(some: Tensor, others: Tensor) -> Tensor:
    squares: Tensor = (some - others).square().sum(dim=1)
    return squares
