"""Random draws as functions of (seed, purpose, index), so that no generator's state need be saved.

A draw is always made on the CPU and for the whole batch; whoever computes a part of the batch takes its slice. So the
numbers depend neither on the device nor on how the work is split.
"""

import hashlib

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
        self.seed = seed
        self.length = length
        self.purpose = purpose
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, start: int, count: int) -> Tensor:
        """Indices in [0, length) at positions [start, start + count): int64 (count,)."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.length)
            part = self._order_of(epoch)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._permutation = torch.randperm(self.length, generator=random_generator(self.seed, self.purpose, epoch))
            self._epoch = epoch
        return self._permutation
