"""Parameters and operations of the networks, against closed forms."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.networks.table import tabulate, tabulate_pair

LATENT = LatentSettings(size=6)
FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "dcgan": ({"dcgan": {"width": 4}}, 32),
    "article": ({"name": "article", "article": {"width": 16}}, 112),
    "resnet": ({"name": "resnet", "resnet": {"width": 4}}, 32),
    "r3": ({"name": "r3", "r3": {"width": 8, "max_width": 16}}, 64),
    "r3 with spectral norm": ({"name": "r3", "spectral_norm": True, "r3": {"width": 8, "max_width": 16}}, 32),
}


def test_operations_of_each_kind_of_layer_are_their_closed_forms() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=2, padding=1),  # 16x16 -> 8x8
        nn.LeakyReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=4),
        nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1),  # -> 16x16
        nn.AvgPool2d(4),  # -> 4x4
        nn.Flatten(),
        nn.Linear(80, 7, bias=False),
    )
    table = tabulate(network, torch.zeros(1, 3, 16, 16))
    assert [(layer.name, layer.kind, layer.shape, layer.parameters, layer.macs) for layer in table.layers] == [
        ("0", "Conv2d 4x4, stride 2", (8, 8, 8), 3 * 8 * 16 + 8, 8 * 8 * 8 * 3 * 16),
        ("2", "Conv2d 3x3, 4 groups", (8, 8, 8), 8 * 2 * 9 + 8, 8 * 8 * 8 * 2 * 9),
        ("3", "ConvTranspose2d 4x4, stride 2", (5, 16, 16), 8 * 5 * 16 + 5, 8 * 8 * 8 * 5 * 16),  # each input pixel
        ("4", "AvgPool2d", (5, 4, 4), 0, 0),
        ("5", "Flatten", (80,), 0, 0),
        ("6", "Linear", (7,), 560, 560),
    ]
    assert table.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert table.macs == sum(layer.macs for layer in table.layers)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [None, 3])
def test_no_weight_is_forgotten_and_the_last_shape_is_the_output(family: str, classes: int | None) -> None:
    values, size = FAMILIES[family]
    network = NetworkSettings.model_validate(values)
    generator, discriminator = tabulate_pair(network, LATENT, size, classes)
    built = build_generator(network, LATENT, size, classes), build_discriminator(network, size, classes)
    for table, module in zip((generator, discriminator), built, strict=True):
        assert table.parameters == sum(parameter.numel() for parameter in module.parameters())
        assert table.kind == type(module).__name__
        assert all(layer.parameters or layer.macs or layer.shape for layer in table.layers)
        assert not any(layer.kind.startswith("Parametrized") for layer in table.layers)
    assert generator.layers[-1].shape == (3, size, size)
    labels = () if classes is None else (torch.zeros(1, classes),)
    assert tabulate(built[1], torch.zeros(1, 3, size, size), *labels) == discriminator  # real tensors say the same


def test_the_generator_of_the_wgan_gp_paper_by_hand() -> None:
    """Blocks of two 3x3 convolutions, the first at half the block's resolution, and a 1x1 shortcut there."""
    generator, _ = tabulate_pair(NetworkSettings(name="resnet"), LatentSettings(), 64)
    widths = [512, 512, 256, 128, 64]
    macs, side = 128 * 512 * 16, 4
    for wide, narrow in pairwise(widths):
        macs += side**2 * (wide * narrow * 9 + wide * narrow) + (2 * side) ** 2 * narrow * narrow * 9
        side *= 2
    assert generator.macs == macs + 64**2 * 64 * 3 * 9


def test_drawing_a_table_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tabulate_pair(NetworkSettings(spectral_norm=True), LATENT, 32)
    assert torch.equal(torch.rand(3), expected)


def test_sizes_without_a_network_are_refused() -> None:
    with pytest.raises(NetworkError, match="48x48"):
        tabulate_pair(NetworkSettings(), LATENT, 48)
