"""Sets of images that are spoilt in one known way each, in five rising strengths.

Some spoil every image, others spoil the set: every image of it is a good one, but together they are not what they
should be.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """What sets are made of; all images uint8 (n, size, size, 3), in random order."""

    images: Images
    """Those that are spoilt."""
    lacking: dict[str, NDArray[np.bool_]]
    """Attribute -> which of the images do not have it."""
    spare: dict[str, Images]
    """Attribute -> further images that do not have it."""
    train: Images
    """Those that a generator would have been trained on; at least as many."""

    def random(self) -> np.random.Generator:
        """The same draws for every strength, so that a stronger corruption contains a weaker one."""
        return np.random.default_rng(0)

    def chosen(self, share: float) -> NDArray[np.int64]:
        """Positions of a random share of the images."""
        return self.random().permutation(len(self.images))[: round(share * len(self.images))]


# --- every image ----------------------------------------------------------------------------------------------------


def blur(material: Material, sigma: float) -> Images:
    """Gaussian, sigma in pixels."""
    reach = int(3 * sigma + 1)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (taps / taps.sum()).expand(3, 1, 1, -1)
    padded = F.pad(_floats(material.images), (reach,) * 4, mode="replicate")
    return _bytes(F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3))


def noise(material: Material, sigma: float) -> Images:
    """Gaussian, independent in every number, sigma of 255."""
    return _rounded(material.images + material.random().normal(0, sigma, material.images.shape))


def jpeg(material: Material, quality: float) -> Images:
    """Compressed and read back."""

    def compress(image: Images) -> Images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(quality))
        return np.asarray(Image.open(file).convert("RGB"))

    return np.stack([compress(image) for image in material.images])


def hue(material: Material, degrees: float) -> Images:
    """Colours turned about the grey axis."""
    angle = np.deg2rad(degrees)
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.cross(np.eye(3), axis)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    return _rounded(material.images @ turn)


def colour_cast(material: Material, gain: float) -> Images:
    """Red times 1 + gain, blue times 1 - gain."""
    return _rounded(material.images * np.array([1 + gain, 1, 1 - gain]))


def contrast(material: Material, loss: float) -> Images:
    """Distances from mid-grey times 1 - loss."""
    return _rounded(127.5 + (1 - loss) * (material.images - 127.5))


def shift(material: Material, pixels: float) -> Images:
    """To the right and down, the first row and column repeated."""
    size, step = material.images.shape[1], int(pixels)
    places = np.maximum(np.arange(size) - step, 0)
    images: Images = material.images[:, places][:, :, places]
    return images


def squares(material: Material, side: float) -> Images:
    """A grey square somewhere in every image."""
    images, random, width = material.images.copy(), material.random(), int(side)
    corners = (random.random((len(images), 2)) * (images.shape[1] - width + 1)).astype(int)
    for image, (top, left) in zip(images, corners, strict=True):
        image[top : top + width, left : left + width] = 127
    return images


def swirl(material: Material, degrees: float) -> Images:
    """Turned by so much at the centre, and by less and less outwards."""
    size = material.images.shape[1]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle = np.deg2rad(degrees) * torch.exp(-((x**2 + y**2) / 0.3))
    grid = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], dim=-1)
    grid = grid.expand(len(material.images), -1, -1, -1)
    turned = F.grid_sample(_floats(material.images), grid, "bicubic", "border", align_corners=False)
    return _bytes(turned)


# --- the set --------------------------------------------------------------------------------------------------------


def two_faces(material: Material, share: float) -> Images:
    """So many images have the lower half of another one."""
    images, places = material.images.copy(), material.chosen(share)
    half = images.shape[1] // 2
    images[places, half:] = material.images[np.roll(material.chosen(1.0), 1)[: len(places)], half:]
    return images


def foreign(material: Material, share: float) -> Images:
    """So many images are noise."""
    images, places = material.images.copy(), material.chosen(share)
    images[places] = material.random().integers(0, 256, images[places].shape, dtype=np.uint8)
    return images


def without(attribute: str) -> Callable[[Material, float], Images]:
    """Of those with the attribute so many are replaced by images without it."""

    def drop(material: Material, share: float) -> Images:
        having = np.flatnonzero(~material.lacking[attribute])
        places = material.random().permutation(having)[: round(share * len(having))]
        images, others = material.images.copy(), material.spare[attribute]
        if len(others) < len(places):
            raise ValueError(f"{len(others)} spare images without {attribute} cannot replace {len(places)}")
        images[places] = others[: len(places)]
        return images

    return drop


def collapse(material: Material, kept: float) -> Images:
    """Only so many different images, of a thousand, each repeated."""
    few = material.chosen(1.0)[: max(1, round(kept / 1000 * len(material.images)))]
    images: Images = material.images[material.random().permutation(np.resize(few, len(material.images)))]
    return images


def copies(material: Material, share: float) -> Images:
    """So many are training images."""
    images, places = material.images.copy(), material.chosen(share)
    images[places] = material.train[: len(places)]
    return images


def mirrored_copies(material: Material, share: float) -> Images:
    """So many are training images, mirrored."""
    images, places = material.images.copy(), material.chosen(share)
    images[places] = material.train[: len(places), :, ::-1]
    return images


def mirrored(material: Material, share: float) -> Images:
    """So many are mirrored."""
    images, places = material.images.copy(), material.chosen(share)
    images[places] = images[places][:, :, ::-1]
    return images


# --- all ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corruption:
    """A way to spoil a set, and its strengths, rising."""

    spoil: Callable[[Material, float], Images]
    strengths: tuple[float, float, float, float, float]
    unit: str
    """What a strength says; `{}` is its place."""
    harmless: bool = False
    """Whether nothing should notice it."""

    def says(self, strength: float) -> str:
        """The strength in words."""
        return self.unit.format(f"{strength:g}" if "%" not in self.unit else f"{100 * strength:g}")


SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
CORRUPTIONS = {
    "blur": Corruption(blur, (0.3, 0.45, 0.6, 0.9, 1.5), "sigma {} px"),
    "noise": Corruption(noise, (2, 4, 8, 16, 32), "sigma {} of 255"),
    "JPEG": Corruption(jpeg, (95, 85, 70, 50, 25), "quality {}"),
    "hue": Corruption(hue, (3, 6, 12, 25, 50), "{}° about grey"),
    "colour cast": Corruption(colour_cast, (0.02, 0.05, 0.1, 0.2, 0.4), "red +{0} %, blue -{0} %"),
    "contrast loss": Corruption(contrast, (0.03, 0.06, 0.12, 0.25, 0.5), "{} % of it"),
    "shift": Corruption(shift, (1, 2, 3, 5, 8), "{} px right and down"),
    "squares": Corruption(squares, (2, 4, 6, 9, 13), "side {} px"),
    "swirl": Corruption(swirl, (5, 10, 20, 40, 80), "{}° at the centre"),
    "two faces in one": Corruption(two_faces, SHARES, "{} % of images"),
    "foreign images": Corruption(foreign, (0.002, 0.01, 0.03, 0.1, 0.3), "{} % noise images"),
    "men left out": Corruption(without("Male"), (0.2, 0.4, 0.6, 0.8, 1.0), "{} % of them"),
    "glasses left out": Corruption(without("Eyeglasses"), (0.2, 0.4, 0.6, 0.8, 1.0), "{} % of them"),
    "collapse": Corruption(collapse, (500, 200, 50, 10, 2), "{} different images of 1000"),
    "training images": Corruption(copies, SHARES, "{} % of images"),
    "mirrored training images": Corruption(mirrored_copies, SHARES, "{} % of images"),
    "mirrored": Corruption(mirrored, SHARES, "{} % of images", harmless=True),
}


def _rounded(images: NDArray[Any]) -> Images:
    result: Images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return result


def _floats(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def _bytes(images: Tensor) -> Images:
    result: Images = images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return result
