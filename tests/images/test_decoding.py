import io
import os
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from celeba_gan.images import decoding
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.decoding import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    NeedsMoreError,
    UnreadableImageError,
    decode_image,
    image_size,
)

pytestmark = pytest.mark.filterwarnings("error")  # nothing that Pillow warns of reaches the user

FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF"}
SIDE = 24
BACKGROUND = (16, 130, 250)


@dataclass(frozen=True)
class Recipe:
    crop: int | str = "none"
    size: int = SIDE
    filter: str = "bilinear"
    background: str = "#1082fa"


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photograph(seed, width=178, height=218):
    pixels = np.random.default_rng(seed).integers(0, 256, (11, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def blend(colour, alpha):
    """What is seen of a colour (height, width, 3) over the background; alpha (height, width) in 0 to 255."""
    opacity = alpha[..., None] / 255
    return colour * opacity + np.array(BACKGROUND) * (1 - opacity)


def square_png(depth, colour_type, samples, **chunks):
    """A PNG of SIDE x SIDE as the specification has it; samples (SIDE, SIDE[, channels]), chunks by name."""
    rows = samples.reshape(SIDE, -1)
    if depth == 16:
        lines = rows.astype(">u2").tobytes()
    else:  # depths below 8 are packed from the left
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        lines = np.packbits(bits.reshape(SIDE, -1).astype(np.uint8), axis=1).tobytes()
    length = len(lines) // SIDE
    body = b"".join(b"\0" + lines[start : start + length] for start in range(0, len(lines), length))
    return png(SIDE, SIDE, depth, colour_type, zlib.compress(body), **chunks)


def png(width, height, depth, colour_type, data, **chunks):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *((name.encode(), chunk) for name, chunk in chunks.items()), (b"IDAT", data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, chunk) for name, chunk in [*parts, (b"IEND", b"")])


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(order, pixels, **tags):
    """An uncompressed TIFF of SIDE x SIDE as the specification has it; every tag is a number or a list of them."""
    numbers = {
        "width": 256, "height": 257, "bits": 258, "photometric": 262, "strip": 273, "samples": 277,
        "strip_bytes": 279, "tile_width": 322, "tile_height": 323, "extra": 338, "format": 339,
    }  # fmt: skip
    tags = {"width": SIDE, "height": SIDE, "samples": 1, "strip": 8, "strip_bytes": len(pixels)} | tags
    directory, beyond = 8 + len(pixels), b""
    end = directory + 2 + 12 * len(tags) + 4
    entries = b""
    for name, value in sorted(tags.items(), key=lambda tag: numbers[tag[0]]):
        values = value if isinstance(value, list) else [value]
        size, code = ("I", 4) if max(values) > 65535 or name.startswith("strip") else ("H", 3)
        data = struct.pack(f"{order}{len(values)}{size}", *values)
        if len(data) > 4:
            data, beyond = struct.pack(f"{order}I", end + len(beyond)), beyond + data
        entries += struct.pack(f"{order}HHI", numbers[name], code, len(values)) + data.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    return start + pixels + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + beyond


def same(image, pixels, tolerance=0):
    """Whether the image, neither cropped nor resized, has these pixels."""
    decoded = decode_image(image, Recipe())
    assert (decoded.shape, decoded.dtype) == ((SIDE, SIDE, 3), np.uint8)
    np.testing.assert_allclose(decoded.astype(float), pixels, rtol=0, atol=tolerance)
    assert image_size(image) == (SIDE, SIDE)


@pytest.mark.parametrize("crop", [178, 108, 101, "none"])
@pytest.mark.parametrize("name", ["box", "bilinear", "bicubic", "lanczos"])
def test_a_colour_jpeg_is_cropped_in_the_centre_and_resized_and_nothing_outside_is_seen(crop, name):
    data = encode(photograph(5), "JPEG")
    side = 178 if crop == "none" else crop
    left, top = (178 - side) // 2, (218 - side) // 2
    square = Image.open(io.BytesIO(data)).crop((left, top, left + side, top + side))
    decoded = decode_image(data, Recipe(crop, 64, name))
    np.testing.assert_array_equal(decoded, square.resize((64, 64), Image.Resampling[name.upper()]))
    frame = Image.new("RGB", (178, 218), "white")
    frame.paste(square, (left, top))
    np.testing.assert_array_equal(decoded, decode_image(encode(frame, "PNG"), Recipe(crop, 64, name)))


LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "GIF": {}, "WEBP": {"lossless": True, "exact": True}}


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colours_are_kept(kind):
    pixels = noise(1, SIDE, SIDE, 3)
    same(encode(Image.fromarray(pixels), kind, **LOSSLESS[kind]), pixels)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_gray_becomes_equal_channels(kind):
    pixels = noise(2, SIDE, SIDE)
    same(encode(Image.fromarray(pixels), kind), np.repeat(pixels[..., None], 3, axis=2))


def test_a_gray_jpeg_becomes_equal_channels():
    ramp = np.tile(np.linspace(0, 255, SIDE).round().astype(np.uint8), (SIDE, 1))
    same(encode(Image.fromarray(ramp), "JPEG", quality=100), np.repeat(ramp[..., None], 3, axis=2), tolerance=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_black_and_white_are_the_ends_of_the_range(kind):
    white = noise(3, SIDE, SIDE) > 127
    same(encode(Image.fromarray(white), kind), np.repeat(white[..., None] * 255, 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_palettes_are_looked_up_before_resizing(kind):
    palette, indices = noise(4, 256, 3), noise(5, SIDE, SIDE)
    image = Image.frombytes("P", (SIDE, SIDE), indices.tobytes())
    image.putpalette(palette.tobytes())
    data = encode(image, kind)
    same(data, palette[indices])
    expected = Image.fromarray(palette[indices]).resize((9, 9), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode_image(data, Recipe(size=9)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_half_transparent_colours_lie_over_the_background(kind):
    pixels = noise(6, SIDE, SIDE, 4)
    same(encode(Image.fromarray(pixels), kind, **LOSSLESS[kind]), blend(pixels[..., :3], pixels[..., 3]), tolerance=0.6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_half_transparent_gray_lies_over_the_background(kind):
    pixels = noise(7, SIDE, SIDE, 2)
    colour = np.repeat(pixels[..., :1], 3, axis=2)
    same(encode(Image.fromarray(pixels, "LA"), kind), blend(colour, pixels[..., 1]), tolerance=0.6)


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow reads these from version 13 on")
def test_premultiplied_tiffs_are_divided_by_their_transparency():
    alpha = noise(8, SIDE, SIDE) | 128
    gray = noise(9, SIDE, SIDE)
    stored = np.stack([(gray / 255 * alpha).round().astype(np.uint8), alpha], axis=2)
    data = tiff("<", stored.tobytes(), bits=[8, 8], samples=2, photometric=1, extra=1)
    same(data, blend(np.repeat(gray[..., None], 3, axis=2), alpha), tolerance=2)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entries_lie_over_the_background(kind, several):
    if several and kind == "GIF":
        pytest.skip("a GIF has one transparent entry")
    palette, indices = noise(10, 256, 3), noise(11, SIDE, SIDE) % 16
    alpha = np.full(256, 255, np.uint8)
    alpha[:16] = noise(12, 16) if several else np.where(np.arange(16) == 5, 0, 255)
    image = Image.frombytes("P", (SIDE, SIDE), indices.astype(np.uint8).tobytes())
    image.putpalette(palette.tobytes())
    data = encode(image, kind, transparency=alpha.tobytes() if several else 5)
    same(data, blend(palette[indices], alpha[indices]), tolerance=0.6)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_a_png_shows_the_background(depth):
    top = 2**depth - 1
    values = np.random.default_rng(depth).integers(0, top + 1, (SIDE, SIDE))
    values[3:7] = transparent = top // 3 or 1
    values[8, 8] = transparent ^ 1  # of 16 bits the low byte counts too
    data = square_png(depth, 0, values, tRNS=struct.pack(">H", transparent))
    gray = values >> 8 if depth == 16 else values * 255 // top
    alpha = np.where(values == transparent, 0, 255)
    same(data, blend(np.repeat(gray[..., None], 3, axis=2), alpha))


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png_shows_the_background(depth):
    values = np.random.default_rng(depth).integers(0, 2**depth, (SIDE, SIDE, 3))
    values[3:7] = colour = values[0, 0]
    data = square_png(depth, 2, values, tRNS=struct.pack(">3H", *colour))
    alpha = np.where((values == colour).all(axis=2), 0, 255)
    same(data, blend(values >> (depth - 8), alpha))


def test_hidden_colours_do_not_bleed_into_what_is_seen():
    pixels = np.zeros((96, 96, 4), np.uint8)
    pixels[:, :40, 3] = 255  # black and opaque
    pixels[:, 40:, 0] = 255  # red and hidden
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG"), Recipe(size=8, background="#808080"))
    assert (decoded[..., 0] == decoded[..., 1]).all()
    assert (decoded[:, 7] == 128).all()


RAMP = np.linspace(0, 65535, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)


@pytest.mark.parametrize(
    "data",
    [
        square_png(16, 0, RAMP),
        encode(Image.fromarray(RAMP), "PNG"),
        encode(Image.fromarray(RAMP), "TIFF"),
        encode(Image.fromarray(RAMP), "TIFF", compression="tiff_lzw"),
        tiff("<", RAMP.astype("<u2").tobytes(), bits=16, photometric=1),
        tiff(">", RAMP.astype(">u2").tobytes(), bits=16, photometric=1),
        tiff("<", (65535 - RAMP).astype("<u2").tobytes(), bits=16, photometric=0),
    ],
    ids=["png", "pillow png", "pillow tiff", "lzw", "little", "big", "white is zero"],
)
def test_sixteen_bits_of_gray_are_scaled_not_clipped(data):
    same(data, np.repeat((RAMP / 257)[..., None], 3, axis=2), tolerance=1)
    assert decode_image(data, Recipe())[..., 0].tolist() == (RAMP >> 8).tolist()


def test_twelve_bits_of_gray_are_scaled():
    values = (RAMP >> 4).astype(int)
    first, second = values[:, 0::2], values[:, 1::2]  # two samples in three bytes
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8)
    data = tiff("<", packed.tobytes(), bits=12, photometric=1)
    same(data, np.repeat((values / 4095 * 255)[..., None], 3, axis=2), tolerance=1)


@pytest.mark.parametrize("layout", ["png", "<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_of_colour_are_scaled(layout, channels):
    pixels = np.random.default_rng(13).integers(0, 65536, (SIDE, SIDE, channels))
    if layout == "png":
        data = square_png(16, 2 if channels == 3 else 6, pixels)
    else:
        extra = {"extra": 2} if channels == 4 else {}
        stored = pixels.astype(f"{layout}u2").tobytes()
        data = tiff(layout, stored, bits=[16] * channels, samples=channels, photometric=2, **extra)
    seen = pixels / 257
    same(data, blend(seen[..., :3], seen[..., 3]) if channels == 4 else seen, tolerance=2.2)


@pytest.mark.parametrize(
    "data",
    [
        tiff("<", bytes(4 * SIDE * SIDE), bits=32, photometric=1, format=3),
        tiff("<", bytes(4 * SIDE * SIDE), bits=32, photometric=1, format=1),
        tiff("<", bytes(2 * SIDE * SIDE), bits=16, photometric=1, format=2),
        tiff("<", bytes(8 * SIDE * SIDE), bits=64, photometric=1, format=3),
        tiff("<", bytes(3 * SIDE * SIDE), bits=[8, 8, 8], samples=3, photometric=8),
    ],
    ids=["float", "32 bits", "signed", "double", "LAB"],
)
def test_pixels_without_a_known_range_are_refused_not_guessed(data):
    for read in (image_size, lambda data: decode_image(data, Recipe())):
        with pytest.raises(UnreadableImageError, match=r"^unsupported: "):
            read(data)


def test_cmyk_is_paper_minus_ink():
    inks = noise(14, SIDE, SIDE, 4)
    seen = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    same(encode(Image.fromarray(inks, "CMYK"), "TIFF"), seen, tolerance=1)


@pytest.mark.parametrize("ycck", [False, True])
def test_cmyk_jpegs_are_inverted_as_adobe_writes_them(ycck):
    cyan, magenta, yellow, black = 200, 30, 90, 60
    paper = np.array([255 - cyan, 255 - magenta, 255 - yellow], float)
    stored = [*paper, 255 - black]  # what lies in the file
    if ycck:  # luminance and two differences of what is missing from the three, and the fourth
        to_ycc = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
        stored = [*(np.array(to_ycc) @ (255 - paper) + [0, 128, 128]), 255 - black]
    written_by_pillow = tuple(255 - round(value) for value in stored)  # which inverts all four
    data = encode(Image.new("CMYK", (SIDE, SIDE), written_by_pillow), "JPEG", quality=100)
    adobe = data.index(b"Adobe")
    assert data[adobe + 11] == 0
    if ycck:
        data = data[: adobe + 11] + b"\2" + data[adobe + 12 :]
    same(data, np.broadcast_to(paper * (255 - black) / 255, (SIDE, SIDE, 3)), tolerance=3)


UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: np.rot90(pixels, 2),
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels),
}
TURNED = {
    "JPEG": {},
    "MPO": {"save_all": True, "append_images": [photograph(0, 20, 20)]},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
}


def exif(orientation):
    tags = Image.Exif()
    tags[0x010F] = "A maker of cameras"
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("kind", TURNED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright_before_they_are_cropped(kind, orientation):
    image, options = photograph(15, 53, 40), TURNED[kind]
    stored = np.asarray(Image.open(io.BytesIO(encode(image, kind.partition(" ")[0], **options))))
    data = encode(image, kind.partition(" ")[0], exif=exif(orientation), **options)
    upright = UPRIGHT[orientation](stored)
    height, width, _ = upright.shape
    assert image_size(data) == (width, height)
    for crop in ("none", 40, 31, 30):
        side = 40 if crop == "none" else crop
        left, top = (width - side) // 2, (height - side) // 2
        square = Image.fromarray(np.ascontiguousarray(upright[top : top + side, left : left + side]))
        decoded = decode_image(data, Recipe(crop, 20))
        np.testing.assert_array_equal(decoded, square.resize((20, 20), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("code", "value"),
    [(3, b"\0"), (3, b"\x09"), (3, b"\xff\xff"), (2, b"6"), (7, b"\6"), (99, b"\6"), (5, b"\xff")],
    ids=["0", "9", "65535", "text", "bytes", "unknown type", "beyond the end"],
)
def test_orientations_that_mean_nothing_are_ignored(code, value):
    block = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI4sI", 0x0112, code, 1, value, 0)
    data = encode(photograph(16, 53, 40), "JPEG", exif=block)
    assert image_size(data) == (53, 40)
    np.testing.assert_array_equal(
        decode_image(data, Recipe()), decode_image(encode(photograph(16, 53, 40), "JPEG"), Recipe())
    )


@pytest.mark.parametrize("end", range(9))
def test_damaged_metadata_do_not_cost_the_photograph(end):
    whole = exif(6).tobytes()
    data = encode(photograph(16, 53, 40), "JPEG", exif=whole[: len(whole) * end // 9])
    assert image_size(data) in ((53, 40), (40, 53))
    assert decode_image(data, Recipe()).shape == (SIDE, SIDE, 3)


def test_an_orientation_behind_the_pixels_of_a_png_is_obeyed():
    image = photograph(17, SIDE, SIDE)
    data = encode(image, "PNG")
    late = png_chunk(b"eXIf", exif(6).tobytes()[6:])
    turned = decode_image(data[:-12] + late + data[-12:], Recipe())
    np.testing.assert_array_equal(turned, UPRIGHT[6](np.asarray(image)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_of_several_frames_counts(kind):
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("#dd2010", "#1020dd", "#10dd20")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    same(data, np.broadcast_to([0xDD, 0x20, 0x10], (SIDE, SIDE, 3)), tolerance=4)


def test_a_progressive_jpeg_has_the_pixels_of_a_sequential_one():
    sequential, progressive = (encode(photograph(18), "JPEG", progressive=progressive) for progressive in (False, True))
    np.testing.assert_array_equal(*(decode_image(data, Recipe(178, 64)) for data in (sequential, progressive)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_long_profile_before_the_size_needs_more_of_the_file(kind):
    # noise, since PNG compresses the profile
    data = encode(photograph(19, 53, 40), kind, icc_profile=noise(19, 100_000).tobytes(), exif=exif(6))
    with pytest.raises(NeedsMoreError):
        image_size(data[:4096])
    assert image_size(data) == (40, 53)


@pytest.mark.parametrize(("side", "reduced"), [(6 * SIDE - 1, False), (6 * SIDE, True), (50 * SIDE, True)])
def test_a_large_jpeg_that_is_resized_whole_is_decoded_at_a_reduced_size(side, reduced):
    image = photograph(20, side + 48, side)
    data = encode(image, "JPEG", quality=95)
    full = Image.open(io.BytesIO(data)).crop((24, 0, 24 + side, side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    decoded = decode_image(data, Recipe()).astype(int)
    difference = np.abs(decoded - np.asarray(full))
    assert difference.any() == reduced
    assert difference.max() < 12
    assert difference.mean() < 2
    cropped = decode_image(data, Recipe(crop=side)).astype(int)
    np.testing.assert_array_equal(cropped, full)  # a crop is in pixels of the photograph


@pytest.mark.parametrize(
    ("width", "height", "recipe", "reason"),
    [
        (177, 218, Recipe(178, 64), "smaller than the crop of 178: 177x218"),
        (40, 60, Recipe("none", 64), "smaller than the target of 64: 40x60 pixels"),
        (300, 300, Recipe(48, 64), "smaller than the target of 64: a crop of 48 pixels"),
        (64, 90, Recipe("none", 64), None),
        (178, 178, Recipe(178, 178), None),
    ],
)
def test_nothing_is_enlarged(width, height, recipe, reason):
    data = encode(photograph(21, width, height), "JPEG")
    if reason is None:
        assert decode_image(data, recipe).shape == (recipe.size, recipe.size, 3)
        return
    with pytest.raises(UnreadableImageError) as error:
        decode_image(data, recipe)
    assert str(error.value) == reason


def gif_of_one_pixel(screen=(1, 1), frame=(0, 0, 1, 1)):
    colours = b"\0\0\0\xff\xff\xff"
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + colours
    return header + struct.pack("<cHHHHB", b",", *frame, 0) + b"\2\2\x4c\1\0;"


def jpeg_that_claims(width, height):
    return encode(photograph(22), "JPEG").replace(
        struct.pack(">BHH", 8, 218, 178), struct.pack(">BHH", 8, height, width)
    )


HUGE = 16_000  # more than is allowed, less than what Pillow takes for an error
WEBP_HEADER = struct.pack("<4sI4s4sIB3x", b"RIFF", 100, b"WEBP", b"VP8X", 10, 0)
BOMBS = {
    "png": png(60_000, 60_000, 8, 2, zlib.compress(bytes(100))),
    "png just too large": png(HUGE, 5001, 1, 0, zlib.compress(bytes(100))),
    "gif": gif_of_one_pixel(screen=(60_000, 60_000)),
    "gif frame": gif_of_one_pixel(frame=(0, 0, HUGE, HUGE // 2)),
    "gif frame beyond Pillow": gif_of_one_pixel(frame=(60_000, 60_000, 1, 1)),
    "tiff": tiff("<", bytes(100), width=60_000, height=60_000, bits=8, photometric=1),
    "tiff tile": tiff("<", bytes(100), bits=8, photometric=1, tile_width=60_000, tile_height=60_000),
    "webp canvas": WEBP_HEADER + struct.pack("<I", HUGE - 1)[:3] + struct.pack("<I", HUGE - 1)[:3] + bytes(200),
    "webp lossless": struct.pack("<4sI4s4sIBI", b"RIFF", 100, b"WEBP", b"VP8L", 90, 0x2F, 0x0FFFFFFF) + bytes(80),
    "bmp": struct.pack("<2sIIIIiiHHIIiiII", b"BM", 100, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "jpeg": jpeg_that_claims(60_000, 60_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_header(name):
    for read in (image_size, lambda data: decode_image(data, Recipe())):
        with pytest.raises(UnreadableImageError, match=r"^too large: ") as error:
            read(BOMBS[name])
        assert not isinstance(error.value, NeedsMoreError)  # the index would read a whole bomb
    assert name == "gif frame beyond Pillow" or f"at most {MAX_PIXELS:,} in all" in str(error.value)


def test_photographs_of_fifty_megapixels_are_welcome():
    assert image_size(png(8688, 5792, 8, 2, zlib.compress(bytes(100)))) == (8688, 5792)
    assert image_size(png(HUGE, MAX_PIXELS // HUGE, 1, 0, zlib.compress(bytes(100)))) == (HUGE, 5000)
    pixels = np.zeros((7000, 7200), bool)
    pixels[:, 3600:] = True
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG", compress_level=1), Recipe(size=8, filter="box"))
    assert decoded[..., 0].tolist() == [[0] * 4 + [255] * 4] * 8


def test_jpegs_of_200_megapixels_are_decoded_at_half_their_size():
    shades = np.repeat(np.array([0, 255], np.uint8), 16_320 // 2)
    image = Image.fromarray(np.broadcast_to(shades, (12_240, 16_320)))
    jpeg = encode(image, "JPEG")
    assert image_size(jpeg[:4096]) == (16_320, 12_240)
    for crop in ("none", 200):
        assert decode_image(jpeg, Recipe(crop, 8, "box"))[..., 0].tolist() == [[0] * 4 + [255] * 4] * 8
    with pytest.raises(UnreadableImageError, match=r"^too large: .* a crop of 200 has 100 pixels, fewer than .* 101"):
        decode_image(jpeg, Recipe(200, 101))
    with pytest.raises(UnreadableImageError, match=r"^too large: 16,320x12,240 pixels, at most 80,000,000 in all"):
        image_size(png(16_320, 12_240, 8, 2, zlib.compress(bytes(100))))


@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
@pytest.mark.parametrize(("crop", "size"), [(178, 64), (177, 64), (130, 65), ("none", 64), ("none", 89), ("none", 20)])
def test_a_crop_of_a_reduced_jpeg_shows_the_same_part(monkeypatch, crop, size, orientation):
    data = encode(photograph(5, 356, 436), "JPEG", exif=exif(orientation))
    exact = decode_image(data, Recipe(crop, size))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 356 * 436 - 1)
    half = Image.open(io.BytesIO(data))
    half.draft(None, (178, 218))
    upright = ImageOps.exif_transpose(half)
    side = min(upright.size) if crop == "none" else crop // 2
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    square = upright.crop((left, top, left + side, top + side))
    decoded = decode_image(data, Recipe(crop, size))
    if size == 20:  # decoded at a quarter in any case
        np.testing.assert_array_equal(decoded, exact)
    else:
        np.testing.assert_array_equal(decoded, square.resize((size, size), Image.Resampling.BILINEAR))
        assert np.abs(decoded.astype(int) - exact).mean() < 3
    with pytest.raises(UnreadableImageError, match=r"^too large: 356x436 pixels|^too large: 436x356 pixels"):
        decode_image(data, Recipe(crop, (356 if crop == "none" else crop) // 2 + 1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "not an image: looks like a web page"),
        (b"PK\x03\x04 and so on", "not an image: looks like a zip archive"),
        (b"BMX bikes for sale, and other texts that begin like a bitmap", "not an image: looks like something else"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "unsupported: EPS is not read, convert it to"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported: HEIC is not read, convert it to JPEG or PNG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "unsupported: AVIF is not read"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported: SVG is not read"),
        (b"\x89PNG\n\x1a\n\0\0\0\rIHDR", "damaged: not a PNG file"),  # carried as text
        (b"\xff\x4f\xff\x51\0\x2f", "unsupported: JPEG 2000 is not read"),
    ],
)
def test_what_is_not_an_image_says_what_it_is(data, reason):
    for read in (image_size, lambda data: decode_image(data, Recipe())):
        with pytest.raises(UnreadableImageError) as error:
            read(data)
        assert str(error.value).startswith(reason)


def make_corpus():
    image = photograph(24, 48, 40)
    opaque, gray = image.copy(), image.convert("L")
    image.putalpha(gray)
    animated = {"save_all": True, "append_images": [opaque.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]}
    corpus = {
        "jpeg": encode(opaque, "JPEG"),
        "jpeg progressive": encode(opaque, "JPEG", progressive=True, exif=exif(6)),
        "jpeg gray": encode(gray, "JPEG"),
        "jpeg cmyk": encode(opaque.convert("CMYK"), "JPEG"),
        "mpo": encode(opaque, "MPO", **animated),
        "png": encode(opaque, "PNG", exif=exif(5), transparency=(1, 2, 3)),
        "png alpha": encode(image, "PNG"),
        "png palette": encode(image.quantize(32), "PNG"),
        "png 16": encode(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG"),
        "apng": encode(opaque, "PNG", **animated),
        "webp": encode(opaque, "WEBP"),
        "webp lossless": encode(image, "WEBP", lossless=True, exif=exif(8)),
        "webp animated": encode(image, "WEBP", **animated),
        "bmp": encode(opaque, "BMP"),
        "bmp palette": encode(opaque.quantize(32), "BMP"),
        "gif": encode(opaque, "GIF"),
        "gif animated": encode(image.quantize(32), "GIF", **animated),
        "tiff": encode(image, "TIFF", exif=exif(7)),
        "tiff 16": encode(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "TIFF"),
        "tiff g4": encode(gray.convert("1"), "TIFF", compression="group4"),
    }
    for compression in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits", "lzma"):
        corpus[f"tiff {compression}"] = encode(opaque, "TIFF", compression=compression)
    return corpus


CORPUS = make_corpus()


def test_the_corpus_has_every_format():
    seen = {Image.open(io.BytesIO(data)).format for data in CORPUS.values()}
    assert seen == FORMATS
    for data in CORPUS.values():
        assert decode_image(data, Recipe()).std() > 10


@pytest.mark.parametrize("name", CORPUS)
def test_half_a_file_is_damaged_and_nothing_is_made_up_for_the_rest(name):
    data = CORPUS[name]
    end = data.find(b"\xff\xd9") if name == "mpo" else len(data)  # the first picture of two
    for part in (end // 2, end * 3 // 4):
        if "animated" in name or name == "apng":
            part = part // 3  # the second frame may well be missing
        with pytest.raises(UnreadableImageError, match=r"^damaged: "):
            decode_image(data[:part], Recipe())


@pytest.mark.parametrize("name", CORPUS)
def test_the_beginning_of_a_file_gives_its_size_or_asks_for_more(name):
    data = CORPUS[name]
    whole = image_size(data)
    known = 0
    for length in range(0, len(data), 7):
        try:
            assert image_size(data[:length]) == whole
            known += 1
        except NeedsMoreError:
            pass
        except UnreadableImageError:
            assert length < 18  # too short to say what it is
    assert known > 1 or name == "webp lossless" or name.startswith("tiff")  # whose tags stand at the end


EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


@pytest.mark.parametrize("name", CORPUS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=EDITS,
    header=EDITS,
    end=st.one_of(st.just(1.0), st.floats(0, 1)),
    recipe=st.builds(Recipe, st.sampled_from(["none", 33]), st.sampled_from([8, 24])),
)
def test_hostile_bytes_give_a_reason_or_pixels(name, edits, header, end, recipe):
    data = bytearray(CORPUS[name])
    for place, value in edits:
        data[int(place * len(data))] = value
    for place, value in header:
        data[int(place * min(len(data), 100))] = value
    data = bytes(data[: int(end * len(data))])
    try:
        decoded = decode_image(data, recipe)
        assert (decoded.shape, decoded.dtype) == ((recipe.size, recipe.size, 3), np.uint8)
        width, height = image_size(data)
        assert min(width, height) >= (recipe.size if recipe.crop == "none" else recipe.crop)
    except UnreadableImageError as error:
        kind, _, detail = str(error).partition(": ")
        assert kind.startswith(("empty file", "not an image", "damaged", "too large", "smaller than", "unsupported"))
        assert detail or kind == "empty file"
        assert "\n" not in detail
        assert " at 0x" not in detail


def test_libtiff_does_not_write_to_the_terminal_and_others_still_can(capfd):
    data = bytearray(CORPUS["tiff tiff_adobe_deflate"])
    data[20:60] = bytes(40)
    with pytest.raises(UnreadableImageError, match=r"^damaged: "):
        decode_image(bytes(data), Recipe())
    assert capfd.readouterr() == ("", "")
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_suffixes_name_what_is_read():
    registered = Image.registered_extensions()
    assert {registered[suffix] for suffix in IMAGE_SUFFIXES} == {*FORMATS, "DIB"}
    assert {".heic", ".heif", ".avif", ".jp2", ".psd", ".svg", ".cr2", ".nef", ".dng"} <= FOREIGN_SUFFIXES
    assert not IMAGE_SUFFIXES & FOREIGN_SUFFIXES


def test_settings_refuse_a_crop_that_would_be_enlarged_and_a_background_that_is_no_colour():
    with pytest.raises(ValueError, match="crop 48 is smaller than size 64, and nothing is enlarged"):
        PreprocessSettings(crop=48, size=64)
    assert PreprocessSettings(crop=64, size=64).background == "#ffffff"
    for background in ("white", "#fff", "#ffffff0", "ffffff", "#ffffff\n"):
        with pytest.raises(ValueError, match="background"):
            PreprocessSettings(background=background)
