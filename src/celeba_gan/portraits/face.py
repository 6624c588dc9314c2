"""The head without its hair: skin, ears, eyes, brows, nose, mouth."""

import random

import numpy as np

from celeba_gan.portraits.canvas import Brush, Control, Points, curve, ellipse, mix, tint
from celeba_gan.portraits.description import Colour, Person, Portrait

EYE_X, EYE_Y = 19.0, 111.0  # CelebA's alignment: x 70 and 108 of 178, y 111 of 218
MOUTH_Y = 150.5
SKULL_Y = 48.0
_INK: Colour = (46, 30, 30)
_SIDES = (-1, 1)


def shaded(skin: Colour) -> Colour:
    """The skin in shade: darker and warmer."""
    return tint(skin, (0.78, 0.66, 0.62))


def lit(skin: Colour) -> Colour:
    """The skin in light; deep skin shines less widely than fair skin."""
    return mix(skin, (255, 240, 220), 0.22 + 0.36 * skin[0] / 255)


def face_width(person: Person) -> float:
    """Half the width of the face at its widest, in pixels."""
    return person.face_width + (5.0 if person.chubby else 0.0) - (1.5 if person.oval else 0.0)


def mirrored(right: Control) -> Points:
    """A closed outline from its right half, given from top to bottom; points on the middle line count once."""
    half = np.asarray(right, dtype=np.float64)
    left = half[half[:, 0] > 0][::-1] * (-1, 1)
    return np.concatenate([half, left])


def outline(person: Person) -> Points:
    """The outline of the face, from the skull to the chin."""
    width = face_width(person)
    jaw = width * (0.95 if person.chubby else 0.83 if person.oval else 0.9 if person.male else 0.855)
    chin = person.chin_width + (6 if person.chubby else 0) - (2 if person.oval else 0)
    bottom = person.chin_y + (3 if person.oval else 0)
    right = [
        (0, SKULL_Y), (0.5 * width, SKULL_Y + 5), (0.86 * width, SKULL_Y + 23), (0.985 * width, 92), (width, 112),
        (0.975 * width, 129), (jaw, 147), (0.62 * jaw + 0.4 * chin, bottom - 11), (chin, bottom - 2.2), (0, bottom),
    ]  # fmt: skip
    return curve(mirrored(right))


def draw_ears(head: Brush, person: Person) -> None:
    """Draws both ears, half behind the face."""
    width = face_width(person)
    for side in _SIDES:
        middle = (side * (width + 0.5), 117)
        rim = np.array([(-4, -9), (1, -12), (5.5, -8), (5, 1), (3, 8), (-0.5, 11), (-4, 9)]) * (side, 1) + middle
        head.fill(curve(rim), mix(person.skin, shaded(person.skin), 0.25), -4)
        fold = np.array([(0, -7), (3, -6), (2.6, 0), (0.5, 4)]) * (side, 1) + middle
        head.stroke(fold, 1.8, mix(person.skin, shaded(person.skin), 0.8), -4)


def draw_skin(head: Brush, portrait: Portrait, shape: Points) -> None:
    """Fills the face and models it: the side away from the light, forehead, cheeks, chin, age."""
    person = portrait.person
    shade, light = shaded(person.skin), lit(person.skin)
    with head.modelled(shape, person.skin) as face:
        centre = (-9 * portrait.light, 104.0)
        lit_part = (shape - (0, 112)) * (0.93, 0.95) + (7 * portrait.light, 107)
        face.soft(lit_part, shade, 0.62, 12, outside=True)
        face.glow((13 * portrait.light, 80), (34, 24), light, 0.5)
        face.glow((centre[0] * -2.2, 127), (15, 12), light, 0.45)
        face.glow((0, person.chin_y - 8), (11, 7), light, 0.35)
        blush = mix(person.skin, (232, 70, 82), 0.3 + 0.32 * person.skin[0] / 255)
        for side in _SIDES:
            face.glow((side * 27, 133), (17, 13), blush, 0.85 if portrait.rosy else 0.22)
            if person.high_cheekbones:
                face.glow((side * 28, 126), (13, 6), light, 0.75)
                hollow = np.array([(34, 132), (24, 140), (20, 149), (30, 146), (38, 136)]) * (side, 1)
                face.soft(curve(hollow), shade, 0.42, 6)
            face.glow((side * (EYE_X - 4), EYE_Y - 5), (14, 10), shade, 0.3, 3)
    if person.freckles:
        _draw_freckles(head, portrait)
    if not person.young:
        _draw_age(head, person)
    if person.double_chin:
        fold = [(-17, person.chin_y - 3), (-9, person.chin_y + 5), (0, person.chin_y + 7.5)]
        head.stroke([*fold, *((-x, y) for x, y in fold[-2::-1])], 2.4, mix(person.skin, shade, 0.9), 1)


def _draw_freckles(face: Brush, portrait: Portrait) -> None:
    colour = mix(portrait.person.skin, (150, 84, 52), 0.45)
    rng = random.Random(portrait.grain)
    for _ in range(22):
        x = rng.uniform(-30, 30)
        face.disc((x, rng.uniform(123, 136) + abs(x) * 0.06), 0.75, colour, 2)


def _draw_age(face: Brush, person: Person) -> None:
    line = mix(person.skin, shaded(person.skin), 0.62)
    for y, reach in ((76, 17), (83, 19)):
        face.stroke([(-reach, y + 1), (-reach / 3, y - 0.5), (reach / 3, y + 0.6), (reach, y)], 1.5, line, 3)
    for side in _SIDES:
        face.stroke(np.array([(12, 137), (18, 144), (20, 151)]) * (side, 1), 1.9, line, 4)
        face.stroke(np.array([(33, 109), (37, 107)]) * (side, 1), 1.3, line, 2)
        face.stroke(np.array([(33, 112), (37.5, 113)]) * (side, 1), 1.3, line, 2)


def draw_nose(head: Brush, portrait: Portrait) -> None:
    """Draws the nose: the ridge's light, the shade of side and tip, nostrils."""
    person = portrait.person
    shade, light = shaded(person.skin), lit(person.skin)
    line = mix(person.skin, shade, 1.15)
    half = 10.6 if person.big_nose else 5.4 if person.pointy_nose else 7.2
    tip = 134.0 if person.big_nose else 133.5 if person.pointy_nose else 132.0
    ridge = 3.6 if person.big_nose else 2.0 if person.pointy_nose else 2.8
    side_shade = [(ridge, 110), (ridge + 1.2, 124), (half + 1, tip - 1), (half - 1, tip + 3), (ridge * 0.6, tip + 2)]
    head.soft(curve(side_shade) * (-1.0 if portrait.light > 0 else 1.0, 1.0), shade, 0.34, 4, 6)
    head.glow((0.0, tip + 3.2), (half * 1.45, 5.5), shade, 0.6, 6)
    head.glow((0, 119), (ridge + 1.8, 18), light, 0.45, 6)
    head.glow((0, tip - 3), (half * 0.72, 5), light, 0.7, 8)
    for side in _SIDES:
        wing = np.array([(half - 1.2, tip - 5.5), (half + 0.8, tip - 1), (half - 1.2, tip + 2.6), (half - 4, tip + 2)])
        head.stroke(wing * (side, 1), 1.8, mix(person.skin, shade, 0.75), 7)
        head.fill(ellipse((side * half * 0.48, tip + 2.2), (half * 0.25, 1.25), 14), mix(line, _INK, 0.35), 7)
    if person.pointy_nose:
        head.stroke([(-2.6, tip + 2.4), (0, tip + 4.2), (2.6, tip + 2.4)], 1.7, line, 9)


def draw_eyes(head: Brush, portrait: Portrait) -> None:
    """Draws both eyes with lids, lashes, bags and eye shadow."""
    for side in _SIDES:
        _draw_eye(head, portrait, side)


def _draw_eye(head: Brush, portrait: Portrait, side: int) -> None:
    person = portrait.person
    shade = shaded(person.skin)
    half = 11.8 * person.eye_size
    opening = 0.5 if person.narrow_eyes else 1.0
    upper, lower = 7.4 * opening * person.eye_size, 5.2 * opening * person.eye_size * (0.78 if portrait.smiling else 1)
    place = (side * EYE_X, EYE_Y)

    def at(control: list[tuple[float, float]]) -> Points:
        """Points given for the right eye: x outward from its middle, y down."""
        return np.array(control) * (side, 1) + place

    inner, outer = (-half, 1.4), (half, -0.6 - person.eye_tilt)
    fold = (half * 0.6, -upper * 0.78 - person.eye_tilt / 2)
    lid = [inner, (-half * 0.55, -upper * 0.72), (0.0, -upper), fold, outer]
    rim = [(half * 0.55, lower * 0.72), (0.0, lower), (-half * 0.55, lower * 0.72)]
    if portrait.makeup:
        head.glow((side * (EYE_X + 1.5), EYE_Y - 5.5), (21, 14), portrait.makeup, 1.0, 3)
    if person.eye_bags:
        head.glow((side * EYE_X, EYE_Y + 9), (13, 6), shade, 0.8, 3)
        head.stroke(at([(-half * 0.75, 7.5), (0, 10.6), (half * 0.75, 7.5)]), 1.7, mix(person.skin, shade, 0.95), 3)
    head.stroke(at([(x, y - 3.4) for x, y in lid[1:]]), 1.6, mix(person.skin, shade, 0.9), 3)
    eye = curve(at(lid + rim))
    with head.inside(eye, 3) as ball:
        ball.fill(eye, (247, 244, 240), 3)
        _draw_iris(ball, portrait, place, upper)
        ball.glow((side * EYE_X, EYE_Y - upper - 1), (15, 6), (110, 86, 94), 0.8, 3)
    lash = mix(_INK, (24, 16, 20), 0.5) if portrait.makeup else _INK
    head.stroke(at(lid), 2.3 if person.male else 2.6 if not portrait.makeup else 3.2, lash, 3, taper=0.35)
    head.stroke(at([outer, *rim, inner][:4]), 1.1, mix(person.skin, shade, 1.3), 3)
    if not person.male:
        wing = 3.8 if portrait.makeup else 2.4
        head.stroke(at([(half * 0.55, -upper * 0.8), outer, (half + wing, outer[1] - wing * 0.7)]), 1.9, lash, 3)


def _draw_iris(ball: Brush, portrait: Portrait, place: tuple[float, float], upper: float) -> None:
    iris = portrait.person.iris
    x = place[0] + 2.6 * portrait.gaze[0] + 1.2 * portrait.turn
    y = place[1] - 0.9 + 1.1 * portrait.gaze[1]
    radius = 6.4 * portrait.person.eye_size
    ball.disc((x, y), radius, mix(iris, _INK, 0.62), 3)
    ball.disc((x, y), radius - 0.9, iris, 3)
    ball.glow((x, y + radius * 0.5), (radius * 0.8, radius * 0.6), mix(iris, (255, 255, 255), 0.5), 0.8, 3)
    ball.disc((x, y), radius * 0.47, (22, 16, 18), 3)
    glint = 1.0 if portrait.light >= 0 else -1.0
    ball.disc((x + 1.9 * glint, y - min(2.3, upper * 0.45)), 1.5, (255, 255, 255), 3)


def draw_brows(head: Brush, portrait: Portrait) -> None:
    """Draws the eyebrows: bushy or fine, arched or level."""
    person = portrait.person
    colour = mix(person.hair, _INK, 0.45 if person.hair_colour in ("blond", "gray", "auburn") else 0.3)
    thickness = 6.6 if person.bushy_brows else 4.2 if person.male else 3.4
    arch = 5.6 if person.arched_brows else 3.0
    lift = 1.2 if portrait.smiling else 0.0
    for side in _SIDES:
        bow = np.array([(8.5, 97.8), (16, 97.8 - 0.66 * arch), (25, 98 - arch), (33, 99.8)]) * (side, 1)
        line = curve(bow - (0, lift), closed=False)
        width = np.interp(np.linspace(0, 1, len(line)), (0, 0.15, 0.5, 1), (0.75, 1, 0.9, 0.12))
        half = np.stack([np.zeros_like(width), width * thickness / 2], axis=1)
        head.fill(np.concatenate([line - half, (line + half)[::-1]]), colour, 4)


def draw_mouth(head: Brush, portrait: Portrait) -> None:
    """Draws the lips, closed or open over teeth, from glum to smiling."""
    person, smile = portrait.person, portrait.smile
    full = 1.55 if person.big_lips else 0.95
    half = 12.5 + 4.5 * max(smile, 0.0)
    corner = MOUTH_Y - 0.5 - 3.3 * smile
    gap = portrait.mouth_open * (9.0 if portrait.smiling else 6.0)
    low = MOUTH_Y + 1.4 * smile
    natural = mix(person.skin, (176, 58, 66), 0.42 if person.male else 0.58)
    lip = portrait.lipstick or natural
    seam_up = [(-half, corner), (-half * 0.5, low - 0.6), (0.0, low + 0.6), (half * 0.5, low - 0.6), (half, corner)]
    seam_down = [(-half, corner), (-half * 0.6, low + gap * 0.8), (0.0, low + gap), (half * 0.6, low + gap * 0.8)]
    seam_down.append((half, corner))
    top = [(half * 0.52, low - 2.5 * full - 0.8), (3.4, low - 3.3 * full), (0.0, low - 2.3 * full)]
    top += [(-3.4, low - 3.3 * full), (-half * 0.52, low - 2.5 * full - 0.8)]
    base_y = low + gap * 0.9 + 2.7 * full
    base = [(half * 0.6, base_y), (0.0, low + gap + 4.3 * full), (-half * 0.6, base_y)]
    head.glow((0, low + gap + 5 * full + 3.5), (half * 0.85, 4.5), shaded(person.skin), 0.6, 6)
    upper_lip, lower_lip = curve(seam_up + top), curve(seam_down + base)
    if portrait.mouth_open:
        _draw_teeth(head, curve(seam_up + seam_down[-2:0:-1]), half, low, gap)
    head.fill(lower_lip, lip, 6)
    head.fill(upper_lip, mix(lip, (60, 16, 24), 0.2), 6)
    head.glow((0, low + gap + 2.2 * full), (half * 0.5, 2.2 * full), mix(lip, (255, 255, 255), 0.6), 0.7, 6)
    if not portrait.mouth_open:
        head.stroke([(-half - 1, corner - 0.3), *seam_up[1:-1], (half + 1, corner - 0.3)], 1.7, mix(lip, _INK, 0.62), 6)
    if portrait.smiling:
        fold = np.array([(half + 2, corner - 4.5), (half + 4.2, corner - 0.5), (half + 3, corner + 3.5)])
        for side in _SIDES:
            head.stroke(fold * (side, 1), 1.7, mix(person.skin, shaded(person.skin), 0.85), 5)


def _draw_teeth(head: Brush, opening: Points, half: float, low: float, gap: float) -> None:
    with head.inside(opening, 6) as mouth:
        mouth.fill(opening, (96, 30, 38), 6)
        mouth.fill(ellipse((0, low + gap + 0.5), (half * 0.55, 3.2)), (206, 96, 104), 6)
        mouth.fill(ellipse((0, low - 6), (half * 1.05, 6 + max(3.4, gap * 0.62))), (250, 247, 242), 6)
        mouth.glow((0, low - 1), (half, 3), (176, 150, 150), 0.5, 6)


def draw_beard(head: Brush, portrait: Portrait) -> None:
    """Draws what grows below the cheekbones: shadow, goatee or full beard, moustache, sideburns."""
    person = portrait.person
    hair = mix(person.hair, _INK, 0.18)
    width, chin = face_width(person), person.chin_y
    if portrait.beard == "shadow":
        with head.inside(outline(person)) as face:
            face.soft(_bearded(person, 0.0), mix(hair, (70, 74, 88), 0.5), 0.42, 5, 1)
    elif portrait.beard == "full":
        with head.modelled(_bearded(person, 3.5), hair, 1) as growth:
            growth.glow((14 * portrait.light, chin - 8), (26, 16), mix(hair, (255, 236, 210), 0.28), 0.6, 3)
    elif portrait.beard == "goatee":
        tuft = [(0, 160.5), (4, 160), (9.5, 163), (12, chin - 7), (9, chin + 1), (0, chin + 4)]
        head.fill(curve(mirrored(tuft)), hair, 5)
    if portrait.mustache:
        drop = -2.5 * max(portrait.smile, 0)
        lip = [(0, 139.8), (7, 139.2), (14, 142.5 + drop), (19.5, 150 + drop), (15, 149 + drop), (7, 146.4), (0, 146.2)]
        head.fill(curve(mirrored(lip)), hair, 7)
    if portrait.sideburns:
        strip = [(width - 8.5, 98), (width + 0.5, 98), (width + 0.5, 128), (width - 4, 140), (width - 9, 137)]
        for side in _SIDES:
            head.fill(np.array(strip) * (side, 1), hair)


def _bearded(person: Person, length: float) -> Points:
    """The region of a beard: from the jaw, and `length` pixels below it, up to the cheeks and the nose."""
    width = face_width(person)
    grown = outline(person) * (1.02, 1.0) + (0, length)
    jaw = grown[grown[:, 1] > 118]  # from right to left, as the outline runs
    cheek = [(0.0, 141.0), (9.0, 140.5), (21.0, 144.0), (width * 0.66, 142.0), (width * 0.88, 126.0)]
    edge = [(-x, y) for x, y in cheek[:0:-1]] + cheek
    return np.concatenate([jaw, curve(edge, closed=False)])
