"""Grids of samples, and their animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from PIL import Image, ImageDraw, ImageFont, ImageOps

from celeba_gan.foundation.wording import stage_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CAPTION_HEIGHT = 28  # pixels


class GridError(ValueError):
    """There are no grids to show; the message says what to do."""


@dataclass(frozen=True)
class ImageGrid:
    """A picture of many samples."""

    images: int
    """Images seen by the discriminator when it was made."""
    pixels: NDArray[np.uint8]
    """(height, width, 3)"""
    since: int | None = None
    """Image count of the previous tick, for a grid of a tick."""

    @classmethod
    def nothing(cls, images: int) -> Self:
        """A grid without anything to show, of which no file is written."""
        import numpy as np

        return cls(images, np.zeros((0, 0, 3), np.uint8))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.pixels.size


def make_grid(
    samples: NDArray[np.uint8], images: int, columns: int, tile: int = 96, names: Sequence[str] = ()
) -> ImageGrid:
    """Lays samples out in rows of `columns`.

    Args:
        samples: uint8 (n, size, size, 3).
        images: Images seen in training.
        columns: Samples in a row.
        tile: Samples are enlarged by the largest whole factor that keeps them within this many pixels.
        names: Written before the rows; a long name breaks at its plus signs.
    """
    import numpy as np
    import torch  # torchvision's grid works on tensors; everything else here does without torch
    from torchvision.utils import make_grid as tile_images

    factor = max(1, tile // samples.shape[1])
    enlarged = samples.repeat(factor, axis=1).repeat(factor, axis=2)
    grid = tile_images(torch.from_numpy(enlarged).permute(0, 3, 1, 2), nrow=columns, padding=2, pad_value=255)
    pixels = grid.permute(1, 2, 0).contiguous().numpy()
    if names:
        pixels = np.concatenate([_name_rows(names, len(pixels)), pixels], axis=1)
    return ImageGrid(images, pixels)


def _name_rows(names: Sequence[str], height: int) -> NDArray[np.uint8]:
    """A column of names, each in the middle of its share of the height: uint8 (height, width, 3)."""
    import numpy as np

    font = ImageFont.load_default(14)
    texts = [name.replace(" + ", "\n+ ") for name in names]
    widest = max(font.getlength(line) for text in texts for line in text.splitlines())
    picture = Image.new("RGB", (int(widest) + 16, height), "white")
    draw = ImageDraw.Draw(picture)
    for row, text in enumerate(texts):
        middle = (row + 0.5) * height / len(texts)
        draw.multiline_text((8, middle), text, fill="#222222", font=font, anchor="lm", spacing=3)
    return np.asarray(picture)


def animate(grids: Sequence[ImageGrid], max_width: int = 720) -> list[Image.Image]:
    """Frames of an animation: each grid, in order of time, with its image count and a bar of progress to the last one.

    Frames are reduced to at most `max_width` pixels.

    Raises:
        GridError: There is no grid.
    """
    if not grids:
        raise GridError(
            f"There are no training grids to animate. Train ({stage_command('train')}), or name the experiment that "
            "was trained with --params experiment=NAME"
        )
    end = max(1, grids[-1].images)
    frames = [_frame(grid, end, max_width) for grid in grids]
    # A training that was resumed with another grid has frames of several sizes.
    return [ImageOps.pad(frame, frames[-1].size, color="white") for frame in frames]


def _frame(grid: ImageGrid, end: int, max_width: int) -> Image.Image:
    picture = Image.fromarray(grid.pixels)
    if picture.width > max_width:
        height = round(picture.height * max_width / picture.width)
        picture = picture.resize((max_width, height), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (picture.width, picture.height + CAPTION_HEIGHT), "white")
    frame.paste(picture)
    draw = ImageDraw.Draw(frame)
    draw.rectangle((0, picture.height, picture.width * grid.images // end, picture.height + 3), fill="#4477aa")
    draw.text(
        (4, picture.height + 7), f"{grid.images / 1000:,.1f} kimg", fill="#222222", font=ImageFont.load_default(15)
    )
    return frame
