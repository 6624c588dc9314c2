"""Pictures, sample grids, animations and folders of samples."""

import shutil
from pathlib import Path

import numpy as np
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.file_dataset import FileDataset, Loaded, Metadata, Saved
from celeba_gan.datasets.previews import ImagePreview, image_preview
from celeba_gan.foundation.files import staged
from celeba_gan.gan.sampling.batches import SampleBatch
from celeba_gan.reporting.grids import ImageGrid


class _PictureFile(FileDataset[Saved, Loaded]):
    def preview(self) -> ImagePreview:
        return image_preview(self._filepath)


class PictureDataset(_PictureFile[Image.Image, Image.Image]):
    """A picture as PNG."""

    def save(self, data: Image.Image) -> None:
        """Writes the picture."""
        with staged(self._filepath) as staging:
            data.save(staging, "PNG")

    def load(self) -> Image.Image:
        """Reads the picture."""
        with Image.open(self._filepath) as image:
            return image.convert("RGB")


class ImageGridDataset(_PictureFile[ImageGrid, ImageGrid]):
    """A sample grid as PNG, with the images seen in training in a text chunk.

    With `optional`, there may be nothing to show. An empty grid then removes the file of an earlier run, and the entry
    counts as existing without a file: whether its node has to run again is decided by the node's other outputs.
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
        with Image.open(self._filepath) as image:
            return ImageGrid(int(image.info["images"]), np.asarray(image.convert("RGB")))

    def _exists(self) -> bool:
        return self._optional or super()._exists()


class AnimationDataset(_PictureFile[list[Image.Image], list[Image.Image]]):
    """Frames as an endless GIF that pauses on its last frame; durations are in milliseconds."""

    def __init__(
        self, filepath: str, frame_ms: int = 250, last_frame_ms: int = 3000, metadata: Metadata | None = None
    ) -> None:
        super().__init__(filepath, metadata)
        self.frame_ms = frame_ms
        self.last_frame_ms = last_frame_ms

    def save(self, data: list[Image.Image]) -> None:
        """Writes the animation, with the palette of the last frame, so that colours do not flicker."""
        palette = data[-1].quantize(256)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in data]
        durations = [self.frame_ms] * (len(frames) - 1) + [self.last_frame_ms]
        with staged(self._filepath) as staging:
            frames[0].save(
                staging, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False
            )

    def load(self) -> list[Image.Image]:
        """Reads the frames."""
        from PIL import ImageSequence

        with Image.open(self._filepath) as image:
            return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


class SamplesDataset(FileDataset[SampleBatch, list[Path]]):
    """A folder of samples `000000.png`, ..., saved in batches; it exists once all are saved."""

    def save(self, data: SampleBatch) -> None:
        """Writes one batch. The first deletes an interrupted attempt; the last replaces the folder."""
        staging = self._filepath.with_name(f".{self._filepath.name}.partial")
        if data.first == 0:
            shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(data.images, start=data.first):
            Image.fromarray(image).save(staging / f"{index:06d}.png")
        if data.first + len(data.images) == data.total:
            shutil.rmtree(self._filepath, ignore_errors=True)
            staging.replace(self._filepath)

    def load(self) -> list[Path]:
        """The files in order."""
        return sorted(self._filepath.glob("*.png"))
