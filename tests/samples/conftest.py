from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from celeba_gan.samples.recipe import SampleBatch, SampleRecipe


@pytest.fixture
def make_recipe() -> Callable[..., SampleRecipe]:
    def make(**changes: Any) -> SampleRecipe:
        plain: dict[str, Any] = {
            "training_id": "one",
            "images": 7,
            "size": 8,
            "seed": 3,
            "truncation": 0.5,
            "labels": (),
            "names": ("Hat", "Tie"),
            "format": "png",
        }
        return SampleRecipe.model_validate(plain | changes)

    return make


@pytest.fixture
def batch() -> Callable[[SampleRecipe, int, int, int], SampleBatch]:
    """Samples [first, stop) of a total: the pixels and the labels of each are functions of its number."""

    def make(recipe: SampleRecipe, total: int, first: int, stop: int) -> SampleBatch:
        images = [np.random.default_rng(n).integers(0, 256, (recipe.size, recipe.size, 3)) for n in range(first, stop)]
        labels = [[n % 2, n % 3 == 0] for n in range(first, stop)]
        shape = (stop - first, recipe.size, recipe.size, 3)
        pixels = np.array(images, np.uint8).reshape(shape)
        return SampleBatch(recipe, total, first, pixels, np.array(labels, np.float32).reshape(stop - first, 2))

    return make
