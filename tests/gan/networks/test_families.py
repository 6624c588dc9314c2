"""What holds for the networks of every family, at every size and with every norm that its settings offer."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings

LATENT = LatentSettings(size=6)
SMALL: dict[str, dict[str, Any]] = {
    "dcgan": {"name": "dcgan", "dcgan": {"width": 4, "max_width": 8}},
    "article": {"name": "article", "article": {"width": 16}},
    "resnet": {"name": "resnet", "resnet": {"width": 4, "max_width": 8}},
    "resnet without norms": {
        "name": "resnet",
        "resnet": {"width": 4, "max_width": 8, "generator_norm": "none", "discriminator_norm": "none"},
    },
    "r3": {"name": "r3", "r3": {"width": 4, "max_width": 8, "blocks": 1, "group_size": 4}},
    "dcgan with spectral norm": {"spectral_norm": True, "dcgan": {"width": 4, "max_width": 8}},
    "resnet with spectral norm": {"name": "resnet", "spectral_norm": True, "resnet": {"width": 4, "max_width": 8}},
    "r3 with spectral norm": {
        "name": "r3",
        "spectral_norm": True,
        "r3": {"width": 4, "max_width": 8, "blocks": 2, "group_size": 2},
    },
}
SIZES = {"article": [112], "dcgan": [16, 32, 64, 128, 256], "resnet": [32, 64, 128, 256], "r3": [32, 64, 128, 256]}


def every_network_and_size() -> Iterator[Any]:
    for name, values in SMALL.items():
        for size in SIZES[name.split()[0]]:
            yield pytest.param(NetworkSettings.model_validate(values), size, id=f"{name}-{size}")


def every_network() -> Iterator[Any]:
    for name, values in SMALL.items():
        yield pytest.param(NetworkSettings.model_validate(values), SIZES[name.split()[0]][0], id=name)


def build(network: NetworkSettings, size: int, classes: int | None = None) -> tuple[nn.Module, nn.Module]:
    """The pair in float64, away from every special initial value such as zero biases and last convolutions."""
    torch.manual_seed(0)
    pair = build_generator(network, LATENT, size, classes), build_discriminator(network, size, classes)
    for module in pair:
        module.double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    return pair


def images_of(count: int, size: int) -> Tensor:
    return torch.rand(count, 3, size, size, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("network", "size"), [*every_network_and_size()])
@pytest.mark.parametrize("classes", [None, 3], ids=["unconditional", "conditional"])
def test_pairs_have_the_promised_shapes(network: NetworkSettings, size: int, classes: int | None) -> None:
    torch.manual_seed(0)
    generator = build_generator(network, LATENT, size, classes)
    discriminator = build_discriminator(network, size, classes)
    labels = None if classes is None else torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    images = generator(torch.randn(2, LATENT.size), labels)
    assert images.shape == (2, 3, size, size)
    assert images.std() > 0.01
    if network.name != "r3":  # which, as in its paper, has no tanh
        assert images.abs().max() <= 1
    scores = discriminator(images, labels)
    assert scores.shape == (2,)
    assert torch.isfinite(scores).all()
    assert scores[0] != scores[1]


@pytest.mark.parametrize(("network", "size"), [*every_network()])
@pytest.mark.parametrize("classes", [None, 2], ids=["unconditional", "conditional"])
def test_no_network_mixes_samples(network: NetworkSettings, size: int, classes: int | None) -> None:
    generator, discriminator = build(network, size, classes)
    labels = None if classes is None else torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.float64)

    def one_by_one(module: nn.Module, inputs: Tensor) -> Tensor:
        return torch.cat([module(inputs[i : i + 1], None if labels is None else labels[i : i + 1]) for i in range(3)])

    images = images_of(3, size)
    torch.testing.assert_close(discriminator(images, labels), one_by_one(discriminator, images), rtol=1e-11, atol=1e-11)
    if network.name != "article":  # its generator has batch norm
        latents = torch.randn(3, LATENT.size, dtype=torch.float64)
        torch.testing.assert_close(generator(latents, labels), one_by_one(generator, latents), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("network", "size"), [*every_network()])
def test_memory_format_changes_nothing(network: NetworkSettings, size: int) -> None:
    generator, discriminator = build(network, size)
    latents, images = torch.randn(2, LATENT.size, dtype=torch.float64), images_of(2, size)
    expected = generator(latents), discriminator(images)
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    found = generator(latents), discriminator(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("network", "size"), [*every_network()])
def test_every_parameter_has_a_gradient(network: NetworkSettings, size: int) -> None:
    generator, discriminator = build(network, size, classes=2)
    labels = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    images = generator(torch.randn(3, LATENT.size, dtype=torch.float64), labels)
    discriminator(images, labels).square().sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        # Batch norm takes out what a bias before it adds.
        if not (network.name == "article" and name.endswith("bias")):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("network", "size"), [*every_network()])
def test_gradient_of_a_gradient_penalty_is_that_of_double_backward(network: NetworkSettings, size: int) -> None:
    """torch.func.grad inside a loss, then backward, against autograd.grad(create_graph=True)."""
    _, discriminator = build(network, size)
    images = images_of(2, size)
    parameters = list(discriminator.parameters())

    slopes = torch.func.grad(lambda x: discriminator(x).sum())(images)
    found = torch.autograd.grad(slopes.square().sum() + discriminator(images).sum(), parameters)

    leaf = images.clone().requires_grad_()
    scores = discriminator(leaf)
    (slopes,) = torch.autograd.grad(scores.sum(), leaf, create_graph=True)
    expected = torch.autograd.grad(slopes.square().sum() + scores.sum(), parameters)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    # And by a central difference along a random direction, small enough to cross no kink of a leaky ReLU or pooling.
    directions = [torch.randn_like(parameter) for parameter in parameters]
    values = []
    with torch.no_grad():
        for step in (1e-8, -2e-8):
            torch._foreach_add_(parameters, directions, alpha=step)
            slopes = torch.func.grad(lambda x: discriminator(x).sum())(images)
            values.append(slopes.square().sum() + discriminator(images).sum())
    by_difference = (values[0] - values[1]) / 2e-8
    by_gradient = sum((gradient * direction).sum() for gradient, direction in zip(found, directions, strict=True))
    torch.testing.assert_close(by_gradient, by_difference, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size"), [("resnet", 48), ("resnet", 16), ("resnet", 512), ("r3", 16), ("r3", 96), ("r3", 512)]
)
def test_impossible_sizes_are_refused_with_the_way_out(name: str, size: int) -> None:
    network = NetworkSettings.model_validate({"name": name})
    message = (
        rf"train\.network\.name: {name} needs a size that is a power of two from 32 to 256, the images are "
        rf"{size}x{size}; set preprocess\.size to 32, 64 or 128"
    )
    with pytest.raises(NetworkError, match=message):
        build_generator(network, LATENT, size)
    with pytest.raises(NetworkError, match=message):
        build_discriminator(network, size)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"group_size 16 does not divide width x expansion = 8; give a divisor"):
        NetworkSettings.model_validate({"r3": {"width": 4}})
    with pytest.raises(ValueError, match=r"group_size 12 does not divide max_width x expansion = 128"):
        NetworkSettings.model_validate({"r3": {"width": 6, "max_width": 64, "group_size": 12}})


def test_identity_holds_what_decides_the_weights_alone() -> None:
    """States of versions that knew neither the other families nor spectral norm compare equal."""
    assert NetworkSettings.model_validate({"r3": {"width": 8}}).identity() == {
        "name": "dcgan",
        "dcgan": {"width": 32, "max_width": 512},
    }
    assert NetworkSettings.model_validate({"name": "article", "spectral_norm": True}).identity() == {
        "name": "article",
        "article": {"width": 1024},
        "spectral_norm": True,
    }
    narrow = NetworkSettings.model_validate({"name": "article", "article": {"discriminator_width": 16}})
    assert narrow.identity() == {"name": "article", "article": {"width": 1024, "discriminator_width": 16}}


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("name", ["resnet", "resnet without norms", "r3"])
def test_first_activations_neither_vanish_nor_explode_with_depth(name: str, size: int) -> None:
    """The deviation after every block and resampling is between 0.05 and 1.5 at every size, from images of deviation
    near one half, as photographs have."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL[name].items()}
    family = name.split()[0]
    values[family] |= {"width": 8, "max_width": 64}
    network = NetworkSettings.model_validate(values)
    torch.manual_seed(0)
    generator = build_generator(network, LatentSettings(size=64), size)
    discriminator = build_discriminator(network, size)
    deviations: list[float] = []
    for module in [*generator.modules(), *discriminator.modules()]:
        if type(module).__name__ in ("UpBlock", "DownBlock", "R3Block", "Resample"):
            module.register_forward_hook(lambda module, inputs, output: deviations.append(float(output.std())))
    smooth = nn.functional.interpolate(torch.rand(8, 3, 4, 4) * 2 - 1, size=size, mode="bilinear")
    with torch.no_grad():
        images = generator(torch.randn(8, 64))
        scores = discriminator(smooth)
    assert 0.05 < min(deviations) <= max(deviations) < 1.5
    assert 0.1 < images.std() < 1
    assert 0.02 < scores.std() < 2


def test_an_unknown_family_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no network 'stylegan'; give one of dcgan, article, resnet, r3"):
        NetworkSettings.model_validate({"name": "stylegan"})
