"""The mean of features, and a generator whose truncation is an input."""

from typing import Any

import pytest
import torch

from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.networks.layers import Generator
from celeba_gan.gan.sampling.truncation import TruncatedGenerator, mean_features

FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "dcgan": ({"width": 4}, 16),
    "article": ({"width": 16}, 112),
    "resnet": ({"width": 4}, 32),
    "r3": ({"width": 16, "blocks": 1}, 32),
}
LATENT = LatentSettings(size=8)


def build(family: str, classes: int | None = None) -> Generator:
    settings, size = FAMILIES[family]
    torch.manual_seed(0)
    network = NetworkSettings.model_validate({"name": family, family: settings})
    generator = build_generator(network, LATENT, size, classes).eval().requires_grad_(False)
    for weights in generator.parameters():
        weights.add_(0.05 * torch.randn_like(weights))
    return generator


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_is_near_that_of_many_other_latents_and_the_same_in_every_call(family: str) -> None:
    generator = build(family)
    mean = mean_features(generator, LATENT)
    assert torch.equal(mean, mean_features(generator, LATENT))
    many = generator.base(torch.randn(4096, LATENT.size), None)
    errors = (mean - many.mean(dim=0)) / (many.std(dim=0) + 1e-6)
    assert errors.abs().max() < 6 / 256**0.5  # standard errors of a mean over 256


@pytest.mark.parametrize("family", FAMILIES)
def test_with_labels_the_mean_depends_on_them(family: str) -> None:
    generator = build(family, classes=2)
    one, other = (mean_features(generator, LATENT, label) for label in torch.eye(2))
    assert (one - other).abs().max() > 1e-3
    with pytest.raises(NetworkError, match="needs labels"):
        TruncatedGenerator(generator, LATENT)


@pytest.mark.parametrize("family", FAMILIES)
def test_truncation_is_linear_in_the_features_and_1_changes_nothing(family: str) -> None:
    generator = build(family)
    truncated = TruncatedGenerator(generator, LATENT)
    latents = torch.randn(5, LATENT.size)
    assert torch.equal(truncated(latents, torch.ones(1)), generator(latents))
    features, mean = generator.base(latents, None), mean_features(generator, LATENT)
    for truncation in (0.7, 0.3, 0.0):
        expected = generator.synthesize(mean + truncation * (features - mean), None)
        torch.testing.assert_close(truncated(latents, torch.tensor([truncation])), expected, rtol=1e-4, atol=1e-5)
    assert "mean" in truncated.state_dict()
