"""From stored pixels to what networks take, and how they take it."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_floats(images: NDArray[np.uint8]) -> Tensor:
    """Images uint8 (n, height, width, 3) as float32 (n, 3, height, width) in [-1, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within it float32 on CUDA means float32, and sums have one order.

    Torch's own default takes ten bits of the mantissa in convolutions, and whichever kernel is at hand.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    cudnn.deterministic = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = before
