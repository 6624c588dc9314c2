"""The real images of training: from packed uint8 pixels to batches on the device."""

import logging
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.foundation.pixels import from_uint8
from celeba_gan.foundation.wording import in_bytes
from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.config import InputSettings
from celeba_gan.gan.inputs.randomness import ShuffledOrder, random_generator
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.ranks.group import ALONE, Ranks

logger = logging.getLogger(__name__)

RESIDENT_SHARE = 0.5
"""Under `auto`, images take at most this share of the device's free memory: networks and activations need room too."""
PIECE_BYTES = 64 * 2**20  # resident images are read in pieces of this size, so that the host's memory stays flat


class FeedError(RuntimeError):
    """The images cannot be kept where that was requested; the message says what to do."""


class KnownImages(Protocol):
    """What is known of packed images without reading them."""

    @property
    def size(self) -> int:
        """Height and width in pixels."""

    @property
    def digest(self) -> str:
        """Identifies the content."""

    def split(self, name: str) -> tuple[int, int]:
        """The first index of a split, and the one after its last."""


class TrainingImages(KnownImages, Protocol):
    """What training reads: packed images."""

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (n, size, size, 3) at these indices."""


@runtime_checkable
class DistantImages(TrainingImages, Protocol):
    """Images that are fetched from elsewhere, sooner if they are announced."""

    @property
    def read_ahead(self) -> int:
        """The number of batches to announce; 0: none."""

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Begins to fetch the images at these indices, which are the next ones in the order of their use."""


Draws = dict[str, Tensor]
"""What makes a batch, by name: on the CPU as drawn, on the device as used. Shapes are those of every step."""


class Feed(Protocol):
    """What a step takes its real images from."""

    def draw(self, step: int) -> Draws:
        """What makes the batch of a step, on the CPU."""

    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Real images (batch, 3, side, side) in [-1, 1] and their labels (batch, names), of draws on the device.

        A pure function of the draws: it may be recorded and replayed.
        """


class ImageFeed:
    """Gives every discriminator step its real images and their labels; the same ones wherever the pixels lie."""

    def __init__(
        self,
        settings: InputSettings,
        images: TrainingImages,
        hardware: Hardware,
        conditions: Conditions | None = None,
        split: Literal["train", "valid"] = "train",
        ranks: Ranks = ALONE,
    ) -> None:
        """Opens a split. That of `valid`, which no weight ever learns from, is streamed.

        Each of several ranks reads its own rows of each batch.

        Raises:
            FeedError: The split is empty, or its images do not fit into the memory where they were requested.
        """
        self.settings = settings
        self.conditions = conditions or Conditions.none()
        self.hardware = hardware
        self.images = images
        self._distant = images if isinstance(images, DistantImages) and images.read_ahead else None
        self.first, stop = images.split(split)
        if self.first == stop:
            advice = {
                "train": "; look at the index of the images",
                "valid": ", and its scores would steer train.augment.name=ada; pack images of valid, or give a fixed "
                "train.augment.ada.p",
            }
            raise FeedError(f"The {split} split has no images{advice[split]}")
        self._rows = ranks.rows(settings.batch_size)
        self._of = "" if split == "train" else f" of {split}"
        self.order = ShuffledOrder(settings.seed, stop - self.first, f"order{self._of}")
        self._resident = _resident_pixels(settings, images, hardware) if split == "train" else None

    def draw(self, step: int) -> Draws:
        """Which images, where they are cropped and whether they are mirrored: functions of the seed and the step.

        Images that are not resident come as pixels, uint8 (batch, size, size, 3), others as indices.
        """
        settings, count = self.settings, self.settings.batch_size
        rows = self._rows
        indices = self.order.indices(step * count, count)[rows]
        draws = {"labels": self.conditions.labels(indices + self.first)}
        if self._resident is None:
            self._announce(step + 1)
            draws["pixels"] = torch.from_numpy(self.images.gather((indices + self.first).numpy()))
        else:
            draws["indices"] = indices
        if settings.random_crop is not None:
            places = self.images.size - settings.random_crop + 1
            draws["corners"] = torch.randint(places, (2, count), generator=self._generator("crop", step))[:, rows]
        if settings.mirror:
            draws["mirrored"] = torch.rand(count, generator=self._generator("mirror", step))[rows] < 0.5
        return draws

    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The real images, (batch, 3, side, side) in [-1, 1], and their labels (batch, names), of draws on the device.

        They are cropped and mirrored as bytes, at a quarter of the memory traffic of float32.
        """
        pixels = draws["pixels"] if self._resident is None else self._resident.index_select(0, draws["indices"])
        if self.settings.random_crop is not None:
            pixels = crop(pixels, draws["corners"], self.settings.random_crop)
        if self.settings.mirror:
            pixels = mirror(pixels, draws["mirrored"])
        return from_uint8(pixels), draws["labels"]

    def _announce(self, step: int) -> None:
        """Has the images of this step and those after it fetched while the steps before it run."""
        if self._distant is not None:
            count, ahead = self.settings.batch_size, self._distant.read_ahead
            coming = self.order.indices(step * count, ahead * count).view(ahead, count)[:, self._rows]
            self._distant.expect((coming.flatten() + self.first).numpy())

    def _generator(self, purpose: str, step: int) -> torch.Generator:
        return random_generator(self.settings.seed, purpose + self._of, step)

    def reals(self, count: int) -> NDArray[np.uint8]:
        """Up to so many training images, evenly chosen: uint8 (count, size, size, 3)."""
        chosen = np.linspace(0, self.order.length - 1, min(count, self.order.length)).astype(np.int64)
        return self.images.gather(chosen + self.first)


def crop(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """Cuts a square out of each image (batch, height, width, 3), contiguous: (batch, side, side, 3), contiguous.

    `corners` are the row and the column of each square's first pixel, int64 (2, batch).
    """
    batch, height, width, _ = images.shape
    image = torch.arange(batch, device=images.device)[:, None]
    row = torch.arange(side, device=images.device)
    first = (image * height + corners[0, :, None] + row) * width + corners[1, :, None]  # (batch, side), in pixels
    # Every run of `side` neighbouring pixels, as a view: a square is `side` of them, each copied in one piece.
    runs = images.flatten().unfold(0, side * 3, 3)
    return runs.index_select(0, first.flatten()).view(batch, side, side, 3)


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors some of the images, (batch, height, width, 3), left to right: those where `mirrored` (batch,) is true."""
    # Choosing among images and their mirror images copies whole images; torch.where would go byte by byte.
    choice = torch.arange(len(images), device=images.device) + len(images) * mirrored
    return torch.cat([images, images.flip(2)]).index_select(0, choice)


def is_resident(requested: Literal["auto", "stream", "resident"], needed: int, free: int | None) -> bool:
    """Whether the train split, which has `needed` bytes, is kept in the device's memory, given `train.data`.

    `free` is in bytes too, and None on the CPU, where the memory map serves as well.
    """
    if requested == "auto":
        return free is not None and needed <= RESIDENT_SHARE * free
    return requested == "resident"


def _resident_pixels(settings: InputSettings, images: TrainingImages, hardware: Hardware) -> Tensor | None:
    """The train split on the device, uint8 (n, size, size, 3); None where the settings have it streamed. Logs which."""
    start, stop = images.split("train")
    needed, free = (stop - start) * images.size**2 * 3, hardware.free_memory()
    if not is_resident(settings.data, needed, free):
        why = f": over half of the GPU's {in_bytes(free)} free" if free is not None and settings.data == "auto" else ""
        whence = "" if isinstance(images, DistantImages) and images.read_ahead else " from disk"
        logger.info("Training images: %s, streamed%s%s", in_bytes(needed), whence, why)
        return None
    place = "in memory" if free is None else f"on the GPU (of {in_bytes(free)} free)"
    logger.info("Training images: %s %s", in_bytes(needed), place)
    try:
        shape = (stop - start, images.size, images.size, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, device=hardware.device)
    except RuntimeError as error:  # what torch raises where memory is short, on every kind of device
        raise FeedError(
            f"train.data: resident needs {in_bytes(needed)} for the training images, more than the memory of the "
            f"{hardware.device} device has free; give train.data=stream"
        ) from error
    piece = max(1, PIECE_BYTES // (images.size**2 * 3))
    for begin in range(start, stop, piece):
        end = min(begin + piece, stop)
        pixels[begin - start : end - start] = torch.from_numpy(images.gather(np.arange(begin, end)))
    return pixels
