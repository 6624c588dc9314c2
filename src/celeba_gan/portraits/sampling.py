"""Draws the description of a face from a seed: people first, then one picture of one of them."""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from celeba_gan.portraits.description import Beard, Colour, Cut, Earrings, HairColour, Outfit, Person, Portrait, Texture

IDENTITY_BLOCK: Final = 100
"""Images whose number falls into the same hundred are drawn from the same people, and no others are."""
_PEOPLE_PER_BLOCK = 150  # about 27 of a hundred images then show somebody whom an earlier one has shown

_Item = TypeVar("_Item")

# fmt: off
_SKINS: Mapping[Colour, float] = {  # how often; the first two are CelebA's Pale_Skin
    (250, 222, 206): 0.03, (247, 217, 196): 0.03, (244, 203, 171): 0.19, (236, 189, 152): 0.21, (226, 174, 134): 0.17,
    (208, 152, 112): 0.13, (180, 122, 84): 0.10, (146, 94, 64): 0.08, (112, 72, 50): 0.05,
}
_HAIRS: Mapping[HairColour, tuple[Colour, ...]] = {
    "black": ((38, 32, 38), (30, 27, 36), (46, 36, 36)),
    "brown": ((74, 48, 36), (98, 62, 40), (124, 80, 50)),
    "auburn": ((158, 74, 40), (132, 56, 36), (184, 96, 50)),
    "blond": ((216, 172, 100), (230, 194, 128), (240, 212, 156)),
    "gray": ((150, 150, 156), (178, 178, 182), (214, 212, 210)),
}
_DARK_IRISES: Mapping[Colour, float] = {(92, 56, 34): 0.6, (132, 86, 44): 0.3, (122, 118, 52): 0.1}
_IRISES: Mapping[Colour, float] = {
    (92, 56, 34): 0.38, (132, 86, 44): 0.16, (122, 118, 52): 0.11,
    (70, 130, 92): 0.11, (66, 124, 176): 0.18, (112, 134, 150): 0.06,
}
_LIPSTICKS = (196, 36, 56), (214, 66, 92), (170, 30, 66), (222, 92, 84), (146, 34, 74), (226, 96, 132)
_EYE_SHADOWS = (122, 78, 128), (86, 98, 148), (150, 84, 92), (120, 82, 66), (64, 118, 122), (96, 72, 90)
_CLOTHS = (
    (40, 62, 104), (238, 230, 216), (66, 70, 82), (134, 40, 56), (222, 172, 72), (46, 124, 128), (132, 164, 132),
    (212, 136, 144), (124, 174, 214), (172, 152, 208), (204, 106, 76), (48, 92, 72), (44, 42, 50), (200, 56, 60),
    (92, 124, 166), (244, 204, 176), (112, 66, 112), (166, 206, 196),
)
_SUITS = (44, 50, 70), (58, 60, 68), (36, 36, 42), (70, 82, 108), (92, 78, 68), (110, 114, 122)
_TIES = (160, 40, 52), (44, 74, 136), (56, 112, 88), (116, 58, 118), (196, 132, 48), (52, 54, 64)
_SETTINGS = (  # light and dark end of a background
    ((190, 224, 246), (98, 152, 206)), ((208, 238, 220), (108, 178, 154)), ((255, 224, 198), (236, 150, 112)),
    ((244, 230, 204), (206, 170, 124)), ((228, 216, 246), (146, 124, 196)), ((252, 216, 218), (212, 122, 138)),
    ((122, 192, 192), (36, 104, 118)), ((88, 116, 168), (30, 42, 80)), ((124, 162, 126), (40, 76, 62)),
    ((146, 102, 146), (62, 36, 72)), ((126, 130, 142), (46, 48, 60)), ((252, 224, 146), (218, 162, 66)),
    ((255, 180, 160), (216, 94, 90)), ((250, 246, 238), (218, 206, 190)), ((164, 184, 242), (78, 98, 182)),
    ((196, 196, 136), (106, 112, 68)), ((160, 76, 86), (72, 26, 42)), ((228, 242, 248), (158, 192, 208)),
)
# fmt: on


def sample_portrait(seed: int, index: int) -> Portrait:
    """Describes portrait `index`, from 0, of the set `seed`; every index has its own hash, so none depends on another.

    Portraits of one identity share their `person`; indices whose hundreds differ never do.
    """
    people = index // IDENTITY_BLOCK * _PEOPLE_PER_BLOCK
    identity = 1 + people + _Dice("identity", seed, index).number(_PEOPLE_PER_BLOCK)
    person = _sample_person(_Dice("person", seed, identity))
    return _sample_picture(_Dice("picture", seed, index), identity, person)


class _Dice:
    """Chances, weighted choices and jitter, all a function of what they are for, the seed and a number."""

    def __init__(self, purpose: str, seed: int, number: int) -> None:
        digest = hashlib.blake2b(f"{purpose}/{seed}/{number}".encode(), digest_size=16).digest()
        self._random = random.Random(int.from_bytes(digest, "little"))

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._random.random()

    def about(self, spread: float, limit: float) -> float:
        """Normal around 0 with standard deviation ``spread``, cut at ±``limit``."""
        return min(max(self._random.gauss(0, spread), -limit), limit)

    def number(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def either_sign(self) -> int:
        return 1 if self.chance(0.5) else -1

    def choose(self, weights: Mapping[_Item, float]) -> _Item:
        return self._random.choices(tuple(weights), tuple(weights.values()))[0]

    def one_of(self, options: Sequence[_Item]) -> _Item:
        return options[self.number(len(options))]

    def near(self, colour: Colour, spread: float) -> Colour:
        """A colour that is a little lighter or darker, and less so of another hue."""
        lightness = self._random.gauss(0, spread)
        red, green, blue = (
            round(min(max(channel + lightness + self._random.gauss(0, spread / 3), 0), 255)) for channel in colour
        )
        return red, green, blue


def _sample_person(dice: _Dice) -> Person:
    male = dice.chance(0.42)
    young = dice.chance(0.64 if male else 0.87)
    skin = dice.choose(_SKINS)
    fair = skin[0] >= 220
    hair_colour: HairColour = "gray"
    if young or not dice.chance(0.24):
        blond, auburn, brown = (0.1 if male else 0.3, 0.16, 0.4) if fair else (0.06, 0.05, 0.16)
        black = 1 - blond - auburn - brown
        hair_colour = dice.choose({"black": black, "brown": brown, "auburn": auburn, "blond": blond})
    iris = dice.choose(_IRISES if fair else _DARK_IRISES)
    bald = male and dice.chance(0.045)
    chubby = dice.chance(0.09 if male else 0.04)
    big_nose = dice.chance(0.4 if male else 0.12)
    return Person(
        male=male,
        young=young,
        skin=dice.near(skin, 3),
        pale=skin[0] >= 245,
        iris=dice.near(iris, 8),
        hair_colour=hair_colour,
        hair=dice.near(dice.one_of(_HAIRS[hair_colour]), 5),
        bald=bald,
        receding=male and not bald and dice.chance(0.1 if young else 0.32),
        face_width=(45.0 if male else 43.6) + dice.about(1.2, 2.2),
        chin_y=(175.5 if male else 172.5) + dice.about(1.2, 2.2),
        chin_width=(14.0 if male else 11.5) + dice.about(1.0, 1.8),
        oval=not chubby and dice.chance(0.3),
        chubby=chubby,
        double_chin=dice.chance(0.62 if chubby else 0.015),
        high_cheekbones=dice.chance(0.38 if male else 0.48),
        big_nose=big_nose,
        pointy_nose=not big_nose and dice.chance(0.34),
        big_lips=dice.chance(0.18 if male else 0.29),
        bushy_brows=dice.chance(0.25 if male else 0.06),
        arched_brows=dice.chance(0.07 if male else 0.41),
        narrow_eyes=dice.chance(0.12),
        eye_size=(0.97 if male else 1.06) + dice.about(0.02, 0.04),
        eye_tilt=dice.between(-0.8, 1.8),
        eye_bags=dice.chance(0.18 if young else 0.34),
        freckles=fair and dice.chance(0.25 if hair_colour == "auburn" else 0.07),
        attractive=dice.chance((0.38 if male else 0.68) * (1.0 if young else 0.35)),
    )


def _sample_picture(dice: _Dice, identity: int, person: Person) -> Portrait:
    cut, texture, bangs = _sample_hair(dice, person)
    beard, mustache, sideburns = _sample_beard(dice, person)
    smiling = dice.chance(0.42 if person.male else 0.54)
    makeup = not person.male and dice.chance(0.62)
    lipstick = not person.male and dice.chance(0.96 if makeup else 0.5)
    outfit, cloth, tie = _sample_clothes(dice, person)
    bare_throat = outfit in ("crew", "scoop", "vneck") and not person.male
    return Portrait(
        identity=identity,
        person=person,
        earrings=_sample_earrings(dice, person),
        necklace=dice.choose({"none": 0.78, "beads": 0.11, "pendant": 0.11}) if bare_throat else "none",
        cut=cut,
        texture=texture,
        bangs=bangs,
        parting=dice.between(0.25, 0.9) * dice.either_sign() if dice.chance(0.75) else dice.about(0.08, 0.15),
        volume=dice.between(0.75, 1.3),
        beard=beard,
        mustache=mustache,
        sideburns=sideburns,
        smile=dice.between(0.62, 1.0) if smiling else dice.between(-0.05, 0.35),
        mouth_open=dice.between(0.5, 1.0) if dice.chance(0.66 if smiling else 0.3) else 0.0,
        gaze=(dice.about(0.3, 0.8), dice.about(0.25, 0.6)),
        lipstick=dice.near(dice.one_of(_LIPSTICKS), 6) if lipstick else None,
        makeup=dice.near(dice.one_of(_EYE_SHADOWS), 6) if makeup else None,
        rosy=dice.chance(0.01 if person.male else 0.11),
        glasses=dice.choose({"none": 0.87 if person.male else 0.93, "round": 0.06, "square": 0.06}),
        hat=dice.choose({"none": 0.91, "beanie": 0.035, "cap": 0.035, "fedora": 0.02}),
        hat_colour=dice.near(dice.one_of(_CLOTHS), 7),
        outfit=outfit,
        cloth=cloth,
        tie=tie,
        roll=dice.about(3.0, 7.0),
        turn=dice.about(0.45, 1.0),
        nod=dice.about(0.4, 1.0),
        scale=dice.between(0.965, 1.04),
        shift=(dice.about(1.0, 2.5), dice.about(1.0, 2.5)),
        backdrop=dice.choose({"gradient": 0.4, "halo": 0.25, "bokeh": 0.2, "diagonal": 0.15}),
        backdrop_colours=_sample_backdrop(dice),
        backdrop_angle=dice.between(0, 2 * math.pi),
        light=dice.between(0.35, 1.0) * dice.either_sign(),
        blur=dice.between(1.1, 1.7) if dice.chance(0.045) else 0.0,
        noise=dice.between(0.5, 1.8),
        grain=dice.number(2**31),
    )


def _sample_hair(dice: _Dice, person: Person) -> tuple[Cut, Texture, bool]:
    if person.bald:
        return "bald", "plain", False
    cuts: Mapping[Cut, float]
    if person.male:
        cuts = {"short": 0.42, "quiff": 0.26, "buzz": 0.12, "curly": 0.11, "long": 0.05, "afro": 0.04}
        if person.receding:
            cuts = {"short": 0.7, "buzz": 0.3}
    else:
        cuts = {"long": 0.54, "bob": 0.2, "bun": 0.08, "ponytail": 0.08, "curly": 0.03, "afro": 0.04, "short": 0.03}
    cut = dice.choose(cuts)
    texture: Texture = "plain"
    if cut in ("curly", "afro"):
        texture = "wavy"
    elif cut in ("long", "bob"):
        texture = dice.choose({"wavy": 0.46, "straight": 0.32, "plain": 0.22})
    elif cut in ("short", "quiff"):
        texture = dice.choose({"wavy": 0.14, "straight": 0.2, "plain": 0.66})
    fringe = {"long": 0.24, "bob": 0.34, "short": 0.2, "bun": 0.2, "ponytail": 0.2}.get(cut, 0.0)
    return cut, texture, not person.receding and dice.chance(fringe)


def _sample_beard(dice: _Dice, person: Person) -> tuple[Beard, bool, bool]:
    if not person.male:
        return "none", False, False
    beard: Beard = dice.choose({"none": 0.6, "shadow": 0.2, "goatee": 0.11, "full": 0.09})
    mustache = dice.chance({"none": 0.02, "shadow": 0.0, "goatee": 0.4, "full": 0.6}[beard])
    sideburns = dice.chance({"none": 0.04, "shadow": 0.1, "goatee": 0.15, "full": 0.7}[beard])
    return beard, mustache, sideburns


def _sample_clothes(dice: _Dice, person: Person) -> tuple[Outfit, Colour, Colour | None]:
    if person.male:
        outfits: Mapping[Outfit, float] = {"crew": 0.32, "shirt": 0.24, "suit": 0.24, "vneck": 0.12, "turtleneck": 0.08}
    else:
        outfits = {"crew": 0.22, "scoop": 0.34, "vneck": 0.24, "turtleneck": 0.1, "shirt": 0.07, "suit": 0.03}
    outfit = dice.choose(outfits)
    cloth = dice.near(dice.one_of(_SUITS if outfit == "suit" else _CLOTHS), 7)
    wears_tie = person.male and dice.chance({"suit": 0.6, "shirt": 0.14}.get(outfit, 0.0))
    return outfit, cloth, dice.near(dice.one_of(_TIES), 7) if wears_tie else None


def _sample_earrings(dice: _Dice, person: Person) -> Earrings:
    if person.male:
        return "stud" if dice.chance(0.03) else "none"
    return dice.choose({"none": 0.67, "stud": 0.09, "hoop": 0.12, "drop": 0.12})


def _sample_backdrop(dice: _Dice) -> tuple[Colour, Colour]:
    light, dark = dice.one_of(_SETTINGS)
    return dice.near(light, 7), dice.near(dark, 7)
