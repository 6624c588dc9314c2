"""Smooth shapes, soft shades and clipping on a Pillow image, in the coordinates of a posed face."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from celeba_gan.portraits.description import Colour

WIDTH, HEIGHT = 178, 218
CENTRE = 89.0  # x of CelebA's aligned faces
SUPERSAMPLING = 2
_COARSE = 2  # soft shapes are made with one mask pixel for so many of the image, where blurring costs nothing

Points = NDArray[np.float64]
"""(count, 2): x from the face's middle line, y from the image's top, in pixels of 178x218."""
Control = Points | Sequence[tuple[float, float]]


@cache
def _spline(count: int, closed: bool, steps: int) -> Points:
    """Matrix that takes control points to a Catmull-Rom curve through them."""
    segments = count if closed else count - 1
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    matrix = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        rows = slice(segment * steps, (segment + 1) * steps)
        for offset in range(4):
            at = segment + offset - 1
            matrix[rows, at % count if closed else min(max(at, 0), count - 1)] += weights[:, offset]
    if not closed:
        matrix[-1, -1] = 1
    return matrix


def curve(control: Control, closed: bool = True, steps: int = 6) -> Points:
    """Points of a smooth curve through `control`, `steps` for each of its segments."""
    points = np.asarray(control, dtype=np.float64)
    return _spline(len(points), closed, steps) @ points


@cache
def _circle(count: int) -> Points:
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], count: int = 32) -> Points:
    """Points of an ellipse with the given centre and radii."""
    return _circle(count) * radii + centre


def ribbon(line: Points, width: float, taper: float = 0.0) -> Points:
    """Outline of a stroke along `line`: `width` in the middle, `taper` times that at both ends."""
    half = normals(line) * (width / 2 * _profile(len(line), taper))
    return np.concatenate([line + half, (line - half)[::-1]])


def normals(line: Points) -> Points:
    """Unit vectors across a line, at each of its points."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    across: Points = along[:, ::-1] / np.sqrt((along * along).sum(axis=1, keepdims=True) + 1e-12)
    across[:, 0] *= -1
    return across


@cache
def _profile(count: int, taper: float) -> Points:
    swell: Points = np.sqrt(np.sin(np.linspace(0, math.pi, count)).clip(0, 1))
    return np.asarray(taper + (1 - taper) * swell)[:, None]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def tint(colour: Colour, factors: tuple[float, float, float]) -> Colour:
    """The colour multiplied channel by channel, cut at 255."""
    red, green, blue = (min(255, round(channel * factor)) for channel, factor in zip(colour, factors, strict=True))
    return red, green, blue


@lru_cache(maxsize=512)
def _spot(opacity: int, width: int, height: int) -> Image.Image:
    """Mask of an elliptic spot that fades to nothing at its rim; most of a face's spots recur in every portrait."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    bell = (1 - np.hypot(x, y)).clip(0, 1)
    return Image.fromarray(np.round(opacity * bell * bell * (3 - 2 * bell)).astype(np.uint8))


@dataclass(frozen=True)
class Frame:
    """Maps the coordinates of a head or body to a drawn image: `points @ axes + origin`."""

    axes: Points  # (2, 2), rotation times scale
    origin: Points  # (2,), where (0, 0) goes
    facing: tuple[float, float] = (0.0, 0.0)  # pixels right and down for each that a point lies before the head's axis
    resolution: int = SUPERSAMPLING  # drawn pixels for one of the 178x218

    @classmethod
    def posed(
        cls, pivot: float, roll: float, scale: float, shift: tuple[float, float], facing: tuple[float, float] = (0, 0)
    ) -> "Frame":
        """A frame turned by `roll` degrees about (0, pivot), scaled, and shifted by pixels to the right and down."""
        cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))
        axes = np.array([[cosine, sine], [-sine, cosine]]) * (scale * SUPERSAMPLING)
        origin = np.array([CENTRE + shift[0], pivot + shift[1]]) * SUPERSAMPLING - np.array([0, pivot]) @ axes
        return cls(axes, origin, facing)

    def place(self, points: Points, depth: float = 0.0) -> Points:
        """Drawn positions of points lying `depth` pixels before the head's axis."""
        placed: Points = points @ self.axes + (self.origin + depth * (np.array(self.facing) @ self.axes))
        return placed

    def moved(self, left: int, top: int) -> "Frame":
        """The same frame on an image cut out at (left, top)."""
        return replace(self, origin=self.origin - (left, top))

    def unsampled(self) -> "Frame":
        """The same frame on an image without supersampling."""
        return Frame(self.axes / self.resolution, self.origin / self.resolution, self.facing, 1)


class Brush:
    """Draws on an image in the coordinates of a frame."""

    def __init__(self, image: Image.Image, frame: Frame) -> None:
        self.image = image
        self.frame = frame
        self._pen = ImageDraw.Draw(image)

    def fill(self, points: Points, colour: Colour, depth: float = 0.0) -> None:
        """Fills a polygon."""
        self._pen.polygon(self.frame.place(points, depth).ravel().tolist(), fill=colour)

    def disc(self, centre: tuple[float, float], radius: float, colour: Colour, depth: float = 0.0) -> None:
        """Fills a circle."""
        self.fill(ellipse(centre, (radius, radius), 20), colour, depth)

    def stroke(
        self,
        control: Control,
        width: float,
        colour: Colour,
        depth: float = 0,
        *,
        closed: bool = False,
        taper: float = 0,
    ) -> None:
        """Draws a smooth line through `control`, swelling to `width` pixels in its middle."""
        line = curve(control, closed)
        if closed:
            line = np.concatenate([line, line[:1]])
        self.fill(ribbon(line, width, 1.0 if closed else taper), colour, depth)

    def soft(
        self, points: Points, colour: Colour, opacity: float, blur: float, depth: float = 0.0, *, outside: bool = False
    ) -> None:
        """Fills a polygon, or all that lies outside it, with an edge blurred over `blur` pixels."""
        placed = self.frame.place(points, depth)
        coarse = _COARSE * self.frame.resolution
        margin = 2 * blur * self.frame.resolution
        left, top, right, bottom = 0, 0, *self.image.size
        if not outside:
            low, high = placed.min(axis=0) - margin, placed.max(axis=0) + margin
            left, top = max(left, int(low[0])), max(top, int(low[1]))
            right, bottom = min(right, math.ceil(high[0])), min(bottom, math.ceil(high[1]))
        if right <= left or bottom <= top:
            return
        size = (-(-(right - left) // coarse), -(-(bottom - top) // coarse))
        strength = round(255 * opacity)
        mask = Image.new("L", size, strength if outside else 0)
        scaled = (placed - (left, top)) / coarse
        ImageDraw.Draw(mask).polygon(scaled.ravel().tolist(), fill=0 if outside else strength)
        mask = mask.filter(ImageFilter.GaussianBlur(blur / _COARSE / 2))
        mask = mask.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        self._lay(colour, (left, top), mask)

    def glow(
        self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, opacity: float, depth: float = 0
    ) -> None:
        """Paints an elliptic spot that fades to nothing at `radii`."""
        middle = self.frame.place(np.array([centre]), depth)[0]
        spot = _spot(round(255 * opacity), *(round(2 * self.frame.resolution * radius) for radius in radii))
        self._lay(colour, (round(middle[0] - spot.width / 2), round(middle[1] - spot.height / 2)), spot)

    def _lay(self, colour: Colour, corner: tuple[int, int], mask: Image.Image) -> None:
        """Lays a colour on through a mask; an image of that colour is pasted in half the time of the colour itself."""
        self.image.paste(Image.new("RGB", mask.size, colour), corner, mask)

    @contextmanager
    def inside(self, points: Points, depth: float = 0.0) -> Iterator["Brush"]:
        """A brush on what is there already, whose marks appear only inside the polygon."""
        left, top, right, bottom, mask = self._window(points, depth)
        within = Brush(self.image.crop((left, top, right, bottom)), self.frame.moved(left, top))
        yield within
        self.image.paste(within.image, (left, top), mask)

    @contextmanager
    def modelled(self, points: Points, colour: Colour, depth: float = 0.0) -> Iterator["Brush"]:
        """Fills a polygon with a colour that soft shades and glows model first, at a quarter of the cost."""
        left, top, right, bottom, mask = self._window(points, depth)
        rate = self.frame.resolution
        small = (-(-(right - left) // rate), -(-(bottom - top) // rate))
        flat = Brush(Image.new("RGB", small, colour), self.frame.moved(left, top).unsampled())
        yield flat
        full = flat.image.resize((small[0] * rate, small[1] * rate), Image.Resampling.NEAREST)
        self.image.paste(full.crop((0, 0, right - left, bottom - top)), (left, top), mask)

    def _window(self, points: Points, depth: float) -> tuple[int, int, int, int, Image.Image]:
        """The part of the image where a polygon lies, and the polygon's mask there."""
        placed = self.frame.place(points, depth)
        low = np.maximum(np.floor(placed.min(axis=0)), 0).astype(int)
        high = np.minimum(np.ceil(placed.max(axis=0)) + 1, self.image.size).astype(int)
        high = np.maximum(high, low + 1)
        mask = Image.new("1", tuple((high - low).tolist()), 0)
        ImageDraw.Draw(mask).polygon((placed - low).ravel().tolist(), fill=1)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1]), mask
