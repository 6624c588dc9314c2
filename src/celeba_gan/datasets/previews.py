"""Pictures as kedro-viz shows them."""

import base64
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, NewType

from kedro.io import DatasetError
from PIL import Image, UnidentifiedImageError

# kedro-viz recognises previews by the names of these annotations.
ImagePreview = NewType("ImagePreview", str)
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)
MAX_WIDTH = 1000  # pixels


def once_saved(preview: Callable[..., Any]) -> Callable[..., Any]:
    """A `preview` that is None while there is no file: kedro-viz would log a warning for each that is not made yet."""

    @wraps(preview)  # with the annotations, which kedro-viz reads
    def show(*arguments: Any, **settings: Any) -> Any:
        try:
            return preview(*arguments, **settings)
        except (FileNotFoundError, DatasetError) as error:
            if isinstance(error, FileNotFoundError) or isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    return show


def image_preview(path: Path) -> ImagePreview:
    """The picture in this file, base64-coded; reduced to a width that a browser shows without effort."""
    if path.suffix in (".gif", ".webp"):  # films
        return ImagePreview(base64.b64encode(path.read_bytes()).decode())
    return picture_preview(open_png(path))


def open_png(path: Path) -> Image.Image:
    """Reads a PNG file, and no other format: for some of them Pillow would start a program.

    Raises:
        OSError: There is no such file.
        ValueError: It is something else, or damaged; the message says how, and not where.
    """
    data = path.read_bytes()
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            image.load()
            return image
    except UnidentifiedImageError as error:
        raise ValueError("it is not a PNG file") from error
    except Exception as error:  # Pillow passes on whatever damage leads to
        raise ValueError(str(error) or type(error).__name__) from error


def picture_preview(image: Image.Image) -> ImagePreview:
    """As `image_preview`, of a picture in memory."""
    picture = image.convert("RGB")
    if picture.width > MAX_WIDTH:
        picture = picture.resize((MAX_WIDTH, round(picture.height * MAX_WIDTH / picture.width)))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return ImagePreview(base64.b64encode(buffer.getvalue()).decode())
