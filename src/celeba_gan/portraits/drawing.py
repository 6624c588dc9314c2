"""Draws a portrait: from the backdrop to the sensor's noise."""

import math
import random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from celeba_gan.portraits import face, hair, wear
from celeba_gan.portraits.canvas import HEIGHT, SUPERSAMPLING, WIDTH, Brush, Frame, mix
from celeba_gan.portraits.description import Portrait

DRAWING_VERSION = 1
"""Raise it with every change of the pixels of a portrait, or of the portrait of a seed."""

_ROWS, _COLUMNS = np.mgrid[-1:1:55j, -1:1:45j].astype(np.float32)
_SLOPE = np.linspace(-14, 14, WIDTH, dtype=np.float32)  # grey levels that a light from the right adds
_TRIANGLE_DEVIATION = 104.5  # standard deviation of the sum of two random bytes


def draw(portrait: Portrait) -> Image.Image:
    """Draws a portrait as CelebA frames its aligned faces: RGB, 178x218 pixels, eyes near (70, 111) and (108, 111)."""
    image = _backdrop(portrait)
    roll, scale, (right, down) = portrait.roll, portrait.scale, portrait.shift
    facing = (0.55 * portrait.turn, 0.4 * portrait.nod)
    head = Brush(image, Frame.posed(120, roll, scale, (right, down), facing))
    body = Brush(image, Frame.posed(180, 0.25 * roll, scale, (right - 0.3 * roll, down)))
    hair.draw_behind(head, portrait)
    wear.draw_body(body, portrait)
    if portrait.cut not in hair.FALLING:
        face.draw_ears(head, portrait.person)
    face.draw_skin(head, portrait, face.outline(portrait.person))
    face.draw_beard(head, portrait)
    face.draw_nose(head, portrait)
    face.draw_mouth(head, portrait)
    face.draw_eyes(head, portrait)
    face.draw_brows(head, portrait)
    hair.draw_in_front(head, portrait)
    wear.draw_earrings(head, portrait)
    wear.draw_glasses(head, portrait)
    wear.draw_hat(head, portrait)
    return _photograph(image, portrait)


def _backdrop(portrait: Portrait) -> Image.Image:
    """The background, supersampled; it is soft, so it is made small and enlarged."""
    first, second = (np.array(colour, dtype=np.float32) for colour in portrait.backdrop_colours)
    x, y = _COLUMNS, _ROWS
    across = x * math.cos(portrait.backdrop_angle) + y * math.sin(portrait.backdrop_angle)
    if portrait.backdrop == "halo":
        share = np.hypot(x, (y + 0.1) * 1.2) / 1.35
    elif portrait.backdrop == "diagonal":
        share = 0.5 + 0.5 * np.tanh(5 * across)
    else:
        share = 0.5 + 0.42 * across
    small = first + (second - first) * share.clip(0, 1)[:, :, None]
    image = Image.fromarray(small.astype(np.uint8))
    if portrait.backdrop == "bokeh":
        image = image.resize((90, 110), Image.Resampling.BILINEAR)
        rng = random.Random(portrait.grain)
        pen = ImageDraw.Draw(image, "RGBA")
        for _ in range(9):
            column, row, radius = rng.uniform(0, 90), rng.uniform(0, 90), rng.uniform(5, 13)
            colour = mix(portrait.backdrop_colours[int(column) % 2], (255, 250, 236), 0.55)
            pen.ellipse((column - radius, row - radius, column + radius, row + radius), fill=(*colour, 92))
        image = image.filter(ImageFilter.BoxBlur(1.5))
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return image.resize((WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING), Image.Resampling.NEAREST)


def _photograph(image: Image.Image, portrait: Portrait) -> Image.Image:
    """Reduces to 178x218, then adds what the camera adds: blur, light from one side, the sensor's noise."""
    image = image.reduce(SUPERSAMPLING)
    if portrait.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(portrait.blur))
    rolls = np.frombuffer(random.Random(portrait.grain).randbytes(2 * WIDTH * HEIGHT), dtype=np.uint8)
    noise = rolls.reshape(2, HEIGHT, WIDTH).sum(axis=0, dtype=np.float32) - 255
    offset = 128.5 + noise * np.float32(portrait.noise / _TRIANGLE_DEVIATION) + _SLOPE * np.float32(portrait.light)
    grey = Image.fromarray(offset.astype(np.uint8))
    return ImageChops.add(image, Image.merge("RGB", (grey, grey, grey)), offset=-128)
