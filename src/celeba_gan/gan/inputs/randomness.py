"""Random draws as functions of (seed, purpose, index), so that no generator's state need be saved.

A draw is always made on the CPU and for the whole batch; a part of the batch takes its slice. So the
numbers depend neither on the device nor on how the work is split.
"""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from celeba_gan.gan.networks.config import LatentSettings


def random_generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """A CPU generator for one draw.

    CPU generators use only 32 bits of their seed, hence the hash: `seed << 32 | index` would ignore the seed.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def draw_latents(latent: LatentSettings, count: int, generator: torch.Generator) -> Tensor:
    """Latents z: float32 (count, latent size), standard normal or uniform in [-1, 1]."""
    if latent.distribution == "uniform":
        return torch.rand(count, latent.size, generator=generator) * 2 - 1
    return torch.randn(count, latent.size, generator=generator)


class ShuffledOrder:
    """Endless order of `length` images, shuffled anew in every epoch, with random access by position."""

    def __init__(self, seed: int, length: int, purpose: str = "order") -> None:
        self.length = length

        @lru_cache(maxsize=2)  # a batch, or what is read ahead, may lie in two epochs
        def order(epoch: int) -> Tensor:
            return torch.randperm(length, generator=random_generator(seed, purpose, epoch))

        self._order = order

    def indices(self, start: int, count: int) -> Tensor:
        """Indices in [0, length) at positions [start, start + count): int64 (count,)."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.length)
            part = self._order(epoch)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)
