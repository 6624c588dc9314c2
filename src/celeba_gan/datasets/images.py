"""Pictures, sample grids and animations."""

import numpy as np
from PIL import Image

from celeba_gan.datasets.file_dataset import FileDataset, Loaded, Metadata, Saved
from celeba_gan.datasets.previews import ImagePreview, image_preview
from celeba_gan.foundation.files import staged
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
    """A sample grid as PNG, with the images seen in training in a text chunk."""

    def save(self, data: ImageGrid) -> None:
        """Writes the picture."""
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("images", str(data.images))
        with staged(self._filepath) as staging:
            Image.fromarray(data.pixels).save(staging, "PNG", pnginfo=info)

    def load(self) -> ImageGrid:
        """Reads the picture."""
        with Image.open(self._filepath) as image:
            return ImageGrid(int(image.info["images"]), np.asarray(image.convert("RGB")))


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
