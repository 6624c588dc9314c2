from typing import Any

import pytest
import torch
from torch import nn

from celeba_gan.gan.networks.build import build_discriminator, build_generator, generator_shapes
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.networks.layers import LocalResponseNorm, PixelNorm

DCGAN = NetworkSettings.model_validate({"dcgan": {"width": 8}})
ARTICLE = NetworkSettings.model_validate({"name": "article", "article": {"width": 64}})
LATENT = LatentSettings(size=12)


@pytest.mark.parametrize(
    ("network", "size"),
    [(DCGAN, 16), (DCGAN, 32), (DCGAN, 64), (DCGAN, 128), (ARTICLE, 112)],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_generator_and_discriminator_have_the_promised_shapes_and_range(network: NetworkSettings, size: int) -> None:
    torch.manual_seed(0)
    images = build_generator(network, LATENT, size)(torch.randn(3, LATENT.size))
    assert images.shape == (3, 3, size, size)
    assert -1 <= images.min() < -0.001
    assert 0.001 < images.max() <= 1
    assert build_discriminator(network, size)(images).shape == (3,)


@pytest.mark.parametrize(("network", "size"), [(DCGAN, 32), (ARTICLE, 112)], ids=["dcgan", "article"])
def test_discriminator_mixes_no_samples(network: NetworkSettings, size: int) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator(network, size).double()
    images = torch.rand(4, 3, size, size, dtype=torch.float64) * 2 - 1
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone, rtol=1e-12, atol=1e-12)


def test_dcgan_generator_mixes_no_samples() -> None:
    generator = build_generator(DCGAN, LATENT, 32).double()
    latents = torch.randn(4, LATENT.size, dtype=torch.float64)
    alone = torch.cat([generator(latent[None]) for latent in latents])
    torch.testing.assert_close(generator(latents), alone, rtol=1e-12, atol=1e-12)


def test_every_parameter_has_a_gradient() -> None:
    for network, size in ((DCGAN, 32), (ARTICLE, 112)):
        generator, discriminator = build_generator(network, LATENT, size), build_discriminator(network, size)
        discriminator(generator(torch.randn(4, LATENT.size))).sum().backward()
        for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
            assert parameter.grad is not None, name
            # Batch norm takes out what a bias before it adds.
            if not (network is ARTICLE and name.endswith("bias")):
                assert parameter.grad.abs().max() > 0, name


def test_pixel_norm_gives_each_pixel_unit_root_mean_square() -> None:
    normalised = PixelNorm()(torch.randn(2, 7, 3, 3) * 5)
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(2, 3, 3))


def test_first_activations_neither_vanish_nor_explode() -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator(NetworkSettings(), 64)
    scores = discriminator(torch.rand(32, 3, 64, 64) * 2 - 1)
    assert 1e-2 < scores.abs().mean() < 1e2


def test_local_response_norm_of_the_article_is_tensorflows() -> None:
    """b / (2 + 1e-4 * sum over the window of radius 5 of a^2) ^ 0.75, by hand."""
    norm = next(
        module for module in build_discriminator(ARTICLE, 112).modules() if isinstance(module, LocalResponseNorm)
    ).double()
    features = torch.rand(1, 64, 2, 2, dtype=torch.float64) * 30
    expected = torch.empty_like(features)
    for channel in range(64):
        window = features[:, max(0, channel - 5) : channel + 6].square().sum(dim=1)
        expected[:, channel] = features[:, channel] / (2 + 1e-4 * window) ** 0.75
    torch.testing.assert_close(norm(features), expected, rtol=1e-7, atol=1e-12)  # alpha is a float32
    torchs = nn.LocalResponseNorm(size=11, alpha=11e-4, beta=0.75, k=2.0)
    torch.testing.assert_close(norm(features), torchs(features), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("network", "size"), [(DCGAN, 48), (DCGAN, 8), (ARTICLE, 64)])
def test_impossible_sizes_are_refused_with_the_way_out(network: NetworkSettings, size: int) -> None:
    with pytest.raises(NetworkError, match=rf"{size}x{size}; set preprocess.size to"):
        build_generator(network, LATENT, size)
    with pytest.raises(NetworkError, match=rf"{size}x{size}; set preprocess.size to"):
        build_discriminator(network, size)


def test_networks_have_the_size_of_the_random_crop_where_there_is_one(make_settings: Any) -> None:
    assert make_settings().network_size(64) == 64
    assert make_settings(random_crop=64).network_size(64) == 64
    assert make_settings(random_crop=64).network_size(80) == 64
    assert make_settings(network={"name": "article"}, random_crop=112).network_size(128) == 112
    with pytest.raises(NetworkError, match=r"80x80; set preprocess\.size to"):
        make_settings().network_size(80)
    with pytest.raises(NetworkError, match=r"article works at 112x112 only.*64x64; set train\.random_crop to 112"):
        make_settings(network={"name": "article"}, random_crop=64).network_size(128)
    with pytest.raises(NetworkError, match=r"train\.random_crop is 64 pixels, the packed images have 32"):
        make_settings(random_crop=64).network_size(32)


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("name", ["dcgan", "article", "resnet", "r3"])
def test_shapes_are_known_without_building(name: str, classes: int | None) -> None:
    size = 112 if name == "article" else 32
    network = NetworkSettings.model_validate({"name": name, name: {"width": 16}})
    built = build_generator(network, LatentSettings(size=8), size, classes).state_dict()
    state = torch.get_rng_state()
    found = generator_shapes(network, LatentSettings(size=8), size, classes)
    assert found == {weights: tensor.shape for weights, tensor in built.items()}
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn
