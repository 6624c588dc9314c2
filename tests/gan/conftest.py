from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.settings import TrainSettings
from small_training import SMALL


class ImagesInMemory:
    """Packed images as training sees them: 100 smooth random pictures, of which 80 are for training."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.digest = f"random-{size}"
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (100, 4, 4, 3), dtype=np.uint8)
        self.pixels = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 80), "valid": (80, 90), "test": (90, 100)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[indices]


@pytest.fixture
def images_at() -> Callable[[int], ImagesInMemory]:
    return ImagesInMemory


@pytest.fixture
def images() -> ImagesInMemory:
    return ImagesInMemory(16)


@pytest.fixture
def two_iterations_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of five: enough for what is proved about ticks. They stay where they are, every 80 images."""
    monkeypatch.setitem(SMALL, "batch_size", 20)


@pytest.fixture
def make_settings() -> Callable[..., TrainSettings]:
    def make(**changes: Any) -> TrainSettings:
        return TrainSettings.model_validate(SMALL | changes)

    return make


@pytest.fixture
def make_card() -> Callable[..., ModelCard]:
    def make(**changes: Any) -> ModelCard:
        plain: dict[str, Any] = {
            "id": "one",
            "images": 7,
            "finished": False,
            "init_from": None,
            "best": None,
            "size": 16,
            "random_crop": None,
            "data_digest": "random-16",
            "condition": None,
            "network": NetworkSettings(),
            "latent": LatentSettings(),
            "objective": "wgan",
            "probability": "centred_sigmoid",
        }
        return ModelCard.model_validate(plain | changes)

    return make
