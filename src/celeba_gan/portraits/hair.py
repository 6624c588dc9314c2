"""Hair: what falls behind the head, what frames the face, strands and gloss."""

import dataclasses
import random

import numpy as np

from celeba_gan.portraits.canvas import Brush, Points, curve, ellipse, mix, normals, ribbon, tint
from celeba_gan.portraits.description import Colour, Cut, Portrait
from celeba_gan.portraits.face import SKULL_Y, face_width, shaded

_SIDES = (-1, 1)
FALLING: tuple[Cut, ...] = ("bob", "long")
"""The cuts that cover the ears."""
_CURLED: tuple[Cut, ...] = ("curly", "afro")
# how far the hair stands off the skull, in pixels: above it, beside it
_VOLUME: dict[Cut, tuple[float, float]] = {
    "bald": (0, 0), "buzz": (2.5, 1), "short": (10, 3.5), "quiff": (14, 3), "curly": (10, 6),
    "afro": (20, 16), "bob": (8, 6), "long": (8, 5), "bun": (5, 2), "ponytail": (5, 2),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lock:
    """The hair on one side of the parting: from there to its end, along the outside and along the face."""

    outer: Points
    inner: Points

    @property
    def shape(self) -> Points:
        """The closed outline."""
        return np.concatenate([self.outer, self.inner[::-1]])

    def between(self, share: float) -> Points:
        """A strand: the outside (0), the edge at the face (1), or what lies between."""
        strand: Points = self.outer + (self.inner - self.outer) * share
        return strand


def locks(portrait: Portrait) -> tuple[Lock, Lock]:
    """The left and the right lock of a portrait's hair."""
    left, right = (_lock(portrait, side) for side in _SIDES)
    return left, right


def _lock(portrait: Portrait, side: int) -> Lock:
    width = face_width(portrait.person)
    top, beside = (amount * portrait.volume for amount in _VOLUME[portrait.cut])
    if portrait.hat != "none":
        top, beside = min(top, 1.0), min(beside, 4.0)
    part = portrait.parting * side  # > 0: the parting lies on this side
    line = 0.45 * width * part
    lift = 1.0 - 0.35 * part if portrait.cut == "quiff" else 1.0 - 0.06 * part
    outer = [
        (line * 0.7, SKULL_Y + 1 - top),
        (0.42 * width + 0.3 * line, SKULL_Y + 3.5 - 0.97 * top * lift),
        (0.80 * width + 0.4 * beside, SKULL_Y + 16 - 0.75 * top),
        (1.0 * width + 0.8 * beside, 83 - 0.2 * top),
    ]
    inner = _hairline(portrait, width, part, line)
    if portrait.cut in FALLING:
        end = 176.0 if portrait.cut == "bob" else 222.0
        outer += [
            (1.05 * width + beside, 108),
            (1.10 * width + 1.1 * beside, 136),
            (1.12 * width + 1.3 * beside, end - 24),
            (0.86 * width + 0.9 * beside, end),
        ]
        inner += [(0.93 * width, 108), (0.90 * width, 134), (0.80 * width, end - 24), (0.70 * width, end - 1)]
    else:
        outer += [
            (1.03 * width + 0.7 * beside, 97),
            (1.03 * width + 0.3 * beside, 106),
            (width + 0.8, 112),
            (width - 0.5, 117),
        ]
        inner += [(0.92 * width, 99), (0.915 * width, 106), (0.92 * width, 112), (0.95 * width, 117)]
    steps = 14 if portrait.texture == "wavy" and portrait.cut in FALLING else 6
    lock = Lock(*(curve(np.array(edge) * (side, 1), closed=False, steps=steps) for edge in (outer, inner)))
    if portrait.texture == "straight" or (portrait.texture == "plain" and portrait.cut not in FALLING):
        return lock
    phase = 1.4 * side + portrait.grain % 7
    if portrait.texture == "plain":
        return Lock(_waved(lock.outer, 3.0, 95, phase), _waved(lock.inner, 2.0, 95, phase))
    deep = 3.4 if portrait.cut in FALLING else 1.8
    return Lock(_waved(lock.outer, deep, 34, phase), _waved(lock.inner, 0.75 * deep, 34, phase))


def _hairline(portrait: Portrait, width: float, part: float, line: float) -> list[tuple[float, float]]:
    """Where the hair ends on the forehead, from the parting outwards."""
    if portrait.bangs:
        return [(line * 0.4, 94), (0.34 * width, 94.5 - 2 * part), (0.66 * width, 95.5), (0.88 * width, 98)]
    if portrait.person.receding:
        return [(0.0, 70), (0.26 * width, 66), (0.52 * width, 59), (0.84 * width, 80)]
    if portrait.cut in ("buzz", "bun", "ponytail", *_CURLED):
        return [(line * 0.4, 70), (0.34 * width, 70.5), (0.66 * width, 75), (0.86 * width, 89)]
    sweep = 6.5 * max(-part, 0.0)
    return [
        (line, 67),
        (0.36 * width + 0.4 * line, 71 + sweep),
        (0.68 * width, 79 + sweep),
        (0.87 * width, 92 + sweep / 2),
    ]


def _waved(line: Points, deep: float, length: float, phase: float) -> Points:
    """The line swung to both sides by `deep` pixels, once every `length` pixels, growing from its beginning."""
    step = np.diff(line, axis=0, prepend=line[:1])
    along = np.cumsum(np.hypot(step[:, 0], step[:, 1]))
    swing = deep * np.clip((along - 25) / 60, 0, 1) * np.sin(2 * np.pi * along / length + phase)
    waved: Points = line + normals(line) * swing[:, None]
    return waved


def draw_behind(head: Brush, portrait: Portrait) -> None:
    """Draws the hair that hangs behind head and neck: long hair, a tail, a bun, a mass of curls."""
    if not portrait.shows_hair:
        return
    hair = portrait.person.hair
    dark = tint(hair, (0.66, 0.58, 0.58))
    left, right = locks(portrait)
    if portrait.cut in FALLING:
        head.fill(np.concatenate([left.outer[::-1], right.outer]) * (0.96, 1), dark, -3)
    elif portrait.cut in _CURLED:
        _draw_curls(head, portrait, dark, -3)
    elif portrait.cut == "ponytail":
        side = 1 if portrait.parting < 0 else -1
        middle = [(26, 62), (50, 66), (61, 100), (57, 140), (66, 176), (60, 196)]
        tail = curve(np.array(middle) * (side, 1), closed=False)
        head.fill(ribbon(tail, 25, 0.3), mix(hair, dark, 0.5), -4)
        head.stroke(np.add(tail, (side * 3, 0)), 3, mix(hair, (255, 236, 210), 0.14), -4)
    elif portrait.cut == "bun" and portrait.hat == "none":
        knot = (6.0 * portrait.parting, 37.0)
        head.fill(ellipse(knot, (17 * portrait.volume, 15 * portrait.volume)), mix(hair, dark, 0.35), -2)
        for reach in (5, 9, 13):
            head.stroke([(knot[0] - reach, 40), (knot[0] - 2, 37 - reach), (knot[0] + reach, 34)], 1.6, dark, -2)


def _draw_curls(head: Brush, portrait: Portrait, colour: Colour, depth: float) -> None:
    rng = random.Random(portrait.grain)
    radius = 11.0 if portrait.cut == "afro" else 8.0
    for lock in locks(portrait):
        head.fill(lock.shape, colour, depth)
        for x, y in lock.outer[1:-8:3]:
            if portrait.hat == "none" or y > 84:
                head.disc((x * 0.97, y + 2), radius * rng.uniform(0.8, 1.2), colour, depth)


def draw_in_front(head: Brush, portrait: Portrait) -> None:
    """Draws the hair that frames the face, with its strands, gloss and the shade that it casts."""
    if not portrait.shows_hair:
        return
    left, right = locks(portrait)
    brow = np.concatenate([left.inner[left.inner[:, 1] < 118][::-1], right.inner[right.inner[:, 1] < 118]])
    head.soft(ribbon(np.add(brow, (0, 3)), 7, 1.0), shaded(portrait.person.skin), 0.55, 3)
    _draw_mass(head, portrait, left, right)
    if portrait.cut in _CURLED:
        _draw_ringlets(head, portrait, (left, right))
    elif portrait.cut != "buzz":
        _draw_strands(head, portrait, (left, right))
    if portrait.bangs:
        _draw_fringe(head, portrait)


def _draw_mass(head: Brush, portrait: Portrait, left: Lock, right: Lock) -> None:
    """The body of the hair: its colour, darker along the face, with a band of gloss over the crown."""
    dark, light = _tones(portrait.person.hair)
    shape = np.concatenate([left.outer[::-1], right.outer, right.inner[::-1], left.inner])
    with head.modelled(shape, portrait.person.hair) as mass:
        mass.soft(ribbon(np.concatenate([left.inner[::-1], right.inner]), 9, 1.0), dark, 0.6, 5)
        count = len(left.outer)
        toward = right if portrait.light > 0 else left
        gloss = slice(int(0.14 * count), int(0.48 * count))
        band = np.concatenate([toward.between(0.22)[gloss], toward.between(0.62)[gloss][::-1]])
        mass.soft(band, light, 0.8, 9)
        mass.glow((-34 * np.sign(portrait.light), 68), (15, 20), light, 0.5)


def _tones(hair: Colour) -> tuple[Colour, Colour]:
    """The hair in shade and in light."""
    return tint(hair, (0.7, 0.63, 0.62)), mix(hair, (255, 238, 214), 0.28)


def _draw_strands(head: Brush, portrait: Portrait, both: tuple[Lock, Lock]) -> None:
    rng = random.Random(portrait.grain)
    hair = portrait.person.hair
    tones = _tones(hair)
    # combed straight, many clear lines; left alone, a few
    shares, clear = {
        "straight": ((0.1, 0.22, 0.34, 0.46, 0.58, 0.7, 0.82, 0.92), 0.75),
        "plain": ((0.15, 0.35, 0.6, 0.85), 0.45),
        "wavy": ((0.12, 0.28, 0.44, 0.6, 0.76, 0.9), 0.5),
    }[portrait.texture]
    for lock in both:
        begin = int(0.4 * len(lock.outer)) if portrait.bangs else 0
        for share in shares:
            strand = lock.between(share + rng.uniform(-0.04, 0.04))[begin:]
            head.fill(ribbon(strand, rng.uniform(1.2, 2.4)), mix(hair, rng.choice(tones), clear))


def _draw_fringe(head: Brush, portrait: Portrait) -> None:
    """Strands that fall from the crown over the forehead and end in tips above the brows."""
    rng = random.Random(portrait.grain)
    hair = portrait.person.hair
    width = face_width(portrait.person)
    root = 0.45 * width * portrait.parting
    crown = 66.0 if portrait.hat == "none" else 84.0
    for place in np.linspace(-0.84, 0.84, 13) + np.array([rng.uniform(-0.05, 0.05) for _ in range(13)]):
        tip = (place * width, 97.0 + 2.5 * abs(place) + rng.uniform(-1.5, 1.5))
        colour = mix(hair, rng.choice(_tones(hair)), rng.choice((0.0, 0.35, 0.5)))
        middle = (0.25 * root + 0.8 * place * width, 0.45 * crown + 0.55 * tip[1])
        head.stroke([(0.5 * root + 0.5 * place * width, crown), middle, tip], rng.uniform(2.5, 4.5), colour)


def _draw_ringlets(head: Brush, portrait: Portrait, both: tuple[Lock, Lock]) -> None:
    """Soft round curls: a dark disc below a lighter one."""
    rng = random.Random(portrait.grain)
    hair = portrait.person.hair
    dark, light = tint(hair, (0.85, 0.81, 0.8)), mix(hair, (255, 238, 214), 0.1)
    for lock in both:
        for share in (0.95, 0.55, 0.12):
            for x, y in lock.between(share)[2:-10:5]:
                if portrait.hat == "none" or y > 84:
                    x, y, radius = x + rng.uniform(-2, 2), y + rng.uniform(-2, 2), rng.uniform(6.5, 9.0)
                    head.disc((x, y + 1), radius, dark)
                    head.disc((x - 0.6, y - 0.6), radius - 1.3, mix(hair, light, rng.random()))
