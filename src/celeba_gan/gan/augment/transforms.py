"""Augmentation of what the discriminator sees: DiffAugment and adaptive augmentation (ADA).

All numbers are drawn beforehand, on the CPU and for the global batch (`draw`); `augment` is then a pure function of
images, numbers and strength, differentiable twice in the images. Reals and fakes are augmented alike, each with draws
of their own. The strength p is the probability with which each transformation happens to an image: it does when its
uniform number is below p, so p may move without changing a draw. At p = 0 images come back bit for bit.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from celeba_gan.gan.augment.config import AdaSettings, AugmentSettings, DiffAugmentSettings

Kind = Literal["uniform", "normal"]
Table = Mapping[str, tuple[Kind, ...]]

TABLES: dict[str, Table] = {
    "none": {},
    "diffaugment": {
        "brightness": ("uniform",),
        "saturation": ("uniform",),
        "contrast": ("uniform",),
        "translation": ("uniform", "uniform"),
        "cutout": ("uniform", "uniform"),
    },
    "ada": {
        "x_flip": ("uniform",),
        "rotate90": ("uniform",),
        "translation": ("uniform", "uniform"),
        "scaling": ("normal",),
        "rotation_before": ("uniform",),
        "anisotropic_scaling": ("normal",),
        "rotation_after": ("uniform",),
        "fractional_translation": ("normal", "normal"),
        "brightness": ("normal",),
        "contrast": ("normal",),
        "luma_flip": ("uniform",),
        "hue": ("uniform",),
        "saturation": ("normal",),
        "cutout": ("uniform", "uniform"),
    },
}
"""The transformations of each variant, in the order in which they happen, and the numbers each of them draws.

Two numbers are horizontal (to the right) and vertical (down). All are drawn whether a transformation is switched on or
not, so that switching one off leaves the others' draws alone.
"""

TAPS = 4  # pixels on either side that the interpolation filter looks at


class AugmentNoise(NamedTuple):
    """The random numbers of a batch: one row per image."""

    chance: Tensor  # (batch, transformations), uniform in [0, 1): it happens where this is below p
    amount: Tensor  # (batch, numbers), uniform in [0, 1) or standard normal, as in the table


def draw(settings: AugmentSettings, batch: int, generator: torch.Generator) -> AugmentNoise:
    """Draws the numbers for a global batch on the CPU; they depend on the variant's name, not on its settings."""
    table = TABLES[settings.name]
    kinds = [kind for kinds in table.values() for kind in kinds]
    chance = torch.rand(batch, len(table), generator=generator)
    uniform = torch.rand(batch, len(kinds), generator=generator)
    normal = torch.randn(batch, len(kinds), generator=generator)
    is_normal = torch.tensor([kind == "normal" for kind in kinds], dtype=torch.bool)
    return AugmentNoise(chance, torch.where(is_normal, normal, uniform))


def augment(images: Tensor, noise: AugmentNoise, settings: AugmentSettings, strength: Tensor | float) -> Tensor:
    """Augments images; pure, deterministic and linear or affine in each image, so twice differentiable.

    Computed in float32 at least, whatever autocast sets. On CUDA the backward pass of ADA adds in no fixed order where
    torch's deterministic algorithms are off; `choose_hardware` switches them on.

    Args:
        images: (batch, 3, height, width) in [-1, 1]; the result may leave that range.
        noise: As many rows, on the images' device.
        settings: Which variant, and its ranges.
        strength: Probability p of each transformation, a scalar; a tensor on the device where it moves, so that no
            compilation depends on its value.

    Returns:
        Images of the same shape, dtype and memory format.
    """
    if settings.name == "none":
        return images
    channels_last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    with torch.autocast(images.device.type, enabled=False):
        exact = images.to(torch.promote_types(images.dtype, torch.float32))
        drawn = _Drawn(noise, TABLES[settings.name], strength, exact)
        if settings.name == "diffaugment":
            changed = _diffaugment(exact, drawn, settings.diffaugment)
        else:
            changed = _adaptive(exact, drawn, settings.ada)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return changed.to(images.dtype).contiguous(memory_format=layout)


class _Drawn:
    """Reads the numbers of a batch by the name of their transformation."""

    def __init__(self, noise: AugmentNoise, table: Table, strength: Tensor | float, images: Tensor) -> None:
        self.p = torch.as_tensor(strength, dtype=torch.float32, device=images.device)
        self.like = images[:, 0, 0, 0].detach()  # (batch,): dtype and device of what is computed
        self.chance = dict(zip(table, noise.chance.unbind(1), strict=True))
        columns = iter(noise.amount.to(images.dtype).unbind(1))
        self.amount = {name: [next(columns) for _ in kinds] for name, kinds in table.items()}

    def happens(self, name: str) -> Tensor:
        """Bool (batch,)."""
        # Two turns, before and after the unequal scaling, together as probable as any other transformation.
        p = 1 - (1 - self.p).sqrt() if name.startswith("rotation_") else self.p
        return self.chance[name] < p

    def pick(self, name: str, value: Tensor, neutral: float) -> Tensor:
        """The value where the transformation happens, and elsewhere what changes nothing: (batch,)."""
        return torch.where(self.happens(name), value, neutral)

    def matrix(self, *rows: tuple[Tensor | float, ...]) -> Tensor:
        """A matrix per image, of numbers per image and numbers for all: (batch, rows, columns)."""
        filled = [
            torch.stack([item if isinstance(item, Tensor) else torch.full_like(self.like, item) for item in row], dim=1)
            for row in rows
        ]
        return torch.stack(filled, dim=1)


def _diffaugment(images: Tensor, drawn: _Drawn, settings: DiffAugmentSettings) -> Tensor:
    """Zhao et al. 2020, section 3.2, in the order and with the ranges of their code."""
    (bright,), (colour,), (contrast,) = (drawn.amount[name] for name in ("brightness", "saturation", "contrast"))
    if settings.brightness:
        images = images + drawn.pick("brightness", bright - 0.5, 0.0)[:, None, None, None]
    if settings.saturation:
        grey = images.mean(dim=1, keepdim=True)
        images = torch.lerp(grey, images, drawn.pick("saturation", colour * 2, 1.0)[:, None, None, None])
    if settings.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, drawn.pick("contrast", contrast + 0.5, 1.0)[:, None, None, None])
    height, width = images.shape[2:]
    most_right, most_down = _pixels(width, settings.translation), _pixels(height, settings.translation)
    if most_right or most_down:
        across, down = drawn.amount["translation"]
        right = drawn.pick("translation", _integer(across, 2 * most_right + 1) - most_right, 0.0)
        lower = drawn.pick("translation", _integer(down, 2 * most_down + 1) - most_down, 0.0)
        images = _shift(images, right.long(), lower.long())
    wide, high = _pixels(width, settings.cutout), _pixels(height, settings.cutout)
    if wide and high:
        across, down = drawn.amount["cutout"]
        # An even square's centre lies between pixels, so it has one place more; at the edge it reaches out.
        left = _integer(across, width + 1 - wide % 2) - wide // 2
        top = _integer(down, height + 1 - high % 2) - high // 2
        images = _cover(images, drawn.happens("cutout"), (left, wide), (top, high))
    return images


def _adaptive(images: Tensor, drawn: _Drawn, settings: AdaSettings) -> Tensor:
    """Karras et al. 2020, appendix B: geometry, colour and cutout."""
    height, width = images.shape[2:]
    geometry = ("x_flip", "rotate90", "translation", "scaling", "rotation", "anisotropic_scaling")
    if any(getattr(settings, name) for name in (*geometry, "fractional_translation")):
        images = _resample(images, _sources(drawn, settings, height, width))
    if any(getattr(settings, name) for name in ("brightness", "contrast", "luma_flip", "hue", "saturation")):
        images = _recolour(images, _colours(drawn, settings))
    if settings.cutout:
        across, down = drawn.amount["cutout"]
        wide, high = settings.cutout * width, settings.cutout * height  # the pixels whose centre it covers
        left, top = across * width - wide / 2 - 0.5, down * height - high / 2 - 0.5
        images = _cover(images, drawn.happens("cutout"), (left, wide), (top, high))
    return images


def _sources(drawn: _Drawn, settings: AdaSettings, height: int, width: int) -> Tensor:
    """Where each pixel of the result comes from, in pixels from the centre, as one matrix: (batch, 3, 3).

    Inverses of the transformations, the first of them leftmost. Those by whole pixels and quarter turns are exact.
    """
    amount, pick = drawn.amount, drawn.pick
    source = drawn.matrix((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def then(across: tuple[Tensor | float, ...], down: tuple[Tensor | float, ...]) -> None:
        nonlocal source
        source = _product(source, drawn.matrix(across, down, (0.0, 0.0, 1.0)))

    def turn(cosine: Tensor, sine: Tensor) -> None:
        then((cosine, -sine, 0.0), (sine, cosine, 0.0))

    if settings.x_flip:
        then((1 - 2 * pick("x_flip", _integer(amount["x_flip"][0], 2), 0.0), 0.0, 0.0), (0.0, 1.0, 0.0))
    if settings.rotate90:
        quarters = pick("rotate90", _integer(amount["rotate90"][0], 4), 0.0)
        turn((quarters - 2).abs() - 1, torch.where(quarters == 0, 0.0, 2 - quarters))  # of 0, 90, 180, 270 degrees
    if settings.translation:
        shifts = [(number * 2 - 1) * settings.translation for number in amount["translation"]]
        right, lower = (shift * side for shift, side in zip(shifts, (width, height), strict=True))
        then((1.0, 0.0, -pick("translation", right.round(), 0.0)), (0.0, 1.0, -pick("translation", lower.round(), 0.0)))
    if settings.scaling:
        scale = pick("scaling", torch.exp2(amount["scaling"][0] * settings.scaling), 1.0)
        then((1 / scale, 0.0, 0.0), (0.0, 1 / scale, 0.0))
    if settings.rotation:
        _turn_at_random(drawn, "rotation_before", settings.rotation, turn)
    if settings.anisotropic_scaling:
        stretch = torch.exp2(amount["anisotropic_scaling"][0] * settings.anisotropic_scaling)
        stretch = pick("anisotropic_scaling", stretch, 1.0)
        then((1 / stretch, 0.0, 0.0), (0.0, stretch, 0.0))
    if settings.rotation:
        _turn_at_random(drawn, "rotation_after", settings.rotation, turn)
    if settings.fractional_translation:
        right, lower = (number * settings.fractional_translation for number in amount["fractional_translation"])
        right, lower = (pick("fractional_translation", shift, 0.0) for shift in (right * width, lower * height))
        then((1.0, 0.0, -right), (0.0, 1.0, -lower))
    return source


def _turn_at_random(drawn: _Drawn, name: str, most: float, turn: Callable[[Tensor, Tensor], None]) -> None:
    angle = drawn.pick(name, (drawn.amount[name][0] * 2 - 1) * math.radians(most), 0.0)
    turn(angle.cos(), angle.sin())


def _colours(drawn: _Drawn, settings: AdaSettings) -> Tensor:
    """What happens to (red, green, blue, 1), as one matrix: (batch, 4, 4)."""
    amount, pick = drawn.amount, drawn.pick
    colours = drawn.matrix(*(tuple(float(row == column) for column in range(4)) for row in range(4)))

    def then(own: Tensor, after: Tensor | float, before: Tensor | float, added: Tensor | float = 0.0) -> None:
        """No colour is singled out: weights of the channel itself, of the next and of the one before, cyclically."""
        nonlocal colours
        rows = ((own, after, before, added), (before, own, after, added), (after, before, own, added))
        colours = _product(drawn.matrix(*rows, (0.0, 0.0, 0.0, 1.0)), colours)

    if settings.brightness:
        added = pick("brightness", amount["brightness"][0] * settings.brightness, 0.0)
        then(torch.ones_like(added), 0.0, 0.0, added)
    if settings.contrast:
        then(pick("contrast", torch.exp2(amount["contrast"][0] * settings.contrast), 1.0), 0.0, 0.0)
    if settings.luma_flip:
        grey = pick("luma_flip", _integer(amount["luma_flip"][0], 2), 0.0) * (-2 / 3)
        then(1 + grey, grey, grey)
    if settings.hue:
        angle = pick("hue", (amount["hue"][0] * 2 - 1) * math.radians(settings.hue), 0.0)
        grey, sideways = (1 - angle.cos()) / 3, angle.sin() / math.sqrt(3)
        then(angle.cos() + grey, grey - sideways, grey + sideways)
    if settings.saturation:
        scale = pick("saturation", torch.exp2(amount["saturation"][0] * settings.saturation), 1.0)
        grey = (1 - scale) / 3
        then(scale + grey, grey, grey)
    return colours


def _recolour(images: Tensor, colours: Tensor) -> Tensor:
    """Applies a matrix (batch, 4, 4) to the colours of each image; element by element, so never in TF32."""
    weights = colours[:, :3, :, None, None]  # (batch, to, from, 1, 1)
    red, green, blue = (images[:, channel, None] * weights[:, :, channel] for channel in range(3))
    return red + green + blue + weights[:, :, 3]


def _resample(images: Tensor, sources: Tensor) -> Tensor:
    """Reads each pixel from the place its matrix (batch, 3, 3) gives; beyond the edge images continue mirrored.

    Linear interpolation alone would blur by the fraction of a pixel that an image happens to be moved by, and hide from
    the discriminator just the fine detail that it should see. So images are first doubled with a Lanczos filter, whose
    every other pixel is the original one, and then read linearly. Nothing is filtered after shrinking: at scale 0.76
    (two deviations) only what lies beyond 0.76 of the highest frequency folds, 1.6 % of the variance of drawn
    portraits, and for reals and fakes alike; filtering would read four times as many pixels. gather, unlike
    grid_sample, has a second derivative.
    """
    height, width = images.shape[2:]
    # float32 products on CUDA need TF32 off for exact originals; `choose_hardware` sees to that.
    doubled = _doubling(height, images) @ images.contiguous() @ _doubling(width, images).T
    x = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    y = torch.arange(height, device=images.device, dtype=images.dtype)[:, None] - (height - 1) / 2
    across, down = (row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in sources[:, :2, :, None, None].unbind(1))
    across = _reflect(across + (width - 1) / 2, width - 1) * 2  # (batch, height, width)
    down = _reflect(down + (height - 1) / 2, height - 1) * 2
    left, top = across.floor().clamp(max=2 * width - 3), down.floor().clamp(max=2 * height - 3)
    right_share, lower_share = (across - left)[:, None], (down - top)[:, None]
    line = 2 * width - 1
    first = top.long() * line + left.long()
    upper = torch.lerp(_take(doubled, first), _take(doubled, first + 1), right_share)
    lower = torch.lerp(_take(doubled, first + line), _take(doubled, first + line + 1), right_share)
    return torch.lerp(upper, lower, lower_share)


def _doubling(side: int, like: Tensor) -> Tensor:
    """The matrix that puts a pixel between every two of a row, by a Lanczos filter: (2 side - 1, side)."""
    place = torch.arange(2 * side - 1, device=like.device)
    offset = torch.arange(1 - TAPS, TAPS + 1, device=like.device)
    distance = offset.to(like.dtype) - 0.5
    between = torch.sinc(distance) * torch.sinc(distance / TAPS)
    itself = (offset == 0).to(like.dtype)
    weights = torch.where((place % 2 == 1)[:, None], between / between.sum(), itself)
    sources = _reflect(place[:, None] // 2 + offset, side - 1)
    return torch.zeros(2 * side - 1, side, dtype=like.dtype, device=like.device).scatter_add(1, sources, weights)


def _reflect(place: Tensor, last: int) -> Tensor:
    """Folds places on a line into [0, last], as mirrors at both ends would."""
    return last - (torch.remainder(place, 2 * last) - last).abs()


def _take(images: Tensor, places: Tensor) -> Tensor:
    """Pixels at places (batch, height, width), which count through an image: (batch, channels, height, width)."""
    batch, channels = images.shape[:2]
    picked = images.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, channels, -1))
    return picked.view(batch, channels, *places.shape[1:])


def _shift(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Moves each image by whole pixels, int64 (batch,); zeros come in."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - right[:, None, None]  # (batch, 1, width)
    y = torch.arange(height, device=images.device)[:, None] - down[:, None, None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    moved = _take(images, y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
    return moved.masked_fill(~inside[:, None], 0)


def _cover(images: Tensor, happens: Tensor, across: tuple[Tensor, float], down: tuple[Tensor, float]) -> Tensor:
    """Sets a rectangle of some images to zero: the pixels in [first, first + length), first (batch,), both ways."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - across[0][:, None, None]
    y = torch.arange(height, device=images.device)[:, None] - down[0][:, None, None]
    hole = (x >= 0) & (x < across[1]) & (y >= 0) & (y < down[1]) & happens[:, None, None]
    return images.masked_fill(hole[:, None], 0)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Products of small matrices (batch, n, n), exact for whole numbers on every device."""
    return (first[..., None] * second[:, None]).sum(dim=2)


def _integer(uniform: Tensor, count: int) -> Tensor:
    """A whole number in [0, count), as a float."""
    return (uniform * count).floor()


def _pixels(side: int, share: float) -> int:
    return int(side * share + 0.5)
