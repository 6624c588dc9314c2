"""Films: frames with how long each is shown, and films of walks between samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

FORMATS: Final = ("gif", "webp", "mp4")
"""In the order in which they are shown."""

_DARK: Final = "#222222"
_BAR: Final = "#4477aa"
_GAP: Final = 4  # pixels
_LINE: Final = 18  # pixels


@dataclass(frozen=True)
class Film:
    """Frames of one size, in order of time, and the formats of its files."""

    frames: Sequence[Image.Image]
    frame_ms: int
    last_frame_ms: int
    formats: tuple[str, ...] = ("gif",)  # of gif, webp, mp4


def film_files(path: Path) -> list[Path]:
    """The files of a film that exist: `path` with the suffix of each format."""
    return [file for file in (path.with_suffix(f".{name}") for name in FORMATS) if file.is_file()]


def film_walk(
    images: Iterable[Pixels],
    stops: Pixels,
    names: Sequence[str],
    caption: str,
    size: int,
    frame_ms: int,
    formats: Sequence[str],
    progress: Callable[[int], None] = lambda done: None,
) -> Film:
    """A film of a closed walk through images: the present one, and below it where it is between those it goes through.

    Args:
        images: Those of the walk, uint8 (frames, side, side, 3) in any batches; as many between any two stops.
        stops: Those that the walk goes through, uint8 (stops, side, side, 3); it begins at the first.
        names: Of the stops, written below them.
        caption: Written above the stops.
        size: Width of the film in pixels; its height is more by the caption and the stops.
        frame_ms: Milliseconds of a frame.
        formats: Of gif, webp and mp4.
        progress: Called with the number of frames whose images there are, batch by batch.
    """
    frames: list[Pixels] = []
    for batch in images:
        frames.extend(batch)
        progress(len(frames))
    thumbnail = (size - _GAP * (len(stops) + 1)) // len(stops)
    below = Image.new("RGB", (size, 2 * _LINE + thumbnail + 3 * _GAP), "white")
    draw, font = ImageDraw.Draw(below), ImageFont.load_default(13)
    draw.text((_GAP, _LINE / 2 + _GAP), caption, fill=_DARK, font=font, anchor="lm")
    step = thumbnail + _GAP
    for number, (stop, name) in enumerate(zip(stops, names, strict=True)):
        left = _GAP + number * step
        below.paste(_enlarge(stop, thumbnail), (left, _LINE + _GAP))
        draw.text(
            (left + thumbnail / 2, _LINE + thumbnail + 2 * _GAP + _LINE / 2), name, fill=_DARK, font=font, anchor="mm"
        )
    return Film(
        [
            _frame(image, below, size, _Place(number * len(stops) / len(frames), step, thumbnail))
            for number, image in enumerate(frames)
        ],
        frame_ms,
        frame_ms,
        tuple(formats),
    )


@dataclass(frozen=True)
class _Place:
    """Where a frame is between the stops."""

    stops_passed: float
    step: int  # pixels from one thumbnail to the next
    thumbnail: int  # pixels

    def share(self, stop: int, stops: int) -> float:
        """How near a frame is to a stop: 1 at it, 0 from the next one on."""
        apart = abs(self.stops_passed - stop)
        return max(0.0, 1 - min(apart, stops - apart))  # the walk is closed


def _frame(image: Pixels, below: Image.Image, size: int, place: _Place) -> Image.Image:
    frame = Image.new("RGB", (size, size + below.height), "white")
    frame.paste(_enlarge(image, size))
    frame.paste(below, (0, size))
    draw = ImageDraw.Draw(frame)
    stops = round((size - _GAP) / place.step)
    top = size + _LINE + _GAP + place.thumbnail
    for stop in range(stops):  # a bar below each thumbnail, as long as the frame is near to it
        left, share = _GAP + stop * place.step, place.share(stop, stops)
        if share > 0:
            draw.rectangle((left, top + 1, left + round(share * (place.thumbnail - 1)), top + _GAP - 1), fill=_BAR)
    return frame


def _enlarge(image: Pixels, size: int) -> Image.Image:
    return Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
