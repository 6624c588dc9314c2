"""From stored pixels to what networks take."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_floats(images: NDArray[np.uint8]) -> Tensor:
    """Images uint8 (n, height, width, 3) as float32 (n, 3, height, width) in [-1, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
