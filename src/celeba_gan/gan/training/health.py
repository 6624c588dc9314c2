"""Signs that a training goes wrong, in words."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.gan.runs.cards import Diversity, HealthCard

logger = logging.getLogger(__name__)

SURE = 0.99
"""Above this AUC the discriminator tells reals from fakes almost surely: natural at first, a bad sign if it lasts."""
ALIKE = 0.5
"""Samples whose diversity falls below this share of its best, or of the training images', have become alike."""
EXPLODED = 10.0
"""A penalty above this, and above that many times what it was a tick ago, explodes."""


def auc(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """The probability that a real scores above a fake, ties counting half: the area under the ROC curve, a scalar."""
    fakes = on_fake.detach().sort().values
    reals = on_real.detach().contiguous()
    below = torch.searchsorted(fakes, reals) + torch.searchsorted(fakes, reals, right=True)
    return below.float().mean() / (2 * len(fakes))


def diversity(images: NDArray[np.uint8]) -> float:
    """How far images (n, height, width, 3) are from their mean: root mean square over all values, in [0, 127.5]."""
    return float(np.sqrt(images.astype(np.float32).var(axis=0).mean()))


class Health:
    """Compares each tick with those before."""

    def __init__(self, reals: NDArray[np.uint8], card: HealthCard | None = None) -> None:
        """Compares samples with real images, uint8 (n, height, width, 3), and resumes from a snapshot's card."""
        self._of_reals = diversity(reals)
        self.card = card or HealthCard()
        self._reported: set[str] = set()

    def examine(self, images: int, rows: list[dict[str, float]], samples: NDArray[np.uint8]) -> dict[str, float]:
        """Warns, once each time, of what is wrong in a tick, from its metric rows (at least one) and its samples.

        Returns:
            `sample_diversity`, that of the samples as a share of the training images'. Empty where unknown.
        """
        measured = diversity(samples) / self._of_reals if len(samples) > 1 and self._of_reals else None
        found = dict(self._findings(rows, measured))
        for sign, words in found.items():
            if sign not in self._reported:
                logger.warning("After %d images %s", images, words)
        self._reported = set(found)
        best = self.card.best
        if measured is not None and measured > best.diversity:
            best = Diversity(diversity=measured, images=images)
        self.card = HealthCard(best=best, penalty=_mean(rows, "penalty"), auc=rows[-1].get("auc"))
        return {} if measured is None else {"sample_diversity": measured}

    def _findings(self, rows: list[dict[str, float]], measured: float | None) -> Iterator[tuple[str, str]]:
        """Each sign that is there, with the words for it."""
        area, penalty, before = rows[-1].get("auc"), _mean(rows, "penalty"), self.card
        if area is not None and before.auc is not None and min(area, before.auc) > SURE:
            yield (
                "sure",
                f"the discriminator still tells real from generated images almost surely (AUC {area:.4f}), and the "
                "generator can learn little from it. Lower train.discriminator_optimizer.learning_rate or "
                "train.n_critic, raise the penalty's weight, or, with few images, give train.augment.name=ada or "
                "diffaugment",
            )
        # Noise is more diverse than the training images; what learns from it to be like them does not collapse.
        if measured is not None and measured < ALIKE * min(1.0, before.best.diversity):
            yield (
                "alike",
                f"the samples have become alike: their diversity is {measured:.2f} of the training images', it was "
                f"{before.best.diversity:.2f} at {before.best.images} images. The generator collapses; look at "
                "the grid. Lower the learning rates, raise the penalty's weight, or resume from an earlier snapshot",
            )
        if penalty is not None and before.penalty is not None and penalty > EXPLODED * max(1.0, before.penalty):
            yield (
                "penalty",
                f"the penalty explodes: {penalty:.3g} on average, {before.penalty:.3g} a tick ago. Lower "
                "train.discriminator_optimizer.learning_rate, or give train.clip_gradient_norm",
            )


def _mean(rows: list[dict[str, float]], name: str) -> float | None:
    """The mean over those rows that have it."""
    values = [row[name] for row in rows if name in row]
    return sum(values) / len(values) if values else None
