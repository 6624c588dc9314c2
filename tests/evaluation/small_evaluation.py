"""The parts of evaluations of 16x16 images that are cheap to compute."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class NewDiscriminator(nn.Module):
    """With initial weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 1))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images).flatten()
        return scores


def new_discriminator() -> NewDiscriminator:
    torch.manual_seed(0)
    return NewDiscriminator()


class Colours:
    """Features: mean colours of the four quarters; counts the images it has seen."""

    name, digest = "colours", "c"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen += len(images)
        return images.reshape(len(images), 2, 8, 2, 8, 3).mean((2, 4)).reshape(len(images), 12).astype(np.float32)


def no_labels(indices: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.zeros((len(indices), 0), np.float32)


def brightness(images: NDArray[np.uint8], labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores of a discriminator that looks at nothing else."""
    assert labels.shape == (len(images), 0)
    return images.mean((1, 2, 3), dtype=np.float64) / 10
