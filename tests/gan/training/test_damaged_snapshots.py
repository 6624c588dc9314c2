"""A snapshot whose tensors are not those of its card is refused before a step is made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import TrainingError, train

MakeSettings = Callable[..., TrainSettings]


@pytest.fixture
def snapshot(images: TrainingImages, make_settings: MakeSettings) -> Snapshot:
    ticks = train(images, make_settings())
    next(ticks)
    return next(ticks).snapshot


@pytest.mark.parametrize("name", ["generator", "discriminator", "average", "generator_optimizer"])
@pytest.mark.parametrize("change", ["removed", "cut", "one number"])
def test_other_tensors_are_refused(
    images: TrainingImages, make_settings: MakeSettings, snapshot: Snapshot, name: str, change: str
) -> None:
    if (name, change) == ("generator_optimizer", "removed"):
        pytest.skip("before the first step an optimiser has none")
    tensors: dict[str, Any] = dict(snapshot.tensors)
    key = next(key for key in tensors if key.startswith(f"{name}.") and tensors[key].ndim > 1)
    tensor = tensors.pop(key)
    if change != "removed":
        tensors[key] = tensor[:-1] if change == "cut" else tensor.flatten()[:1]
    with pytest.raises(TrainingError, match=r"The snapshot at 80 images has other tensors than its card.*Restore it"):
        next(iter(train(images, make_settings(), resumed=replace(snapshot, tensors=tensors))))
