"""What is worn: clothes, tie, jewellery, glasses, hats."""

import numpy as np

from celeba_gan.portraits.canvas import Brush, Points, curve, ellipse, mix
from celeba_gan.portraits.description import Colour, Portrait
from celeba_gan.portraits.face import EYE_X, EYE_Y, face_width, mirrored, outline, shaded

_SIDES = (-1, 1)
_NIGHT: Colour = (22, 18, 30)
_WHITE: Colour = (250, 249, 246)
_GOLD: Colour = (226, 178, 84)


def draw_body(body: Brush, portrait: Portrait) -> None:
    """Draws neck, shoulders, clothes, necklace and tie."""
    person = portrait.person
    neck = (19.0 if person.male else 15.0) + (3 if person.chubby else 0)
    skin = curve(mirrored([(neck, 140), (neck - 0.5, 172), (neck + 4, 184), (neck + 17, 193), (50, 208), (56, 240)]))
    with body.modelled(skin, person.skin) as flesh:
        flesh.soft(outline(person) * (0.9, 1) + (-4 * portrait.light, 8), shaded(person.skin), 0.85, 6)
        away = -1 if portrait.light > 0 else 1
        flank = np.array([(neck + 3, 150), (neck - 5, 150), (neck - 3, 190), (neck + 6, 190)]) * (away, 1)
        flesh.soft(flank, shaded(person.skin), 0.5, 5)
    _draw_clothes(body, portrait, neck)
    if portrait.necklace != "none":
        _draw_necklace(body, portrait, neck)


def _draw_clothes(body: Brush, portrait: Portrait, neck: float) -> None:
    cloth = portrait.cloth
    broad = 6.0 if portrait.person.male else 0.0
    edge = {  # the right half of the neckline, from the neck to the middle
        "crew": [(neck + 5, 183.0), (neck - 2, 190.0), (0.0, 195.0)],
        "scoop": [(neck + 13, 187.0), (neck + 3, 200.0), (0.0, 207.0)],
        "vneck": [(neck + 7, 184.0), (neck - 5, 197.0), (0.0, 216.0)],
        "turtleneck": [(neck + 2, 180.0), (neck - 4, 183.0), (0.0, 185.0)],
        "shirt": [(neck + 2, 180.0), (neck - 6, 189.0), (0.0, 199.0)],
        "suit": [(neck + 2, 180.0), (neck - 6, 189.0), (0.0, 197.0)],
    }[portrait.outfit]
    shoulder = [(neck + 18.0, 188.5 - broad / 3), (58.0 + broad, 197.0 - broad / 2), (80.0 + broad, 212.0)]
    shoulder.append((92.0 + broad, 245.0))
    left_edge = curve(np.array(edge) * (-1, 1), closed=False)
    right_edge = curve(edge, closed=False)[::-1]
    flank = curve([edge[0], *shoulder], closed=False)
    garment = np.concatenate([left_edge, right_edge, flank, flank[::-1] * (-1, 1)])
    toward = 1 if portrait.light > 0 else -1
    with body.modelled(garment, cloth) as folds:
        folds.glow((34 * toward, 200), (40, 24), mix(cloth, (255, 255, 255), 0.35), 0.6)
        folds.glow((-60 * toward, 220), (48, 40), mix(cloth, _NIGHT, 0.5), 0.7)
    rim = mix(cloth, _NIGHT, 0.25)
    whole = [(-x, y) for x, y in edge] + edge[-2::-1]
    if portrait.outfit in ("crew", "scoop", "vneck"):
        body.stroke(whole, 3.0, rim, taper=0.9)
    elif portrait.outfit == "turtleneck":
        collar = mirrored([(neck + 1.0, 171), (neck + 3.5, 186), (neck * 0.5, 190), (0.0, 191)])
        roll = np.concatenate([curve([(-neck - 1.0, 171), (0, 178), (neck + 1.0, 171)], closed=False), collar[1:-1]])
        body.fill(roll, mix(cloth, (255, 255, 255), 0.1))
        body.stroke([(-neck - 3, 186), (0, 191), (neck + 3, 186)], 2.0, rim)
    else:
        _draw_tailoring(body, portrait, neck)


def _draw_tailoring(body: Brush, portrait: Portrait, neck: float) -> None:
    """Shirt collar, tie and, on a suit, shirt front and lapels."""
    cloth = portrait.cloth
    suit = portrait.outfit == "suit"
    shirt = _WHITE if suit else cloth
    if suit:
        front = [(-neck - 2, 180), (0, 199), (neck + 2, 180), (neck + 5, 186), (0, 250), (-neck - 5, 186)]
        body.fill(np.array(front), shirt)
    if portrait.tie:
        body.fill(np.array([(-5.5, 191), (5.5, 191), (4.0, 201), (9, 240), (-9, 240), (-4.0, 201)]), portrait.tie)
        body.fill(np.array([(-6.2, 189.5), (6.2, 189.5), (3.9, 200), (-3.9, 200)]), mix(portrait.tie, _NIGHT, 0.28))
        body.stroke([(-2, 205), (5, 213)], 2.2, mix(portrait.tie, _WHITE, 0.4))
    for side in _SIDES:
        flap = np.array([(neck + 1.5, 177), (neck + 5.5, 184), (13.5, 200), (1.5, 191.5), (neck - 5, 184)]) * (side, 1)
        body.fill(flap, mix(shirt, _NIGHT, 0.05 if suit else 0.0) if suit else mix(cloth, _WHITE, 0.3))
        body.stroke(flap[1:4], 1.2, mix(shirt, _NIGHT, 0.32), taper=0.6)
        if suit:
            lapel = np.array([(neck + 6, 184), (neck + 16, 190), (neck + 12, 204), (neck + 16, 207), (6, 240)])
            lapel = lapel * (side, 1)
            body.fill(lapel, mix(cloth, _WHITE, 0.12))
            body.stroke(lapel[1:], 1.4, mix(cloth, _NIGHT, 0.5), taper=0.6)


def _draw_necklace(body: Brush, portrait: Portrait, neck: float) -> None:
    chain = curve(
        [(-neck - 1, 176), (-neck * 0.62, 188), (0, 194), (neck * 0.62, 188), (neck + 1, 176)], closed=False, steps=4
    )
    if portrait.necklace == "beads":
        for x, y in chain:
            body.disc((x, y + 0.6), 2.7, (196, 186, 180))
            body.disc((x, y), 2.4, (250, 244, 236))
        return
    body.stroke(chain, 1.9, _GOLD, taper=0.9)
    body.fill(ellipse((0, 197.5), (4.0, 4.6)), _GOLD)
    body.fill(ellipse((0, 197.2), (2.5, 3.0)), (82, 190, 176))


def draw_earrings(head: Brush, portrait: Portrait) -> None:
    """Draws the earrings below the lobes."""
    x, y = face_width(portrait.person) + 1.5, 128.0
    for side in _SIDES:
        if portrait.earrings == "stud":
            head.disc((side * x, y), 3.0, _GOLD, -3)
            head.disc((side * x - 0.6, y - 0.8), 1.6, _WHITE, -3)
        elif portrait.earrings == "hoop":
            head.stroke(ellipse((side * (x + 1), y + 7), (5.5, 7.5), 12), 2.2, _GOLD, -3, closed=True)
        elif portrait.earrings == "drop":
            head.stroke([(side * x, y - 1), (side * x, y + 8)], 1.3, _GOLD, -3, taper=0.8)
            head.fill(ellipse((side * x, y + 10.5), (3.2, 4.6)), (86, 188, 178), -3)
            head.disc((side * x - 0.8, y + 9), 1.1, _WHITE, -3)


def draw_glasses(head: Brush, portrait: Portrait) -> None:
    """Draws the glasses: temples, tinted lenses with a glint, rims and bridge."""
    if portrait.glasses == "none":
        return
    frame = mix(portrait.hat_colour, _NIGHT, 0.78)
    side_x = face_width(portrait.person)
    for side in _SIDES:
        if portrait.glasses == "round":
            lens = ellipse((side * (EYE_X + 0.8), EYE_Y + 1), (14.6, 13.6))
        else:
            corners = [(-13.5, -9), (0, -10.4), (14.5, -10), (16, -4), (13.5, 8.5), (2, 11.2), (-10.5, 9), (-14, 1)]
            lens = curve(np.array(corners) * (side, 1) + (side * (EYE_X + 0.8), EYE_Y + 1))
        head.stroke([(side * 33, 107), (side * (side_x + 1), 109)], 2.4, frame, 1, taper=1)
        with head.inside(lens, 5) as glass:
            glass.soft(lens, (214, 232, 245), 0.16, 1, 5)
            glint = np.add([(-13, 6), (-4, -12), (2, -12), (-7, 9)], (side * EYE_X, EYE_Y))
            glass.soft(glint, _WHITE, 0.42, 1.5, 5)
        head.stroke(lens[::3], 2.7, frame, 5, closed=True)  # a spline through every third point is the same line
    head.stroke([(-5.6, 109.5), (0, 106.6), (5.6, 109.5)], 2.6, frame, 6, taper=0.9)


def draw_hat(head: Brush, portrait: Portrait) -> None:
    """Draws the hat over the hair, with the shade that it casts on the forehead."""
    if portrait.hat == "none":
        return
    width = face_width(portrait.person)
    with head.inside(outline(portrait.person)) as face:
        face.soft(np.array([(-60, 60), (60, 60), (60, 88), (-60, 88)]), shaded(portrait.person.skin), 0.55, 5)
    {"beanie": _draw_beanie, "cap": _draw_cap, "fedora": _draw_fedora}[portrait.hat](head, portrait, width)


def _crown(head: Brush, portrait: Portrait, shape: Points) -> None:
    colour = portrait.hat_colour
    with head.modelled(shape, colour) as felt:
        felt.glow((18 * (1 if portrait.light > 0 else -1), 48), (34, 28), mix(colour, _WHITE, 0.4), 0.6)
        felt.glow((-38 * (1 if portrait.light > 0 else -1), 72), (34, 44), mix(colour, _NIGHT, 0.5), 0.7)


def _draw_beanie(head: Brush, portrait: Portrait, width: float) -> None:
    colour = portrait.hat_colour
    dome = [(0, 31), (0.5 * width, 34), (0.95 * width, 50), (width + 7, 80), (0, 84)]
    head.disc((0, 29), 8.5, mix(colour, _WHITE, 0.55))
    _crown(head, portrait, curve(mirrored(dome)))
    cuff = mirrored([(0, 70), (0.6 * width, 70.5), (width + 7.5, 76), (width + 7.5, 90), (0.6 * width, 86), (0, 85)])
    head.fill(curve(cuff), mix(colour, _WHITE, 0.22))
    for x in np.linspace(-0.95 * width, 0.95 * width, 11):
        drop = 4.5 * (x / width) ** 2
        head.stroke([(x, 72 + drop), (x * 1.02, 84 + drop)], 1.5, mix(colour, _NIGHT, 0.12), taper=0.4)


def _draw_cap(head: Brush, portrait: Portrait, width: float) -> None:
    colour = portrait.hat_colour
    dome = [(0, 36), (0.5 * width, 38), (0.92 * width, 52), (width + 5, 84), (0.5 * width, 82), (0, 80)]
    _crown(head, portrait, curve(mirrored(dome)))
    seam = mix(colour, _NIGHT, 0.22)
    head.stroke([(0, 37), (0, 76)], 1.3, seam, 3)
    head.disc((0, 36.5), 2.6, seam)
    visor = mirrored([(0, 76), (0.6 * width, 77), (0.98 * width, 84), (0.93 * width, 92), (0.5 * width, 90), (0, 89)])
    head.fill(curve(visor), mix(colour, _NIGHT, 0.3), 5)
    edge = [(-0.8 * width, 88), (-0.4 * width, 86), (0, 85.5), (0.4 * width, 86), (0.8 * width, 88)]
    head.stroke(edge, 1.4, mix(colour, _WHITE, 0.25), 5)


def _draw_fedora(head: Brush, portrait: Portrait, width: float) -> None:
    colour = portrait.hat_colour
    brim = mirrored([(0, 84), (0.7 * width, 83), (width + 26, 76), (width + 22, 72), (0.7 * width, 70), (0, 70)])
    head.fill(curve(brim), mix(colour, _NIGHT, 0.28))
    crown = [
        (0, 31), (0.3 * width, 27), (0.66 * width, 31), (0.84 * width, 52), (0.92 * width, 76), (0.5 * width, 79),
        (0, 80),
    ]  # fmt: skip
    _crown(head, portrait, curve(mirrored(crown)))
    band = [(0, 68.5), (0.5 * width, 67.5), (0.88 * width, 65), (0.92 * width, 75), (0.5 * width, 79), (0, 80)]
    head.fill(curve(mirrored(band)), mix(colour, _NIGHT, 0.62))
