"""Images of known modes, and a judge that says which mode an image shows, if any.

A mode is one of ten shapes in one of ten hues. Place, size, shade and background vary within it, so that an image is
told by what it shows and not by its pixels. A generator's samples then say how many modes it makes, how evenly, and
how many of them show no mode at all.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CORNERS = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)]) * 0.22
"""Places of discs: distances right and down from the image's centre, as shares of the side."""
SHAPES = [*((corner,) for corner in range(4)), *combinations(range(4), 2)]
"""One disc, or two: ten shapes, as indices into `CORNERS`."""
SUBPIXELS = 4  # in each direction
RADII = (0.15, 0.21)  # of a disc, as a share of the side
JITTER = 1 / 32  # largest distance of a shape from its place, in each direction, as a share of the side
HUE_JITTER = 0.2  # largest distance of a colour from its mode's, as a share of the distance between two modes


class ModeImages:
    """Packed images as training sees them, each of a mode drawn at random, all of them for training.

    `modes` (count,) holds the mode of each image, shape x hues + hue.
    """

    def __init__(self, size: int, count: int, seed: int = 0, *, shapes: int = 10, hues: int = 10) -> None:
        rng = np.random.default_rng(seed)
        self.size, self.shapes, self.hues = size, shapes, hues
        self.digest = f"modes-{size}-{count}-{seed}-{shapes}-{hues}"
        self.modes = rng.integers(shapes * hues, size=count)
        shape, hue = np.divmod(self.modes, hues)
        masks = draw_masks(
            size, shape, rng.uniform(-JITTER, JITTER, (count, 2)), rng.uniform(RADII[0], RADII[1], count)
        )
        turn = (hue + rng.uniform(-HUE_JITTER, HUE_JITTER, count)) / hues
        colours = from_hsv(turn, rng.uniform(0.7, 1, count), rng.uniform(0.75, 1, count))
        greys = rng.uniform(0.1, 0.4, (count, 1))
        pixels = greys[:, None] + masks[..., None] * (colours - greys)[:, None]  # (count, pixels, 3) in [0, 1]
        self.pixels = np.rint(pixels * 255).astype(np.uint8).reshape(count, size, size, 3)

    def split(self, name: str) -> tuple[int, int]:
        """All of them."""
        return 0, len(self.pixels)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copies of some."""
        return self.pixels[indices]


def draw_masks(size: int, shapes: NDArray[np.int64], centres: Floats, radii: Floats) -> Floats:
    """How much of each pixel a shape covers: (count, size x size) in [0, 1].

    Args:
        size: Height and width in pixels.
        shapes: Indices into `SHAPES`, (count,).
        centres: Distances right and down from the image's centre, as shares of the side: (count, 2).
        radii: As shares of the side: (count,).
    """
    fine = (np.arange(size * SUBPIXELS) + 0.5) / (size * SUBPIXELS) - 0.5
    masks = np.empty((len(shapes), size * size))
    for row, (shape, (right, down), radius) in enumerate(zip(shapes, centres, radii, strict=True)):
        inside = np.zeros((len(fine), len(fine)), bool)
        for x, y in CORNERS[list(SHAPES[shape])]:
            inside |= (fine[None] - right - x) ** 2 + (fine[:, None] - down - y) ** 2 < radius**2
        masks[row] = inside.reshape(size, SUBPIXELS, size, SUBPIXELS).mean(axis=(1, 3)).ravel()
    return masks


def from_hsv(turn: Floats, saturation: Floats, value: Floats) -> Floats:
    """Colours from hue (in turns), saturation and value, (count,) each: red, green and blue, (count, 3) in [0, 1]."""
    distance = (np.array([5.0, 3.0, 1.0]) + turn[:, None] * 6) % 6
    strength = np.clip(np.minimum(distance, 4 - distance), 0, 1)
    colours: Floats = value[:, None] * (1 - saturation[:, None] * strength)
    return colours


SLACK = 0.1
"""How far samples may lie beyond real images: as a share of the distance between two hues, or of a value's range."""


@dataclass(frozen=True)
class Verdict:
    """What a set of images shows."""

    counts: NDArray[np.int64]
    """Accepted images of each mode, (modes,)."""
    judged: int

    @property
    def quality(self) -> float:
        """Share of images that show any mode."""
        return int(self.counts.sum()) / self.judged

    @property
    def covered(self) -> int:
        """Modes with at least a tenth of their fair share of all judged images."""
        return int((self.counts * len(self.counts) * 10 >= self.judged).sum())

    @property
    def divergence(self) -> float:
        """KL(modes of the accepted images || uniform) in nats: 0 where all are as frequent, log(modes) without any."""
        if not self.counts.sum():
            return float(np.log(len(self.counts)))
        shares = self.counts[self.counts > 0] / self.counts.sum()
        return float((shares * np.log(shares * len(self.counts))).sum())


class Judge:
    """Says which mode an image shows, or that it shows none.

    An image is taken for `background + mask x contrast`, fitted by least squares with that mask, out of shapes at many
    places and sizes, which leaves least unexplained. Its shape is the mask's, its hue that of background + contrast. It
    shows no mode where its unexplained share, its distance from the mode's hue, its saturation, its value, or the
    brightness or colour of its background are not what they are in real images. All bounds come from `images`.
    """

    def __init__(self, images: ModeImages) -> None:
        self.shapes, self.hues = images.shapes, images.hues
        steps, radii = np.linspace(-JITTER, JITTER, 5), np.linspace(*RADII, 6)
        places = np.stack([grid.ravel() for grid in np.meshgrid(steps, steps, radii, indexing="ij")], axis=1)
        shape = np.repeat(np.arange(images.shapes), len(places))
        places = np.tile(places, (images.shapes, 1))
        masks = draw_masks(images.size, shape, places[:, :2], places[:, 2])
        self._mask_shapes = shape
        self._mask_means = masks.mean(axis=1)
        masks -= self._mask_means[:, None]
        self._mask_norms = np.linalg.norm(masks, axis=1)
        self._masks = masks / self._mask_norms[:, None]  # (masks, pixels), each of mean 0 and norm 1
        features, _, others = self._fit(images.pixels)
        least, most = np.quantile(features, [0.001, 0.999], axis=0)
        self._least, self._most = least - SLACK, most + SLACK
        self._most[0] = (most[0] + np.quantile(others, 0.001)) / 2  # half way to another shape

    def __call__(self, images: NDArray[np.uint8]) -> Verdict:
        """Judges images, uint8 (count, size, size, 3)."""
        modes = self.modes(images)
        return Verdict(np.bincount(modes[modes >= 0], minlength=self.shapes * self.hues), len(images))

    def modes(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The mode of each image, (count,); -1 for none."""
        features, modes, _ = self._fit(images)
        accepted = ((features >= self._least) & (features <= self._most)).all(axis=1)
        return np.where(accepted, modes, -1)

    def _fit(self, images: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.int64], Floats]:
        """What is judged of each image, (count, 6); the nearest mode; the least share another shape leaves."""
        parts = [self._fit_part(images[start : start + 500]) for start in range(0, len(images), 500)]
        features, modes, others = (np.concatenate(part) for part in zip(*parts, strict=True))
        return features, modes, others

    def _fit_part(self, images: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.int64], Floats]:
        pixels = images.reshape(len(images), -1, 3).transpose(0, 2, 1) / 255  # (count, 3, pixels)
        means = pixels.mean(axis=2)
        pixels -= means[..., None]
        along = pixels @ self._masks.T  # (count, 3, masks)
        energy = np.maximum((pixels**2).sum(axis=(1, 2)), 1e-12)
        unexplained = 1 - (along**2).sum(axis=1) / energy[:, None]  # (count, masks)
        best = unexplained.argmin(axis=1)
        row = np.arange(len(images))
        contrast = along[row, :, best] / self._mask_norms[best, None]
        background = means - contrast * self._mask_means[best, None]
        shape = self._mask_shapes[best]
        turn, saturation, value = _to_hsv(background + contrast)
        hue = np.rint(turn * self.hues).astype(np.int64) % self.hues
        off = (turn * self.hues - hue + 0.5) % 1 - 0.5  # in distances between two hues
        coloured = background.max(axis=1) - background.min(axis=1)
        features = [unexplained[row, best], off, saturation, value, background.mean(axis=1), coloured]
        others = np.where(self._mask_shapes[None] == shape[:, None], np.inf, unexplained).min(axis=1)
        return np.stack(features, axis=1), shape * self.hues + hue, others


def _to_hsv(colours: Floats) -> tuple[Floats, Floats, Floats]:
    """Hue in turns, saturation and value, (count,) each, of colours (count, 3)."""
    red, green, blue = colours.T
    value = colours.max(axis=1)
    spread = value - colours.min(axis=1)
    divisor = np.maximum(spread, 1e-9)
    sixths = np.select(
        [value == red, value == green],
        [(green - blue) / divisor, 2 + (blue - red) / divisor],
        4 + (red - green) / divisor,
    )
    return sixths / 6 % 1, spread / np.maximum(value, 1e-9), value
