"""Single photographs from files, made as the packed images are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_gan.foundation.paths import normalised, start_of
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.decoding import IMAGE_SUFFIXES, DecodingRecipe, UnreadableImageError, decode_image
from celeba_gan.images.packed import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PhotographError(ValueError):
    """A photograph that cannot be read; the message names the file, the reason and what to do."""


def find_photographs(paths: Sequence[str | Path], setting: str) -> list[Path]:
    """The files at paths: a path is a file, or a folder whose image files are taken in order of their names.

    Raises:
        PhotographError: There is nothing at a path, or no image in a folder; the message names the `setting`.
    """
    found: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
            if not files:
                raise PhotographError(
                    f"{setting}: there is no photograph in {normalised(path)}; "
                    f"files with these suffixes are read: {', '.join(sorted(IMAGE_SUFFIXES))}"
                )
            found += files
        elif path.is_file():
            found.append(path)
        else:
            raise PhotographError(f"{setting}: there is no file or folder {normalised(path)}.{start_of(path)}")
    return list(dict.fromkeys(found))


def read_photographs(files: Sequence[Path], recipe: Recipe | PreprocessSettings) -> NDArray[np.uint8]:
    """Decodes photographs by the recipe of packed images, or the settings that make them: uint8 (n, size, size, 3).

    Raises:
        PhotographError: A file cannot be read, or is too small for the crop.
    """
    import numpy as np

    plain = DecodingRecipe(recipe.crop, recipe.size, recipe.filter, recipe.background)
    images = np.empty((len(files), recipe.size, recipe.size, 3), np.uint8)
    for row, file in enumerate(files):
        try:
            images[row] = decode_image(file.read_bytes(), plain)
        except OSError as error:
            raise PhotographError(f"{normalised(file)} cannot be read: {error.strerror or error}") from error
        except UnreadableImageError as error:
            crop = "their largest square" if recipe.crop == "none" else f"{recipe.crop} pixels of their centre"
            raise PhotographError(
                f"{normalised(file)} cannot be used: {error}. Photographs are cropped to {crop} and resized to "
                f"{recipe.size} pixels, as the training images were; convert or enlarge this one, or leave it out"
            ) from error
    return images
