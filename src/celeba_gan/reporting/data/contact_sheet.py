"""A few dozen training images at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from celeba_gan.images.packed import PackedImages

if TYPE_CHECKING:
    from pandas import DataFrame

_WIDTH: Final = 1000  # pixels, which kedro-viz shows unscaled
_ROWS: Final = 6
_MOST_CLASSES: Final = 12
_GAP, _HEADING = 2, 24  # pixels


def draw_contact_sheet(packed: PackedImages, labels: DataFrame, classes: DataFrame) -> Image.Image:
    """Draws training images in a grid, spaced evenly over the split; with classes, a row of each of the largest twelve.

    Row i of `labels` describes image i; `classes` has the columns `class`, `name` and `train`, a number of images.
    """
    start, stop = packed.split("train")
    if len(classes) == 1:
        tile = 128
        columns = _WIDTH // (tile + _GAP)
        chosen = start + _evenly(stop - start, columns * _ROWS)
        heading = f"{len(chosen):,} of {stop - start:,} training images of {packed.size}x{packed.size} pixels"
        return _stack([(heading, chosen)], packed, columns, tile)
    tile = 96
    columns = _WIDTH // (tile + _GAP)
    number_of = labels["class"].to_numpy()[start:stop]
    shown = classes.nlargest(_MOST_CLASSES, "train").sort_values("class")
    rows = []
    for number, name, train in zip(shown["class"], shown["name"], shown["train"], strict=True):
        members = start + np.flatnonzero(number_of == number)
        rows.append((f"Class {number}: {name}, {train:,} training images", members[_evenly(len(members), columns)]))
    if len(shown) < len(classes):
        rows.insert(0, (f"The {len(shown)} largest of {len(classes):,} classes", np.array([], np.int64)))
    return _stack(rows, packed, columns, tile)


def _evenly(length: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the numbers below `length`, evenly spaced, with the first and the last."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))


def _stack(blocks: list[tuple[str, NDArray[np.int64]]], packed: PackedImages, columns: int, most: int) -> Image.Image:
    """Blocks of images, one below the other, each with a heading."""
    tile = packed.size * (most // packed.size) if packed.size <= most else most
    step = tile + _GAP
    heights = [_HEADING + step * -(-len(indices) // columns) for _, indices in blocks]
    sheet = Image.new("RGB", (columns * step + _GAP, sum(heights) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    top = 0
    for (heading, indices), height in zip(blocks, heights, strict=True):
        draw.text((_GAP + 2, top + 3), _shorten(heading, font, sheet.width - 2 * _GAP - 4), fill="#222222", font=font)
        for place, pixels in enumerate(packed.gather(indices)):
            row, column = divmod(place, columns)
            filter_ = Image.Resampling.NEAREST if len(pixels) <= tile else Image.Resampling.LANCZOS
            image = Image.fromarray(pixels).resize((tile, tile), filter_)
            sheet.paste(image, (_GAP + column * step, top + _HEADING + row * step))
        top += height
    return sheet


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut to a width in pixels."""
    shortened = text
    while font.getlength(shortened) > width:
        text = text[:-1]
        shortened = f"{text.rstrip()}..."
    return shortened
