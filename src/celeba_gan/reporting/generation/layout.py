"""What pictures of rows of images with text beside them have in common."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

DARK: Final = "#222222"
FAINT: Final = "#707070"
_GAP: Final = 2  # pixels between tiles
_MARGIN: Final = 8  # pixels
_FONT, _SMALL = 14, 12  # pixels
_LINE: Final = 17  # pixels


def draw_rows(
    tiles: Pixels,
    columns: Sequence[str],
    left: Sequence[Sequence[str]],
    right: Sequence[Sequence[str]],
    heading: Sequence[str],
    tile: int,
) -> Pixels:
    """Draws rows of images, a name above each column, and lines of text on both sides of each row.

    Args:
        tiles: uint8 (rows, columns, size, size, 3).
        columns: Above the columns.
        left: The lines on the left of each row; the first is the row's name.
        right: The lines on the right of each row.
        heading: Lines above everything.
        tile: Images are enlarged by the largest whole factor that keeps them within this many pixels.

    Returns:
        uint8 (height, width, 3).
    """
    font, small = ImageFont.load_default(_FONT), ImageFont.load_default(_SMALL)
    factor = max(1, tile // tiles.shape[2])
    tiles = tiles.repeat(factor, axis=2).repeat(factor, axis=3)
    side = tiles.shape[2] + _GAP
    widths = [_widest(lines, font, small) for lines in (left, right)]
    top = _MARGIN + _LINE * len(heading) + _LINE + 6
    start = _MARGIN + widths[0] + _MARGIN
    stop = start + side * len(columns)
    of_heading = max((font.getlength(line) for line in heading), default=0)
    width = max(stop + _MARGIN + widths[1], _MARGIN + int(of_heading)) + _MARGIN
    least = max((len(lines) for lines in (*left, *right)), default=0) * _LINE + 4
    height_of_row = max(side, least)
    picture = Image.new("RGB", (width, top + height_of_row * len(tiles) + _MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(heading):
        draw.text((_MARGIN, _MARGIN + _LINE * number), line, fill=DARK, font=font)
    for number, name in enumerate(columns):
        draw.text((start + side * number + side / 2, top - 4), name, fill=DARK, font=font, anchor="ms")
    for row, images in enumerate(tiles):
        above = top + height_of_row * row
        for number, image in enumerate(images):
            picture.paste(Image.fromarray(image), (start + side * number, above + (height_of_row - side) // 2))
        middle = above + height_of_row / 2
        _write(draw, _MARGIN, middle, left[row], font, small)
        _write(draw, stop + _MARGIN, middle, right[row], font, small)
    return np.asarray(picture)


def _widest(rows: Sequence[Sequence[str]], font: _Font, small: _Font) -> int:
    widths = [(small if number else font).getlength(line) for lines in rows for number, line in enumerate(lines)]
    return int(max(widths, default=0))


def _write(
    draw: ImageDraw.ImageDraw,
    x: float,
    middle: float,
    lines: Sequence[str],
    font: _Font,
    small: _Font,
) -> None:
    """Lines around a height; all but the first are small."""
    for number, line in enumerate(lines):
        y = middle + _LINE * (number - (len(lines) - 1) / 2)
        draw.text((x, y), line, fill=FAINT if number else DARK, font=small if number else font, anchor="lm")
