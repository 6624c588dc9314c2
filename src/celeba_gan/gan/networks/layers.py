"""Layers that several families share."""

import torch
from torch import Tensor, nn


class PixelNorm(nn.Module):
    """Scales each pixel's feature vector to unit root mean square (Karras et al. 2018, section 4.2).

    It looks at one pixel of one sample only, so unlike batch norm it mixes no samples.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalises `features` (batch, channels, height, width) over the channels."""
        return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-8)
