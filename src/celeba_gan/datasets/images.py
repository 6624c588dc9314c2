"""Pictures and sample grids."""

from typing import Final

import numpy as np
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.file_dataset import FileDataset, Loaded, Metadata, Saved
from celeba_gan.datasets.previews import ImagePreview, image_preview, once_saved, open_png
from celeba_gan.foundation.files import staged
from celeba_gan.foundation.paths import shown
from celeba_gan.reporting.grids import ImageGrid

_REMOVE: Final = "Remove it, and run the stage that makes it with the same --env and --params"


class _PictureFile(FileDataset[Saved, Loaded]):
    def _open(self) -> Image.Image:
        try:
            return open_png(self._filepath)
        except ValueError as error:
            raise DatasetError(f"{shown(self._filepath)} is damaged: {error}. {_REMOVE}") from error

    @once_saved
    def preview(self) -> ImagePreview:
        return image_preview(self._filepath)


class PictureDataset(_PictureFile[Image.Image, Image.Image]):
    """A picture as PNG."""

    def save(self, data: Image.Image) -> None:
        """Writes the picture."""
        with staged(self._filepath) as staging:
            data.save(staging, "PNG")

    def load(self) -> Image.Image:
        """Reads the picture.

        Raises:
            DatasetError: It is damaged.
        """
        return self._open().convert("RGB")


class ImageGridDataset(_PictureFile[ImageGrid, ImageGrid]):
    """A sample grid as PNG, with the images seen in training in a text chunk.

    With `optional`, there may be nothing to show. An empty grid then removes the file of an earlier run, a missing file
    loads as an empty grid, and the entry counts as existing without a file: whether its node has to run again is
    decided by the node's other outputs.
    """

    def __init__(self, filepath: str, optional: bool = False, metadata: Metadata | None = None) -> None:
        super().__init__(filepath, metadata)
        self._optional = optional

    def save(self, data: ImageGrid) -> None:
        """Writes the picture.

        Raises:
            DatasetError: It is empty, and not `optional`.
        """
        from PIL.PngImagePlugin import PngInfo

        if data.is_empty:
            if not self._optional:
                raise DatasetError(f"{self._filepath}: a grid without pixels is saved only where it is optional")
            self._filepath.unlink(missing_ok=True)
            return
        info = PngInfo()
        info.add_text("images", str(data.images))
        with staged(self._filepath) as staging:
            Image.fromarray(data.pixels).save(staging, "PNG", pnginfo=info)

    def load(self) -> ImageGrid:
        """Reads the picture."""
        if self._optional and not self._filepath.exists():
            return ImageGrid.nothing(0)
        image = self._open()
        images = str(image.info.get("images"))
        if not (images.isascii() and images.isdecimal()):
            raise DatasetError(f"{shown(self._filepath)} does not say how many images training had seen. {_REMOVE}")
        return ImageGrid(int(images[:20]), np.asarray(image.convert("RGB")))

    def _exists(self) -> bool:
        return self._optional or super()._exists()
