"""The traits of a drawn face, and the forty CelebA attributes that follow from them."""

import dataclasses
from typing import Literal

from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

Colour = tuple[int, int, int]
"""Red, green, blue in [0, 255]."""

HairColour = Literal["black", "brown", "auburn", "blond", "gray"]
Cut = Literal["bald", "buzz", "short", "quiff", "curly", "afro", "bob", "long", "bun", "ponytail"]
Texture = Literal["plain", "straight", "wavy"]
Beard = Literal["none", "shadow", "goatee", "full"]
Glasses = Literal["none", "round", "square"]
Hat = Literal["none", "beanie", "cap", "fedora"]
Earrings = Literal["none", "stud", "hoop", "drop"]
Necklace = Literal["none", "beads", "pendant"]
Outfit = Literal["crew", "scoop", "vneck", "turtleneck", "shirt", "suit"]
Backdrop = Literal["gradient", "halo", "bokeh", "diagonal"]


@dataclasses.dataclass(frozen=True)
class Person:
    """The permanent traits, which all images of one identity share. Lengths are pixels of a 178x218 image."""

    male: bool
    young: bool
    skin: Colour
    pale: bool
    iris: Colour
    hair_colour: HairColour
    hair: Colour
    bald: bool
    receding: bool
    face_width: float  # half the width at the cheekbones, 38..45
    chin_y: float  # 172..180
    chin_width: float  # half the width of the flat of the chin, 8..15
    oval: bool
    chubby: bool
    double_chin: bool
    high_cheekbones: bool
    big_nose: bool
    pointy_nose: bool
    big_lips: bool
    bushy_brows: bool
    arched_brows: bool
    narrow_eyes: bool
    eye_size: float  # relative, 0.92..1.1
    eye_tilt: float  # outer corner above the inner one, -1..2
    eye_bags: bool
    freckles: bool
    attractive: bool  # an opinion of CelebA's annotators: a column, never drawn


@dataclasses.dataclass(frozen=True)
class Portrait:
    """One picture of a person, completely: equal portraits are drawn as equal pixels."""

    identity: int  # 1-based, as in identity_CelebA.txt
    person: Person
    # hair of the day
    cut: Cut
    texture: Texture
    bangs: bool
    parting: float  # -1 (the picture's left) .. 1
    volume: float  # relative, 0.7..1.4
    beard: Beard
    mustache: bool
    sideburns: bool
    # expression
    smile: float  # -0.3..0.35 neutral, 0.6..1 smiling
    mouth_open: float  # 0 closed, 0.45..1 teeth show
    gaze: tuple[float, float]  # -1..1 right and down
    # make-up
    lipstick: Colour | None
    makeup: Colour | None  # the eye shadow of a heavy make-up
    rosy: bool
    # worn
    glasses: Glasses
    hat: Hat
    hat_colour: Colour
    earrings: Earrings
    necklace: Necklace
    outfit: Outfit
    cloth: Colour
    tie: Colour | None
    # pose
    roll: float  # degrees, clockwise
    turn: float  # -1 (to the picture's left) .. 1
    nod: float  # -1 (up) .. 1
    scale: float  # 0.94..1.05
    shift: tuple[float, float]  # pixels, right and down
    # scene
    backdrop: Backdrop
    backdrop_colours: tuple[Colour, Colour]
    backdrop_angle: float  # radians
    light: float  # -1 from the left .. 1 from the right
    blur: float  # pixels (standard deviation), 0 in focus
    noise: float  # standard deviation in grey levels
    grain: int  # seeds what has no name: strands, bokeh, freckles, sensor noise

    @property
    def smiling(self) -> bool:
        """Whether the corners of the mouth are clearly raised."""
        return self.smile > 0.5

    @property
    def shows_hair(self) -> bool:
        """Whether there is any hair on the head (a hat does not hide its colour)."""
        return self.cut != "bald"

    def attributes(self) -> dict[str, int]:
        """CelebA's forty attributes of this portrait, 1 (present) or 0, in the order of `ATTRIBUTES`."""
        person = self.person
        present = {
            "5_o_Clock_Shadow": self.beard == "shadow",
            "Arched_Eyebrows": person.arched_brows,
            "Attractive": person.attractive,
            "Bags_Under_Eyes": person.eye_bags,
            "Bald": not self.shows_hair,
            "Bangs": self.bangs and self.shows_hair,
            "Big_Lips": person.big_lips,
            "Big_Nose": person.big_nose,
            "Black_Hair": self.shows_hair and person.hair_colour == "black",
            "Blond_Hair": self.shows_hair and person.hair_colour == "blond",
            "Blurry": self.blur > 0,
            "Brown_Hair": self.shows_hair and person.hair_colour == "brown",
            "Bushy_Eyebrows": person.bushy_brows,
            "Chubby": person.chubby,
            "Double_Chin": person.double_chin,
            "Eyeglasses": self.glasses != "none",
            "Goatee": self.beard == "goatee",
            "Gray_Hair": self.shows_hair and person.hair_colour == "gray",
            "Heavy_Makeup": self.makeup is not None,
            "High_Cheekbones": person.high_cheekbones,
            "Male": person.male,
            "Mouth_Slightly_Open": self.mouth_open > 0,
            "Mustache": self.mustache,
            "Narrow_Eyes": person.narrow_eyes,
            "No_Beard": self.beard == "none" and not self.mustache,
            "Oval_Face": person.oval,
            "Pale_Skin": person.pale,
            "Pointy_Nose": person.pointy_nose,
            "Receding_Hairline": self.shows_hair and person.receding and not self.bangs,
            "Rosy_Cheeks": self.rosy,
            "Sideburns": self.sideburns,
            "Smiling": self.smiling,
            "Straight_Hair": self.shows_hair and self.texture == "straight",
            "Wavy_Hair": self.shows_hair and self.texture == "wavy",
            "Wearing_Earrings": self.earrings != "none",
            "Wearing_Hat": self.hat != "none",
            "Wearing_Lipstick": self.lipstick is not None,
            "Wearing_Necklace": self.necklace != "none",
            "Wearing_Necktie": self.tie is not None and self.outfit in ("shirt", "suit"),
            "Young": person.young,
        }
        return {name: int(present[name]) for name in ATTRIBUTES}
