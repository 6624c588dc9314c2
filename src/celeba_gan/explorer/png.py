"""A face's picture with its recipe inside: a text chunk of the PNG."""

import io
from typing import Final

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from celeba_gan.explorer.recipe import ExplorerError, Recipe
from celeba_gan.foundation.pixels import Images

KEY: Final = "celeba_gan"
"""Keyword of the text chunk."""
MOST_FILE_BYTES: Final = 16_000_000
_COMPRESSION: Final = 3  # a third of the time of the default, a tenth larger


def write_png(image: Images, recipe: Recipe | None = None) -> bytes:
    """Encodes an image, uint8 (height, width, 3), with its recipe."""
    text = PngImagePlugin.PngInfo()
    if recipe is not None:
        text.add_text(KEY, recipe.dump())
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=text, compress_level=_COMPRESSION)
    return file.getvalue()


def read_recipe(data: bytes, name: str = "This file") -> Recipe:
    """Reads the recipe in a PNG; no pixel is decoded.

    Args:
        data: The file.
        name: For messages.

    Raises:
        ExplorerError: It is no PNG, too large, without a recipe, or its recipe is damaged.
    """
    if len(data) > MOST_FILE_BYTES:
        raise ExplorerError(f"{name} has {len(data):,} bytes; a face saved from this page has fewer than a million")
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ExplorerError(f"{name} is no PNG. Give a face that was saved from this page")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            text = picture.info.get(KEY)
    except UnidentifiedImageError as error:
        raise ExplorerError(f"{name} is a damaged PNG (its header cannot be read)") from error
    except Exception as error:  # whatever Pillow raises for hostile bytes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ExplorerError(f"{name} is a damaged PNG ({reason})") from error
    if not isinstance(text, str):
        raise ExplorerError(
            f"{name} is a PNG without the recipe of a face: it was not saved from this page, or a program that "
            "rewrote it has dropped the text in it"
        )
    return Recipe.parse(text, name)
