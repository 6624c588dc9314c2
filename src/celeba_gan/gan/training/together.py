"""What ranks that train together agree on."""

import time
import zlib
from collections.abc import Iterable

import torch
from torch import Tensor

from celeba_gan.gan.runs.cards import ImagesCard
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.runtime.signals import StopSignal
from celeba_gan.ranks.group import Ranks, RanksError


def check_batch(ranks: Ranks, batch: int) -> None:
    """Raises RanksError if there are more ranks than images in a batch."""
    if ranks.place.world > batch:
        raise ranks.agreed(
            RanksError(
                f"There are {ranks.place.world} ranks, and train.batch_size is {batch}: some would have no image. "
                f"Start at most {batch} processes, or give a larger batch_size with another experiment name"
            )
        )


def check_alike(ranks: Ranks, hardware: Hardware, images: ImagesCard) -> None:
    """Raises RanksError if a rank would train on other images, or compute in another way."""
    if not ranks.several:
        return
    ranks.check_same(
        {"packed images": images.data_digest, "labels": images.condition and images.condition.digest},
        "All hosts need the same packed images: copy them, or pack them with the same command",
    )
    ranks.check_same(
        hardware.card().model_dump(include={"device", "precision", "torch", "compiled"}),
        "Give the train.device and train.precision that all hosts have, and install the same packages on them",
    )


class Stopping:
    """Whether to stop: ranks agree on it about once a second, and all of them between the same two iterations."""

    def __init__(self, stop: StopSignal, ranks: Ranks) -> None:
        self.stop, self.ranks = stop, ranks
        self._agreed = False
        self._calls, self._due, self._since = 0, 1, time.monotonic()

    def now(self, images: int) -> bool:
        """Whether any rank has received a signal; `images` are those seen. All ranks call it equally often."""
        if not self.ranks.several:
            return self.stop.received is not None
        self._calls += 1
        if self._agreed or self._calls < self._due:
            return self._agreed
        seconds = (time.monotonic() - self._since) / self._calls
        self.ranks.sign_of_life(f"after {images} images")
        signal, seconds = self.ranks.largest([self.stop.received or 0, seconds])
        # At most twice as many calls as the last time: the first ones may be much faster than those that follow.
        due = min(2 * self._calls, int(1 / max(seconds, 1e-6)))
        self._calls, self._due, self._since = 0, max(1, due), time.monotonic()
        if signal:
            self.stop.received, self._agreed = int(signal), True
        return self._agreed


def are_alike(ranks: Ranks, tensors: Iterable[Tensor]) -> bool:
    """Whether tensors have the same bytes on all ranks, by their CRC-32."""
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return len(set(ranks.gather(checksum))) == 1
