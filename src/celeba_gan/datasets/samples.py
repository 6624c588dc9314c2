"""Folders of samples."""

from typing import Any

from kedro.io import DatasetError

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.samples.recipe import SampleBatch
from celeba_gan.samples.stored import RECIPE, TABLE, StoredSamples
from celeba_gan.samples.writer import SampleWriter


class SamplesDataset(FileDataset[SampleBatch, Any]):
    """A folder of samples with their table, saved in batches; it exists once all are saved.

    `part` is what to load: their `table`, a DataFrame, or the `stored` samples, from which sampling continues.
    """

    def __init__(self, filepath: str, part: str = "table", metadata: Metadata | None = None) -> None:
        super().__init__(filepath, metadata)
        self._stored = StoredSamples(self._filepath)
        self._part = part
        self._writer: SampleWriter | None = None

    def save(self, data: SampleBatch) -> None:
        """Writes one batch, while the next is made. The last replaces the folder.

        Raises:
            DatasetError: The disk is full, or cannot be written.
        """
        if not len(data.images):
            return
        if self._writer is None:
            self._writer = SampleWriter(self._filepath, data.recipe, data.total)
        try:
            self._writer.add(data)
        except OSError as error:
            done = self._writer.done
            self._close()
            raise DatasetError(
                f"Samples cannot be written to {self._filepath}: {error.strerror or error}. The first {done:,} are "
                "kept: once there is room, the same command continues after them"
            ) from error
        if data.stop == data.total:
            self._close()

    def load(self) -> Any:
        """The table: number, file, seed, truncation and labels of each sample. Or the stored samples."""
        import pandas as pd

        return self._stored if self._part == "stored" else pd.read_parquet(self._filepath / TABLE)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _exists(self) -> bool:
        return (self._filepath / RECIPE).is_file()
