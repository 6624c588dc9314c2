"""DCGAN-style networks: strided convolutions between the images and a 4x4 base."""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn

from celeba_gan.gan.network_settings import DCGANSettings
from celeba_gan.gan.networks.layers import PixelNorm

SLOPE = 0.2  # of every leaky ReLU


class DCGANGenerator(nn.Module):
    """Transposed convolutions from a 4x4 base (Radford et al. 2016), with pixel norm in place of batch norm."""

    def __init__(self, settings: DCGANSettings, latent_size: int, size: int) -> None:
        super().__init__()
        widths = list(_widths(settings, size))[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size, widths[0], 4), PixelNorm(), nn.LeakyReLU(SLOPE)]
        for wide, narrow in pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), PixelNorm(), nn.LeakyReLU(SLOPE)]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (batch, latent size) to images (batch, 3, size, size) in [-1, 1]."""
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class DCGANDiscriminator(nn.Module):
    """Strided convolutions down to 4x4 (Radford et al. 2016) without any norm.

    A gradient penalty is per sample, so nothing here may mix samples.
    """

    def __init__(self, settings: DCGANSettings, size: int) -> None:
        super().__init__()
        widths = [3, *_widths(settings, size)]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        layers.append(nn.Conv2d(widths[-1], 1, 4))
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 3, size, size) in [-1, 1] to scores (batch,)."""
        scores: Tensor = self.layers(images)
        return scores.flatten()


def _widths(settings: DCGANSettings, size: int) -> Iterator[int]:
    """Channels at size/2, size/4, ..., 4 pixels."""
    width = settings.width
    while size > 4:
        yield min(width, settings.max_width)
        width, size = width * 2, size // 2


def _initialise(network: nn.Module) -> None:
    """He initialisation: without batch norm, DCGAN's fixed 0.02 would start with vanishing activations."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            area = module.kernel_size[0] * module.kernel_size[1]
            if isinstance(module, nn.ConvTranspose2d):  # an output pixel sees only every stride-th tap
                area //= module.stride[0] * module.stride[1]
            nn.init.normal_(module.weight, std=(2 / (1 + SLOPE**2) / (module.in_channels * area)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
