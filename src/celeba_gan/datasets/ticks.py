"""Results of every tick of training: a file per tick, named by its image count in twelve digits."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import numpy as np
from kedro.io import DatasetError
from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError

from celeba_gan.datasets.file_dataset import FileDataset, Loaded, Saved
from celeba_gan.datasets.previews import ImagePreview, image_preview, once_saved, open_png
from celeba_gan.foundation.files import staged
from celeba_gan.foundation.paths import shown
from celeba_gan.foundation.settings import LARGEST
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.reporting.grids import ImageGrid

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_RENAMED = {"swd_valid": "swd_absolute_valid", "swd_valid_floor": "swd_absolute_valid_floor"}  # in version 0.1.0


class _Ticks(FileDataset[Saved, Loaded]):
    """The folder. Training saves its snapshot last, so after a crash there may be ticks later than the snapshot."""

    suffix: ClassVar[str]

    def files(self) -> list[Path]:
        return sorted(self._filepath.glob(f"[0-9]*{self.suffix}"))

    def counts(self) -> list[int]:
        """The image counts of all ticks, ascending."""
        for file in (files := self.files()):
            if not file.stem.isdecimal():
                raise DatasetError(f"{file} is damaged: its name is no count of images. Remove it to go on without it")
        return [int(file.stem) for file in files]

    def file(self, images: int) -> Path:
        return self._filepath / f"{images:012d}{self.suffix}"

    def drop_others(self, images: int, since: int | None) -> None:
        """Removes ticks after the one before this: they were never committed, or belong to an abandoned branch."""
        for file in self.files():
            if int(file.stem) > (images if since is None else since) and int(file.stem) != images:
                file.unlink()

    def _exists(self) -> bool:
        return bool(self.files())


class MetricRowsDataset(_Ticks[MetricRows, "pd.DataFrame"]):
    """Metric rows: saved a tick at a time, loaded as one table in order of `images`."""

    suffix = ".json"

    def save(self, data: MetricRows) -> None:
        """Writes the rows of one tick, replacing its old ones.

        A finished training that is run again has no new rows, and keeps the old ones.
        """
        before = data.since if data.rows else data.images
        if before and not self.file(before).exists():
            logger.warning(
                "The metric rows of the first %s images are no longer in %s: the training curves begin after them",
                f"{before:,}",
                shown(self._filepath),
            )
        self.drop_others(data.images, data.since)
        path = self.file(data.images)
        if not data.rows and path.exists():
            return
        with staged(path) as staging:
            staging.write_text(json.dumps(data.rows, indent=1) + "\n", encoding="utf-8")

    def read(self, images: int) -> MetricRows:
        """The rows of one tick."""
        return MetricRows(images, _rows(self.file(images)))

    def load(self) -> "pd.DataFrame":
        """All rows of all ticks."""
        import pandas as pd

        rows = (row for file in self.files() for row in _rows(file))
        return pd.DataFrame([{_RENAMED.get(name, name): value for name, value in row.items()} for row in rows])


_Number = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST)] | Annotated[float, Field(strict=True)]
_ROWS: Final = TypeAdapter(list[dict[str, _Number]])


def _rows(file: Path) -> list[dict[str, int | float]]:
    try:
        found = _ROWS.validate_json(file.read_bytes())
        if any("images" not in row for row in found):
            raise ValueError("a row has no images")
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DatasetError(f"{file} is damaged: {reason}. Remove it to go on without these rows") from error
    return found


class TrainingGridsDataset(_Ticks[ImageGrid, list[ImageGrid]]):
    """Sample grids: saved a tick at a time, loaded as a list in order of time."""

    suffix = ".png"

    def save(self, data: ImageGrid) -> None:
        """Writes the grid of one tick, replacing its old one."""
        self.drop_others(data.images, data.since)
        with staged(self.file(data.images)) as staging:
            Image.fromarray(data.pixels).save(staging, "PNG")

    def read(self, images: int) -> ImageGrid:
        """The grid of one tick."""
        file = self.file(images)
        try:
            return ImageGrid(images, np.asarray(open_png(file).convert("RGB")))
        except ValueError as error:
            raise DatasetError(f"{file} is damaged: {error}. Remove it to go on without this grid") from error

    def load(self) -> list[ImageGrid]:
        """All grids."""
        return [self.read(images) for images in self.counts()]

    @once_saved
    def preview(self) -> ImagePreview:
        """The latest grid."""
        files = self.files()
        if not files:
            raise FileNotFoundError(f"No grids in {self._filepath}")
        return image_preview(files[-1])
