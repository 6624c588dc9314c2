import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.portraits import IDENTITY_BLOCK, Portrait, draw, sample_portrait
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

SAMPLED = [sample_portrait(0, index) for index in range(1200)]
PERSON_FIELDS = {field.name for field in dataclasses.fields(SAMPLED[0].person)}
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

# a face on which every attribute below is absent, whatever the samples come to be
PLAIN: dict[str, Any] = {
    "male": False,
    "young": True,
    "skin": (228, 176, 136),
    "pale": False,
    "iris": (92, 56, 34),
    "hair_colour": "auburn",
    "hair": (150, 74, 42),
    "bald": False,
    "receding": False,
    "oval": False,
    "chubby": False,
    "double_chin": False,
    "high_cheekbones": False,
    "big_nose": False,
    "pointy_nose": False,
    "big_lips": False,
    "bushy_brows": False,
    "arched_brows": False,
    "narrow_eyes": False,
    "eye_bags": False,
    "freckles": False,
    "attractive": False,
    "cut": "short",
    "texture": "plain",
    "bangs": False,
    "parting": 0.4,
    "beard": "none",
    "mustache": False,
    "sideburns": False,
    "smile": 0.1,
    "mouth_open": 0.0,
    "lipstick": None,
    "makeup": None,
    "rosy": False,
    "glasses": "none",
    "hat": "none",
    "earrings": "none",
    "necklace": "none",
    "outfit": "shirt",
    "tie": None,
    "roll": 0.0,
    "turn": 0.0,
    "nod": 0.0,
    "scale": 1.0,
    "shift": (0.0, 0.0),
    "gaze": (0.0, 0.0),
    "blur": 0.0,
    "noise": 0.0,
}


def changed(portrait: Portrait, changes: dict[str, Any]) -> Portrait:
    of_person = {name: value for name, value in changes.items() if name in PERSON_FIELDS}
    of_picture = {name: value for name, value in changes.items() if name not in PERSON_FIELDS}
    return dataclasses.replace(portrait, person=dataclasses.replace(portrait.person, **of_person), **of_picture)


def pixels(portrait: Portrait) -> NDArray[np.float64]:
    return np.asarray(draw(portrait), dtype=np.float64)


@pytest.fixture(scope="module")
def plain() -> Portrait:
    return changed(SAMPLED[0], PLAIN)


EYES, MOUTH, NOSE, CHEEKS = (45, 98, 134, 126), (64, 138, 114, 172), (70, 118, 108, 146), (50, 112, 128, 152)
BROWS, CHIN, HEAD, THROAT = (50, 84, 128, 106), (40, 136, 138, 200), (20, 20, 158, 128), (55, 165, 123, 218)


@pytest.mark.parametrize(
    ("attribute", "changes", "region"),
    [
        ("5_o_Clock_Shadow", {"male": True, "beard": "shadow"}, CHIN),
        ("Arched_Eyebrows", {"arched_brows": True}, BROWS),
        ("Bags_Under_Eyes", {"eye_bags": True}, EYES),
        ("Bald", {"cut": "bald"}, HEAD),
        ("Bangs", {"bangs": True}, (40, 50, 138, 106)),
        ("Big_Lips", {"big_lips": True}, MOUTH),
        ("Big_Nose", {"big_nose": True}, NOSE),
        ("Black_Hair", {"hair_colour": "black", "hair": (36, 30, 36)}, HEAD),
        ("Blond_Hair", {"hair_colour": "blond", "hair": (222, 180, 110)}, HEAD),
        ("Bushy_Eyebrows", {"bushy_brows": True}, BROWS),
        ("Chubby", {"chubby": True}, (20, 40, 158, 205)),
        ("Double_Chin", {"double_chin": True}, CHIN),
        ("Eyeglasses", {"glasses": "round"}, EYES),
        ("Eyeglasses", {"glasses": "square"}, EYES),
        ("Goatee", {"male": True, "beard": "goatee"}, CHIN),
        ("Gray_Hair", {"hair_colour": "gray", "hair": (184, 184, 188)}, HEAD),
        ("Heavy_Makeup", {"makeup": (122, 78, 128)}, (45, 88, 134, 126)),
        ("High_Cheekbones", {"high_cheekbones": True}, CHEEKS),
        ("Mouth_Slightly_Open", {"mouth_open": 0.7}, MOUTH),
        ("Mustache", {"male": True, "mustache": True}, MOUTH),
        ("Narrow_Eyes", {"narrow_eyes": True}, EYES),
        ("Oval_Face", {"oval": True}, (35, 40, 143, 205)),
        ("Pale_Skin", {"pale": True, "skin": (250, 222, 206)}, (35, 40, 143, 205)),
        ("Pointy_Nose", {"pointy_nose": True}, NOSE),
        ("Receding_Hairline", {"receding": True}, (35, 30, 143, 110)),
        ("Rosy_Cheeks", {"rosy": True}, CHEEKS),
        ("Sideburns", {"male": True, "sideburns": True}, (36, 92, 142, 145)),
        ("Smiling", {"smile": 0.9}, (46, 84, 132, 172)),
        ("Straight_Hair", {"texture": "straight"}, HEAD),
        ("Wavy_Hair", {"texture": "wavy"}, HEAD),
        ("Wearing_Earrings", {"earrings": "hoop"}, (30, 120, 148, 148)),
        ("Wearing_Hat", {"hat": "beanie"}, (25, 0, 153, 100)),
        ("Wearing_Hat", {"hat": "cap"}, (25, 0, 153, 100)),
        ("Wearing_Hat", {"hat": "fedora"}, (10, 0, 168, 100)),
        ("Wearing_Lipstick", {"lipstick": (196, 36, 56)}, MOUTH),
        ("Wearing_Necklace", {"outfit": "scoop", "necklace": "beads"}, THROAT),
        ("Wearing_Necktie", {"tie": (160, 40, 52)}, THROAT),
    ],
)
def test_an_attribute_is_seen_where_it_belongs(plain, attribute, changes, region):
    # what the attribute presupposes (a man, a low neckline) is given to both portraits
    setting = {name: value for name, value in changes.items() if name in ("male", "outfit")}
    without, with_it = changed(plain, setting), changed(plain, changes)

    assert without.attributes()[attribute] == 0
    assert with_it.attributes()[attribute] == 1
    difference = np.abs(pixels(with_it) - pixels(without)).sum(axis=2)
    left, top, right, bottom = region
    assert difference[top:bottom, left:right].sum() > 0.9 * difference.sum()
    assert (difference > 24).sum() > 60  # of the 38,804 pixels: readable, not a matter of a few grey levels


def test_blurry_softens_the_whole_picture(plain):
    sharp, soft = pixels(plain), pixels(changed(plain, {"blur": 1.5}))

    assert np.abs(np.diff(soft, axis=1)).sum() < 0.8 * np.abs(np.diff(sharp, axis=1)).sum()


def test_old_age_draws_lines_on_the_face(plain):
    difference = np.abs(pixels(changed(plain, {"young": False})) - pixels(plain)).sum(axis=2)

    assert difference[:, 40:138].sum() > 0.99 * difference.sum()
    assert (difference > 12).sum() > 60


def test_a_portrait_is_a_function_of_seed_and_index():
    again = [sample_portrait(0, index) for index in reversed(range(50))][::-1]

    assert again == SAMPLED[:50]
    assert sample_portrait(1, 3) != sample_portrait(0, 3)
    assert draw(again[7]).tobytes() == draw(SAMPLED[7]).tobytes()
    assert draw(again[7]).tobytes() != draw(again[8]).tobytes()


def test_every_sample_can_be_drawn_in_celebas_format():
    for portrait in SAMPLED[:60]:
        image = draw(portrait)
        assert (image.mode, image.size) == ("RGB", (178, 218))
        assert np.asarray(image).std() > 15


def test_eyes_lie_where_celeba_aligns_them():
    centres = []
    for portrait in SAMPLED[:25]:
        bare = changed(portrait, {"glasses": "none", "blur": 0.0, "hat": "none", "bangs": False})
        difference = np.abs(pixels(changed(bare, {"iris": (255, 0, 255)})) - pixels(bare)).sum(axis=2)
        for half, offset in ((difference[:, :89], 0), (difference[:, 89:], 89)):
            rows, columns = np.indices(half.shape)
            centres.append(((columns * half).sum() / half.sum() + offset, (rows * half).sum() / half.sum()))
    left, right = np.array(centres[::2]), np.array(centres[1::2])

    np.testing.assert_allclose(left.mean(axis=0), (70, 111), atol=2)
    np.testing.assert_allclose(right.mean(axis=0), (108, 111), atol=2)
    assert np.abs(left - (70, 111)).max() < 8


def test_the_columns_contradict_neither_each_other_nor_the_drawing():
    for portrait in SAMPLED:
        has = portrait.attributes()
        assert tuple(has) == ATTRIBUTES
        assert set(has.values()) <= {0, 1}
        assert sum(has[name] for name in HAIR_COLOURS) <= 1
        bearded = has["5_o_Clock_Shadow"] or has["Goatee"] or has["Mustache"] or portrait.beard == "full"
        assert has["No_Beard"] == (not bearded)
        assert not (bearded or has["Sideburns"] or has["Bald"] or has["Wearing_Necktie"]) or has["Male"]
        assert not (has["Wearing_Lipstick"] or has["Heavy_Makeup"]) or not has["Male"]
        if has["Bald"]:
            of_hair = (*HAIR_COLOURS, "Bangs", "Receding_Hairline", "Straight_Hair", "Wavy_Hair")
            assert not any(has[name] for name in of_hair)
        for one, other in (
            ("Straight_Hair", "Wavy_Hair"),
            ("Big_Nose", "Pointy_Nose"),
            ("Chubby", "Oval_Face"),
            ("Bangs", "Receding_Hairline"),
            ("Goatee", "5_o_Clock_Shadow"),
            ("Wearing_Necktie", "Wearing_Necklace"),
        ):
            assert has[one] + has[other] < 2, (one, other)


def test_prevalences_are_like_celebas():
    shares = {name: np.mean([portrait.attributes()[name] for portrait in SAMPLED]) for name in ATTRIBUTES}

    assert all(0.005 < share < 0.9 for share in shares.values()), shares
    # CelebA's own shares, over its 202,599 images
    for name, of_celeba in {
        "Male": 0.417,
        "Young": 0.774,
        "Smiling": 0.482,
        "No_Beard": 0.835,
        "Mouth_Slightly_Open": 0.483,
        "Wearing_Lipstick": 0.472,
        "Heavy_Makeup": 0.387,
        "Attractive": 0.513,
        "Wavy_Hair": 0.320,
        "Blond_Hair": 0.148,
        "Eyeglasses": 0.065,
        "Bald": 0.022,
    }.items():
        assert abs(shares[name] - of_celeba) < 0.08, (name, shares[name])


def test_images_of_one_identity_show_one_person_in_other_pictures():
    by_identity: dict[int, list[Portrait]] = {}
    for portrait in SAMPLED:
        by_identity.setdefault(portrait.identity, []).append(portrait)
    shared = [portraits for portraits in by_identity.values() if len(portraits) > 1]

    assert len(shared) > 50
    for portraits in shared:
        assert len({portrait.person for portrait in portraits}) == 1
        assert len({(portrait.smile, portrait.backdrop_colours, portrait.roll) for portrait in portraits}) > 1
    assert len({portraits[0].person for portraits in by_identity.values()}) == len(by_identity)


def test_identities_never_span_two_blocks():
    blocks: dict[int, set[int]] = {}
    for index, portrait in enumerate(SAMPLED):
        blocks.setdefault(portrait.identity, set()).add(index // IDENTITY_BLOCK)

    assert all(len(block) == 1 for block in blocks.values())
