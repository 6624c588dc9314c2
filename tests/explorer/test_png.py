import io
import json
import random
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.png import KEY, MOST_FILE_BYTES, read_recipe, write_png
from celeba_gan.explorer.recipe import ExplorerError, Recipe

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def recipe_of(model: LoadedModel, **fields: object) -> Recipe:
    return faces.new_recipe(model, seed=5, number=17, truncation=0.8, moves={"closed_form_1": 1.5}, **fields)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_with(*chunks: bytes) -> bytes:
    """A PNG of one pixel with these chunks before its pixels."""
    header = chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\2\0\0\0")
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND", b"")


def test_a_saved_face_gives_its_recipe_and_the_recipe_its_pixels(plain: LoadedModel) -> None:
    recipe = recipe_of(plain)
    data = write_png(faces.picture(plain, recipe), recipe)
    found = read_recipe(data)
    assert found == recipe
    np.testing.assert_array_equal(faces.picture(plain, found), np.asarray(Image.open(io.BytesIO(data))))


def test_a_saved_blend_gives_its_pixels(plain: LoadedModel) -> None:
    ends = [faces.new_recipe(plain, number=number, truncation=1 - number / 10) for number in (1, 2)]
    recipe = faces.between(plain, *ends, 0.37)
    data = write_png(faces.picture(plain, recipe), recipe)
    found = read_recipe(data)
    assert found == recipe
    np.testing.assert_array_equal(faces.picture(plain, found), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no PNG"),
        (b"\xff\xd8\xff\xe0 a photograph", "no PNG"),
        (SIGNATURE, "damaged"),
        (SIGNATURE + b"\0" * MOST_FILE_BYTES, "bytes"),
        (png_with(), "without the recipe"),
        (png_with(chunk(b"tEXt", b"Software\0celeba_gan")), "without the recipe"),
        (png_with(chunk(b"tEXt", KEY.encode() + b"\0{}")), "recipe"),
        (png_with(chunk(b"tEXt", KEY.encode() + b"\0" + b"[" * 300_000)), "recipe"),
        (png_with(chunk(b"zTXt", KEY.encode() + b"\0\0" + zlib.compress(b"1" * 50_000_000))), "damaged|recipe"),
        (png_with(chunk(b"iTXt", KEY.encode() + b"\0\1\0\0\0" + zlib.compress(b"1" * 50_000_000))), "damaged|recipe"),
        (png_with(*[chunk(b"tEXt", b"k\0" + b"x" * 1_000_000)] * 10), "without the recipe"),
    ],
    ids=range(11),
)
def test_what_was_not_saved_here_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ExplorerError, match=reason) as refusal:
        read_recipe(data, "x.png")
    assert str(refusal.value).startswith("x.png ")
    assert len(str(refusal.value)) < 700


def test_no_pixel_of_a_large_picture_is_decoded() -> None:
    """A header that claims gigabytes of pixels is refused or read, and costs nothing."""
    header = chunk(b"IHDR", (2**31 - 1).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0")
    text = chunk(b"tEXt", KEY.encode() + b"\0" + Recipe(model="m", training_id="t", images=1).dump().encode())
    with pytest.raises(ExplorerError, match="damaged"):
        read_recipe(SIGNATURE + header + text + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


VALUES = [
    None, True, -1, 0, 1, 1.5, 1e308, float("nan"), float("inf"), 10**400, "", "x", "\0", "\u202e", "../../etc/passwd",
    [], {}, [[]], [None], {"a": 1}, {"": {}}, [1e308] * 50, ["x"] * 300, "<script>alert(1)</script>", "9" * 10_000,
]  # fmt: skip


def mutated(random_: random.Random, data: bytes, recipe: Recipe) -> bytes:
    """A saved face with damaged bytes, or with another recipe in it."""
    way = random_.randrange(5)
    if way == 0:
        return data[: random_.randrange(len(data))]
    if way == 1:
        damaged = bytearray(data)
        for _ in range(random_.randint(1, 8)):
            damaged[random_.randrange(len(damaged))] = random_.randrange(256)
        return bytes(damaged)
    values = recipe.to_json()
    for _ in range(random_.randint(1, 3)):
        values[random_.choice([*values, "extra", "format_version"])] = random_.choice(VALUES)
    text = json.dumps(values, ensure_ascii=random_.random() < 0.5)
    if way == 2:
        position = random_.randrange(len(text))
        text = (
            text[:position] + random_.choice(["", "{", '"', "\n", "1", "é"]) + text[position + random_.randint(0, 5) :]
        )
    info = PngImagePlugin.PngInfo()
    add = info.add_itxt if way == 4 or not text.isascii() else info.add_text
    add(KEY, text, zip=random_.random() < 0.3)
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


@pytest.mark.parametrize("seed", range(12))
def test_hostile_files_are_refused_with_a_reason_or_read_rightly(plain: LoadedModel, seed: int) -> None:
    random_ = random.Random(seed)
    recipe = recipe_of(plain)
    data = write_png(faces.picture(plain, recipe), recipe)
    refused = 0
    for _ in range(100):
        reason = None
        try:
            found = read_recipe(mutated(random_, data, recipe), "x.png")
            assert Recipe.parse(found.dump(), "again") == found
            assert faces.picture(plain, found).shape == (16, 16, 3)
        except ExplorerError as error:
            reason = str(error)
        if reason is not None:
            assert 10 < len(reason) < 700
            refused += 1
    assert 20 < refused < 100
