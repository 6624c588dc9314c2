"""Decodes any common image file to a small square of RGB pixels.

Worker processes import this module: numpy and Pillow only.
"""

from __future__ import annotations

import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageColor,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from celeba_gan.images.appearance import appearance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
)
"""Suffixes, in lower case, of files that are read."""

_FOREIGN_NAMES: Final = (
    "heic heif hif avif jxl jp2 j2k jpx jxr psd psb xcf svg svgz eps ai wmf emf ico cur icns tga pcx dds exr hdr "
    "ppm pgm pbm pnm raw dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw x3f 3fr erf kdc mrw rwl "
    "iiq mos mef fff dcr gpr"
)
FOREIGN_SUFFIXES: Final = frozenset(f".{name}" for name in _FOREIGN_NAMES.split())
"""Suffixes, in lower case, of image formats that are not read; to be converted to JPEG or PNG."""

DECODER_VERSION: Final = 2
"""Raise it with every change of the resulting pixels: it is part of the recipe."""

# Allows photographs of 60 megapixels. Pillow warns of bombs only from 89 million pixels on.
MAX_PIXELS: Final = 80_000_000
"""Pixels that are decoded at most."""

# Allows photographs of 200 megapixels: at half their width and height they are decoded to `MAX_PIXELS` at most.
MAX_JPEG_PIXELS: Final = 4 * MAX_PIXELS

# as Pillow recommends: a JPEG decoded at 1/2, 1/4 or 1/8 keeps at least this many pixels per result pixel
_REDUCING_GAP: Final = 3

_FOREIGN: Final = (
    (re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.S), "HEIC"),
    (re.compile(rb"....ftypavi", re.S), "AVIF"),
    (re.compile(rb"....ftypcrx ", re.S), "Canon raw"),
    (re.compile(rb"\xff\x0a|....JXL \r\n", re.S), "JPEG XL"),
    (re.compile(rb"\xff\x4f\xff\x51|....jP  \r\n", re.S), "JPEG 2000"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "EPS"),
    (re.compile(rb"\xef?\xbb?\xbf?\s*(<\?xml.{,999}?)?<svg", re.S), "SVG"),
)
# Nothing else is read: some of Pillow's formats run programs (a stranger's EPS would start Ghostscript).
_PLUGINS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_BMP_HEADERS: Final = (12, 40, 52, 56, 64, 108, 124)  # lengths: distinguish a bitmap from a text that begins with BM
_CARRIERS: Final = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))  # may hold an orientation
_MODES: Final = frozenset(("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16L", "I;16B"))
# EXIF orientations, by what turning the stored image upright does
_SWAPS_LEFT_AND_RIGHT: Final = (2, 3, 7, 8)
_SWAPS_TOP_AND_BOTTOM: Final = (3, 4, 6, 7)
_SWAPS_WIDTH_AND_HEIGHT: Final = (5, 6, 7, 8)
_STDERR: Final = threading.Lock()
# Pillow's warnings about metadata do not concern the pixels, and do not name the file.
_without_warnings = partial(warnings.catch_warnings, action="ignore")
# Pillow logs some TIFF errors without the file's name; the exceptions here carry the reason.
logging.getLogger(TiffImagePlugin.__name__).setLevel(logging.CRITICAL)
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(ValueError):
    """An image cannot be used; the message is the reason, "kind" or "kind: detail", so that kinds can be counted."""


class UnsupportedFormatError(UnreadableImageError):
    """The file is an image of a format that is not read."""


class NeedsMoreError(UnreadableImageError):
    """The size is not in these bytes: they are too few, or the file is damaged."""


@dataclass(frozen=True)
class DecodingRecipe:
    """What determines the pixels of the result."""

    crop: int | Literal["none"]
    """Side of the centre crop in pixels of the photograph; none: the largest centred square."""
    size: int
    """Side of the result, in pixels."""
    filter: str
    """One of Pillow's resize filters: box, bilinear, bicubic, lanczos."""
    background: str
    """The colour behind transparent pixels, #rrggbb."""


def image_format(data: bytes) -> str:
    """The format of an image file by its first bytes: JPEG, PNG, WEBP, GIF, TIFF or BMP; 32 bytes are enough.

    Raises:
        UnsupportedFormatError: It is an image of a format that is not read.
        UnreadableImageError: It is no image.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"GIF8"):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if not data:
        raise UnreadableImageError("empty file")
    for signature, name in _FOREIGN:
        if signature.match(data):
            raise UnsupportedFormatError(f"unsupported: {name} is not read, convert it to JPEG or PNG")
    raise UnreadableImageError(f"not an image: looks like {appearance(data[:4096])}")


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of the upright image, from its first few thousand bytes; no pixel is decoded.

    The EXIF orientation is applied, except one behind the pixels of a PNG, which only `decode_image` reads.

    Raises:
        NeedsMoreError: The size is not in these bytes. Call again with the whole file; for a whole file the message is
            the reason to reject it.
        UnreadableImageError: The file cannot be used, whatever follows.
    """
    try:
        with _without_warnings():
            # EXIF or XMP, which may hold an orientation, may follow the pixels of a VP8X file.
            if image_format(data) == "WEBP" and not (data[12:16] == b"VP8X" and data[20] & 0b1100):
                return _webp_canvas(data)
            photograph = _open(data)
            if not photograph.tile and photograph.format != "WEBP":  # WebP has one once it is loaded
                raise EOFError("no image data")
            return _upright_size(photograph)
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(_reason(error)) from error
    except Exception as error:  # anything that Pillow raises for hostile bytes
        raise NeedsMoreError(_reason(error)) from error


def decode_image(data: bytes, recipe: DecodingRecipe) -> NDArray[np.uint8]:
    """Decodes one photograph, turns it upright, crops its centre and resizes it with antialiasing.

    Of an animation the first frame is used. Transparent pixels get the background before resizing. 16 bits are reduced
    to their high byte. Colour profiles are not applied. With `crop: none` a JPEG at least six times as large as the
    result is decoded at a half, a quarter or an eighth of its size, which takes a fraction of the time.

    A JPEG of more than `MAX_PIXELS` is always decoded at half its width and height, or less. A crop of so many pixels
    of the photograph is then half as many decoded ones (rounded down), which must not be fewer than `size`: the view is
    the same, and of 2x2 pixels the mean is used.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        UnreadableImageError: The file cannot be used, or the image is too small: nothing is enlarged.
    """
    try:
        with _without_warnings():
            return _decode(data, recipe)
    except UnreadableImageError:
        raise
    except Exception as error:  # anything that Pillow raises for hostile bytes: one bad file must not stop a run
        raise UnreadableImageError(_reason(error)) from error


def _decode(data: bytes, recipe: DecodingRecipe) -> NDArray[np.uint8]:
    import numpy as np

    photograph = _open(data)
    width, height = _upright_size(photograph)
    side = min(width, height)
    if recipe.crop != "none":
        if recipe.crop > side:
            raise UnreadableImageError(f"smaller than the crop of {recipe.crop}: {width}x{height}")
        if recipe.crop < recipe.size:
            raise UnreadableImageError(f"smaller than the target of {recipe.size}: a crop of {recipe.crop} pixels")
    elif side < recipe.size:
        raise UnreadableImageError(f"smaller than the target of {recipe.size}: {width}x{height} pixels")
    crop = recipe.crop
    reduced = _REDUCING_GAP * recipe.size if crop == "none" else side
    if width * height > MAX_PIXELS:  # a JPEG
        half = (side if crop == "none" else crop) // 2
        if half < recipe.size:
            what = "the photograph" if crop == "none" else f"a crop of {crop}"
            raise UnreadableImageError(
                f"too large: {width:,}x{height:,} pixels; more than {MAX_PIXELS:,} are decoded at half their size, "
                f"where {what} has {half} pixels, fewer than the target of {recipe.size}"
            )
        crop, reduced = crop if crop == "none" else half, min(reduced, side // 2)
    if reduced < side:
        photograph.draft(None, (reduced, reduced))  # for JPEG only
    tags = photograph.tag_v2 if isinstance(photograph, TiffImagePlugin.TiffImageFile) else None
    with nullcontext() if tags is None else _quiet_libtiff():
        photograph.load()
    orientation = _orientation(photograph)
    square = _crop(photograph, crop, orientation)
    del photograph  # 200 MB of one with 50 megapixels
    square = _flatten(square, tags, recipe.background)
    if orientation != 1:
        square = square.transpose(_UPRIGHT[orientation])
    small = square.resize((recipe.size, recipe.size), Image.Resampling[recipe.filter.upper()])
    return np.asarray(small if small.mode == "RGB" else small.convert("RGB"))


def _open(data: bytes) -> ImageFile.ImageFile:
    """Reads the header, and refuses images that are too large or of an unknown mode, before a pixel is decoded.

    It calls Pillow's classes, because `Image.open` would warn of bombs, which are refused here. An MPO is a JPEG
    followed by further ones.
    """
    kind = image_format(data)
    if kind == "WEBP":
        _webp_canvas(data)  # before Pillow allocates the canvas
    photograph = _PLUGINS[kind](io.BytesIO(data))
    if isinstance(photograph, PngImagePlugin.PngImageFile):
        _match_transparent_colour(photograph, depth=data[24])
    elif isinstance(photograph, TiffImagePlugin.TiffImageFile):
        _check_tiff(photograph, data)
    _check_pixels(*photograph.size, most=MAX_JPEG_PIXELS if kind == "JPEG" else MAX_PIXELS)
    if photograph.mode not in _MODES:
        raise UnreadableImageError(
            f"unsupported: pixels of type {photograph.mode}; gray, RGB, CMYK and palettes of up to 16 bits are read"
        )
    return photograph


def _check_tiff(photograph: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Refuses tags beyond the end, which Pillow reads as wrong values, and tiles larger than any allowed image."""
    order: Literal["little", "big"] = "little" if data.startswith(b"I") else "big"
    large = data[2:4] in (b"+\0", b"\0+")
    start = int.from_bytes(data[8:16] if large else data[4:8], order)
    entries = int.from_bytes(data[start : start + (8 if large else 2)], order)
    if start + entries * (20 if large else 12) + (8 if large else 2) > len(data):
        raise EOFError("its tags lie beyond the end of the file")
    tile = (photograph.tag_v2.get(tag, 1) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
    _check_pixels(*tile)  # libtiff allocates a whole tile, whatever the size of the image


def _webp_canvas(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if len(data) < 30:
        raise EOFError("its header is cut off")
    if chunk == b"VP8X":
        width, height = 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    elif chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 ":
        width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (26, 28))
    else:
        raise SyntaxError(f"a WebP file cannot begin with {chunk!r}")
    if not (width and height):
        raise SyntaxError("no pixels")
    _check_pixels(width, height)
    return width, height


def _check_pixels(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if width * height > most:
        raise UnreadableImageError(
            f"too large: {width:,}x{height:,} pixels, at most {MAX_PIXELS:,} in all, or {MAX_JPEG_PIXELS:,} in a JPEG"
        )


@contextmanager
def _quiet_libtiff() -> Iterator[None]:
    """Suppresses libtiff's messages on stderr, which do not name the file."""
    with _STDERR:
        try:
            terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no stderr
            yield
            return
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            os.close(nowhere)


def _orientation(photograph: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or invalid, as in every viewer."""
    if _CARRIERS.isdisjoint(photograph.info) or isinstance(photograph, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow applies a TIFF's
    try:
        # not PNG's own method, which would decode the pixels to find metadata behind them
        orientation = Image.Image.getexif(photograph).get(ExifTags.Base.Orientation)
        return int(orientation) if orientation in _UPRIGHT else 1
    except Exception:  # damaged metadata
        return 1


def _upright_size(photograph: ImageFile.ImageFile) -> tuple[int, int]:
    width, height = photograph.size
    return (height, width) if _orientation(photograph) in _SWAPS_WIDTH_AND_HEIGHT else (width, height)


def _crop(photograph: ImageFile.ImageFile, crop: int | Literal["none"], orientation: int) -> Image.Image:
    """The centred square of the stored image: the same pixels as a crop of the upright one."""
    width, height = photograph.size
    side = min(width, height) if crop == "none" else crop
    if width == height == side:
        return photograph  # a copy could be large
    # A centre between two pixels is rounded left and up in the upright image.
    left = (width - side + (orientation in _SWAPS_LEFT_AND_RIGHT)) // 2
    top = (height - side + (orientation in _SWAPS_TOP_AND_BOTTOM)) // 2
    # not resize(box=...): its filter would read pixels outside the crop
    return photograph.crop((left, top, left + side, top + side))


def _flatten(square: Image.Image, tags: TiffImagePlugin.ImageFileDirectory_v2 | None, background: str) -> Image.Image:
    """Gray or RGB with eight bits, transparent pixels replaced by the background."""
    if square.mode == "RGB" and "transparency" not in square.info:
        return square
    if square.mode.startswith("I;16"):
        square = _eight_bits(square, tags)
    elif square.mode == "La":  # premultiplied; Pillow converts it to nothing else
        square = square.convert("LA")
    if not square.has_transparency_data:
        return square if square.mode == "L" else square.convert("RGB")
    layer = square if square.mode == "RGBA" else square.convert("RGBA")
    flat = Image.new("RGB", square.size, ImageColor.getrgb(background))
    flat.paste(layer, mask=layer)
    return flat


def _eight_bits(square: Image.Image, tags: TiffImagePlugin.ImageFileDirectory_v2 | None) -> Image.Image:
    """The high bits of gray with 16 or (in TIFF) 12 bits, as Pillow reads colours; its own conversion clips."""
    import numpy as np

    values, bits, white_is_zero = np.asarray(square), 16, False
    if tags is not None:
        bits = tags[TiffImagePlugin.BITSPERSAMPLE][0]
        # Pillow ignores it at 16 bits; 0 is the default
        white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0
    high = (values >> (bits - 8)).astype(np.uint8)
    grey = Image.fromarray(255 - high if white_is_zero else high)
    if "transparency" not in square.info:
        return grey
    opaque = Image.fromarray(np.where(values == square.info["transparency"], 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, opaque))


def _match_transparent_colour(photograph: PngImagePlugin.PngImageFile, depth: int) -> None:
    """Scales a PNG's transparent colour to 8 bits, since Pillow scales only the samples it is compared with.

    Of 16 bits it is the high byte, as for the samples.
    """
    colour, top = photograph.info.get("transparency"), (1 << depth) - 1
    if photograph.mode in ("1", "L") and colour is not None:
        photograph.info["transparency"] = (colour & top) * 255 // top
    elif photograph.mode == "RGB" and colour is not None:
        photograph.info["transparency"] = tuple(value >> 8 if depth == 16 else value & 255 for value in colour)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: {error}"
    if isinstance(error, MemoryError):
        return "too large: there is not enough memory to decode it"
    if isinstance(error.__cause__, KeyError) and str(error) == str(error.__cause__):
        return f"unsupported: the value {error.__cause__} in its header is not known"
    text = " ".join(str(error).split())[:200] or type(error).__name__
    kind = "unsupported" if re.search("unsupported|unknown pixel mode|cannot handle", text, re.I) else "damaged"
    return f"{kind}: {text}"
