"""The formats of samples: image files, one zip of them, or arrays."""

import io
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.foundation.files import staged
from celeba_gan.samples.recipe import Format

MOST_IN_A_FOLDER: Final = 10_000
_A_FOLDER: Final = 1000
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # so that equal samples give equal zips

# Run lengths make PNG files of faces as small as zlib's search for repetitions (6,854 bytes at 64x64, against 6,739),
# in less than half the time (0.27 ms, against 0.60); lossless WebP with method 0 takes 0.20 ms for 5,877 bytes.
_ENCODERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "png": ("PNG", {"compress_level": 1, "compress_type": zlib.Z_RLE}),
    "webp": ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
}


def encode(image: NDArray[np.uint8], suffix: str) -> bytes:
    """A picture uint8 (height, width, 3) as PNG or as lossless WebP."""
    name, options = _ENCODERS[suffix]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, name, **options)
    return buffer.getvalue()


class SampleFormat(ABC):
    """How samples are written into a folder, block by block.

    A block is what `write` gave for each of its samples, in order. What is written of a block is complete once
    `close_block` returns, and is overwritten where a block is written again.
    """

    @abstractmethod
    def file(self, number: int, total: int) -> str:
        """Where a sample is: a path in the folder; for the table."""

    def write(self, folder: Path, number: int, total: int, image: NDArray[np.uint8]) -> Any:
        """Prepares one sample, in any thread: writes it, or returns what `close_block` writes."""
        return image

    def close_block(self, folder: Path, block: int, first: int, total: int, written: Sequence[Any]) -> None:  # noqa: B027
        """Completes a block, whose first sample has the number `first`."""

    def finish(self, folder: Path, blocks: int) -> None:  # noqa: B027
        """Completes the folder, after the last block."""


class ImageFiles(SampleFormat):
    """A file for each image; where there are more than 10,000, in folders of a thousand."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix

    def file(self, number: int, total: int) -> str:
        """As `SampleFormat.file`."""
        name = f"{number:06d}.{self.suffix}"
        return name if total <= MOST_IN_A_FOLDER else f"{number // _A_FOLDER:05d}/{name}"

    def write(self, folder: Path, number: int, total: int, image: NDArray[np.uint8]) -> None:
        """Writes the file."""
        path = folder / self.file(number, total)
        if total > MOST_IN_A_FOLDER:
            path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(image, self.suffix))


class ZipFile(SampleFormat):
    """One zip of PNG files, `samples.zip`. Blocks are zips of their own until the end."""

    def file(self, number: int, total: int) -> str:
        """As `SampleFormat.file`."""
        return f"{number:06d}.png"

    def write(self, folder: Path, number: int, total: int, image: NDArray[np.uint8]) -> bytes:
        """Encodes the image."""
        return encode(image, "png")

    def close_block(self, folder: Path, block: int, first: int, total: int, written: Sequence[bytes]) -> None:
        """Writes the block's own zip."""
        with staged(folder / f"block-{block:05d}.zip") as staging, zipfile.ZipFile(staging, "w") as archive:
            for number, content in enumerate(written, first):
                archive.writestr(zipfile.ZipInfo(self.file(number, total), _DATE), content)

    def finish(self, folder: Path, blocks: int) -> None:
        """Joins the zips."""
        with staged(folder / "samples.zip") as staging, zipfile.ZipFile(staging, "w") as archive:
            for block in range(blocks):
                with zipfile.ZipFile(folder / f"block-{block:05d}.zip") as part:
                    for entry in part.infolist():
                        archive.writestr(zipfile.ZipInfo(entry.filename, _DATE), part.read(entry))


class Arrays(SampleFormat):
    """NumPy arrays `shard-00000.npy`, ..., each uint8 (n, size, size, 3), to be memory-mapped."""

    def __init__(self, block: int) -> None:
        self.block = block

    def file(self, number: int, total: int) -> str:
        """As `SampleFormat.file`."""
        return f"shard-{number // self.block:05d}.npy"

    def close_block(self, folder: Path, block: int, first: int, total: int, written: Sequence[Any]) -> None:
        """Writes the shard."""
        with staged(folder / f"shard-{block:05d}.npy") as staging, staging.open("wb") as file:
            np.save(file, np.stack(written))


def format_of(name: Format, block: int) -> SampleFormat:
    """A format by its name; `block` is that of the recipe."""
    if name == "zip":
        return ZipFile()
    return Arrays(block) if name == "packed" else ImageFiles(name)
