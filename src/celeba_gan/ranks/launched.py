"""What a launcher such as torchrun tells a process about the others; needs no torch."""

import os
import socket
from dataclasses import dataclass

from celeba_gan.foundation.cores import available_cores


@dataclass(frozen=True)
class Launched:
    """A process's place among those that do one run together. Its `rank` counts from 0; rank 0 leads."""

    rank: int = 0
    world: int = 1  # how many ranks there are
    local_rank: int = 0  # on this host
    local_world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and tracks; the others compute their share and leave nothing behind."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other ranks."""
        return self.world > 1

    @property
    def name(self) -> str:
        """The rank and its host, for messages."""
        return f"rank {self.rank} ({socket.gethostname()})"


def launched() -> Launched:
    """This process's place, from the variables that torchrun sets, as do the operators of most schedulers."""

    def number(name: str, otherwise: int) -> int:
        value = os.environ.get(name, "")
        return int(value) if value.isdecimal() else otherwise

    rank, world = number("RANK", -1), number("WORLD_SIZE", 1)
    if not 0 <= rank < world or world == 1:
        return Launched()
    return Launched(rank, world, number("LOCAL_RANK", 0), number("LOCAL_WORLD_SIZE", 1))


def local_cores() -> int:
    """The cores for this process: its share of those there are."""
    return max(1, available_cores() // launched().local_world)


def own_cores() -> int:
    """As `local_cores`, or OMP_NUM_THREADS where a person has set it."""
    place, allowed = launched(), available_cores()
    requested = os.environ.get("OMP_NUM_THREADS", "")
    wanted = int(requested) if requested.isdecimal() and int(requested) else None
    if place.local_world > 1:
        # torchrun gives every process of several one thread, unless the variable is set already.
        return local_cores() if wanted in (None, 1) else min(allowed, wanted or 1)
    return allowed if wanted is None else min(allowed, wanted)


def own_gpu(place: Launched, count: int) -> int | None:
    """The number of this process's GPU, of so many that it sees; None where there are fewer than processes.

    A scheduler may show each process its own GPU alone.
    """
    if place.local_rank < count:
        return place.local_rank
    return 0 if count == 1 and os.environ.get("CUDA_VISIBLE_DEVICES") else None
