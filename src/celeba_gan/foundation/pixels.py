"""Pixels as they are stored and as networks take them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Images = NDArray[np.uint8]
"""(n, height, width, 3)"""


def from_uint8(images: Tensor | Images) -> Tensor:
    """Images uint8 (batch, height, width, 3) as float32 (batch, 3, height, width) in [-1, 1], channels last."""
    if not isinstance(images, Tensor):
        images = torch.from_numpy(np.ascontiguousarray(images))
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Images:
    """Images (batch, 3, height, width) in [-1, 1] as uint8 (batch, height, width, 3); values outside are clipped."""
    pixels = images.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
    result: Images = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return result
