"""A trained generator refuses what it does not take, instead of making pictures of it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from celeba_gan.gan.inputs.conditions import ConditionError, Conditions
from celeba_gan.gan.sampling.trained import InputError, TrainedGenerator
from celeba_gan.gan.training.loop import train


@pytest.fixture(params=[False, True], ids=["without labels", "with labels"])
def generator(request: pytest.FixtureRequest, images: Any, make_settings: Callable[..., Any]) -> TrainedGenerator:
    settings = make_settings(condition={"name": "class"} if request.param else {})
    conditions = Conditions("class", ["Hat", "no Hat"], torch.arange(100).numpy() % 2) if request.param else None
    tick = next(iter(train(images, settings, conditions=conditions)))
    return TrainedGenerator(tick.networks.generator)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite(generator: TrainedGenerator, bad: float) -> None:
    latents = torch.zeros(3, generator.latent.size)
    assert generator.images(latents).shape == (3, 16, 16, 3)
    latents[1, 2] = bad
    with pytest.raises(InputError, match="latents must be finite numbers; row 1 has one"):
        generator.images(latents)


def test_other_shapes(generator: TrainedGenerator) -> None:
    size, names = generator.latent.size, len(generator.condition.names) if generator.condition else 0
    for shape in ((2, size + 1), (size,), (2, size, 1)):
        with pytest.raises(InputError, match=rf"latents have the shape \({shape[0]}, {size}\), not"):
            generator.images(torch.zeros(shape))
    for rows, columns in ((2, names + 1), (1, names)):
        with pytest.raises(InputError, match=rf"labels .* have the shape \(2, {names}\), not"):
            generator.images(torch.zeros(2, size), torch.zeros(rows, columns))


def test_labels_that_it_does_not_know(generator: TrainedGenerator) -> None:
    message = "knows no 'Beard'. There are: Hat, no Hat" if generator.condition else "takes no labels"
    with pytest.raises(ConditionError, match=message):
        next(generator.sample(2, 0, labels=["Beard"]))
