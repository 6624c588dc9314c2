"""A trained generator samples by seed and number alone, and refuses what it does not take."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from celeba_gan.foundation.pixels import to_uint8
from celeba_gan.gan.inputs.conditions import ConditionError, Conditions
from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.runtime.hardware import HardwareError
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
        generator.sample(2, labels=["Beard"])


def grey_levels_apart(first: Any, second: Any) -> int:
    return int(np.abs(first.astype(int) - second).max(initial=0))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_an_image_depends_on_its_seed_and_number_alone(generator: TrainedGenerator, batch_size: int) -> None:
    everything = generator.sample(1100, seed=3)  # more than are drawn together
    for first, count in ((0, 5), (13, 20), (1020, 10), (1099, 1)):
        parts = list(generator.batches(count, seed=3, first=first, batch_size=batch_size))
        assert max(len(images) for images, _ in parts) <= batch_size
        found = np.concatenate([images for images, _ in parts])
        assert grey_levels_apart(found, everything[first : first + count]) <= 1
        labels = np.concatenate([labels for _, labels in parts])
        assert np.array_equal(labels, generator.draw(1100, seed=3)[1][first : first + count])
    assert grey_levels_apart(generator.sample(5, seed=4), everything[:5]) > 1


def test_all_samples_differ(generator: TrainedGenerator) -> None:
    latents, _ = generator.draw(100_000)  # of generators with 32 bits of seed, one each, two would be the same
    assert len(torch.unique(latents, dim=0)) == len(latents)


def test_truncation_takes_features_towards_their_mean(generator: TrainedGenerator) -> None:
    latents, labels = generator.draw(30, seed=2)
    for psi in (0.0, 0.4, 0.9):
        expected = []
        for z, label in zip(latents, labels, strict=True):
            many = draw_latents(generator.latent, 256, random_generator(0, "truncation", 0))
            given = label.expand(256, -1) if generator.condition else None
            mean = generator.module.base(many, given).mean(dim=0, keepdim=True)
            one = label[None] if generator.condition else None
            feature = generator.module.base(z[None], one)
            expected.append(to_uint8(generator.module.synthesize(mean + psi * (feature - mean), one)))
        assert grey_levels_apart(generator.images(latents, labels, psi), np.concatenate(expected)) <= 1


def test_less_truncation_is_more_variety(generator: TrainedGenerator) -> None:
    labels = "Hat" if generator.condition else ()
    spread = [generator.sample(50, truncation=psi, labels=labels).std(axis=0).mean() for psi in (0, 0.3, 0.6, 1)]
    assert spread == sorted(spread)
    assert spread[0] < 0.5 < spread[1] < spread[-1]
    assert grey_levels_apart(generator.sample(9, truncation=1), generator.sample(9)) == 0


@pytest.mark.parametrize("name", ["dcgan", "article", "resnet", "r3"])
@pytest.mark.parametrize("classes", [None, 3])
def test_every_family_is_truncated_after_what_does_not_see_the_length_of_latents(
    name: str, classes: int | None, make_card: Callable[..., Any]
) -> None:
    size = 112 if name == "article" else 32
    small = {"article": {"width": 16}}.get(name, {"width": 16, "max_width": 32})
    network = NetworkSettings.model_validate({"name": name, name: small})
    names = [f"{number}" for number in range(classes or 0)]
    condition = Condition(kind="class", names=names, sets=((0,),), counts=(1,), digest="x") if classes else None
    torch.manual_seed(0)
    tensors = build_generator(network, LatentSettings(), size, classes).state_dict()
    tensors = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in tensors.items() if tensor.ndim}
    card = make_card(size=size, network=network, condition=condition)
    if name == "article":
        tensors |= {
            key: torch.tensor(1)
            for key in build_generator(network, LatentSettings(), size).state_dict()
            if key.endswith("tracked")
        }
        tensors = {key: value.abs() if "var" in key else value for key, value in tensors.items()}
    trained = TrainedGenerator(Network("generator", card, tensors))
    spread = [trained.sample(20, truncation=psi).std(axis=0).mean() for psi in (0, 0.5, 1)]
    assert 10 * spread[0] < spread[1] < spread[2]


def test_labels_are_named_in_a_list_or_with_plus_signs(generator: TrainedGenerator) -> None:
    if generator.condition is None:
        assert generator.names == ()
        return
    assert generator.names == ("Hat", "no Hat")
    assert np.array_equal(generator.sample(9, labels="Hat"), generator.sample(9, labels=["Hat"]))
    assert (generator.draw(9, labels="no Hat")[1] == torch.tensor([0, 1])).all()


def test_none_are_no_images(generator: TrainedGenerator) -> None:
    assert generator.sample(0).shape == (0, 16, 16, 3)
    assert generator.images(np.zeros((0, generator.latent.size))).shape == (0, 16, 16, 3)


def test_latents_may_be_arrays_and_lists(generator: TrainedGenerator) -> None:
    latents, labels = generator.draw(4)
    for given in (latents.numpy(), latents.double().numpy(), latents.tolist()):
        assert np.array_equal(generator.images(given, labels.numpy()), generator.images(latents, labels))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -1}, "count is -1; give a whole number, 0 or more"),
        ({"count": 2.5}, "count is 2.5"),
        ({"count": True}, "count is True"),
        ({"count": 1, "seed": -1}, "seed is -1"),
        ({"count": 1, "seed": "1"}, "seed is '1'"),
        ({"count": 1, "truncation": -0.1}, r"truncation is -0.1; give a number in \[0, 1\]"),
        ({"count": 1, "truncation": 1.5}, "truncation is 1.5"),
        ({"count": 1, "truncation": float("nan")}, "truncation is nan"),
        ({"count": 1, "truncation": "0.7"}, "truncation is '0.7'"),
    ],
)
def test_numbers_out_of_their_range(generator: TrainedGenerator, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generator.sample(**arguments)
    with pytest.raises(InputError, match=message):
        generator.batches(**arguments)  # before the first batch is read


def test_what_is_no_number(generator: TrainedGenerator) -> None:
    for latents in ("face", [["a"] * generator.latent.size], [[1.0], [1.0, 2.0]], None, 3):
        with pytest.raises(InputError, match="generator's latents"):
            generator.images(latents)  # type: ignore[arg-type]


def test_building_one_leaves_the_random_numbers_of_the_program_alone(generator: TrainedGenerator) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    TrainedGenerator(Network("generator", generator.card, generator.module.state_dict()))
    assert torch.rand(1) == expected


def test_weights_that_are_not_those_of_the_card(generator: TrainedGenerator) -> None:
    tensors = {name: tensor.clone() for name, tensor in generator.module.state_dict().items()}
    card, name = generator.card, next(iter(tensors))
    bad = tensors | {name: tensors[name] * float("nan")}
    with pytest.raises(CheckpointError, match=f"Weights are NaN or infinite: {name}"):
        TrainedGenerator(Network("generator", card, bad))
    for wrong in ({}, tensors | {"more": torch.zeros(1)}, tensors | {name: torch.zeros(1)}):
        with pytest.raises(CheckpointError, match="not those of the generator that their card describes"):
            TrainedGenerator(Network("generator", card, wrong))
    huge = card.model_copy(update={"size": 2**20})  # would need terabytes
    with pytest.raises(CheckpointError, match="not those of the generator"):
        TrainedGenerator(Network("generator", huge, tensors))
    with pytest.raises(CheckpointError, match=r"a network that does not exist: .*needs a size that is a power of two"):
        TrainedGenerator(Network("generator", card.model_copy(update={"size": 12}), tensors))


@pytest.mark.parametrize("device", ["nix", "", "meta", "cpu:x"])
def test_a_device_that_there_is_not(generator: TrainedGenerator, device: str) -> None:
    before = generator.sample(1)
    with pytest.raises(HardwareError, match=f"device: {device}"):
        generator.to(device)
    assert generator.device == "cpu"
    assert np.array_equal(generator.sample(1), before)


def test_it_says_what_it_is(generator: TrainedGenerator) -> None:
    labels = ", labels Hat, no Hat" if generator.condition else ""
    assert repr(generator) == f"<TrainedGenerator: dcgan 16x16{labels}, after 0 images of training, on cpu>"


def test_a_grid_needs_no_arguments(generator: TrainedGenerator) -> None:
    assert np.array_equal(generator.grid(), generator.grid(6, 10, 0))
    assert len(generator.grid()) == 60
