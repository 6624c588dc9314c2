"""Pictures as kedro-viz shows them."""

import base64
from io import BytesIO
from pathlib import Path
from typing import NewType

from PIL import Image

# kedro-viz recognises previews by the names of these annotations.
ImagePreview = NewType("ImagePreview", str)
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)
MAX_WIDTH = 1000  # pixels


def image_preview(path: Path) -> ImagePreview:
    """The picture in this file, base64-coded; reduced to a width that a browser shows without effort."""
    if path.suffix in (".gif", ".webp"):  # films
        return ImagePreview(base64.b64encode(path.read_bytes()).decode())
    with Image.open(path) as image:
        return picture_preview(image)


def picture_preview(image: Image.Image) -> ImagePreview:
    """As `image_preview`, of a picture in memory."""
    picture = image.convert("RGB")
    if picture.width > MAX_WIDTH:
        picture = picture.resize((MAX_WIDTH, round(picture.height * MAX_WIDTH / picture.width)))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return ImagePreview(base64.b64encode(buffer.getvalue()).decode())
