"""Full precision where results depend on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_float32() -> Iterator[None]:
    """Context in which float32 on CUDA means float32, with the same bits every time.

    torch's default keeps ten bits of the mantissa in convolutions (TF32) and lets cuDNN choose kernels that sum in
    any order.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic
    cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = False, False, True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = before


def full_precision(values: Tensor) -> Tensor:
    """Values as float32 at least: losses and norms lose too much in bfloat16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def computes_bfloat16(device: str) -> bool:
    """Whether this machine computes bfloat16 in hardware on `device`, rather than emulating it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False
