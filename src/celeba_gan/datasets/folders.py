"""Folders that generate and export write: samples, and a generator to publish."""

import base64
import re
import shutil
from pathlib import Path
from typing import Any, Protocol

from kedro.io import DatasetError

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.datasets.previews import HTMLPreview
from celeba_gan.foundation.files import restore_folder, staged_folder
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


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


class ExportedFolderDataset(FileDataset[_Folder, Path]):
    """A folder that is saved whole or not at all: an interrupted save leaves the former one."""

    def save(self, data: _Folder) -> None:
        """Copies the folder to its place."""
        with staged_folder(self._filepath) as staging:
            shutil.copytree(data.path, staging, dirs_exist_ok=True)

    def load(self) -> Path:
        """Where the folder is."""
        restore_folder(self._filepath)
        return self._filepath

    def preview(self) -> HTMLPreview:
        """Its model card with the samples inside: kedro-viz reads such a preview as Markdown too."""
        folder = self.load()
        card = (folder / "README.md").read_text(encoding="utf-8")
        card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)  # the front matter
        picture = base64.b64encode((folder / "samples.png").read_bytes()).decode()
        shown = _unwrap(card).replace(
            "_", "\u02cd"
        )  # a letter that looks like it: kedro-viz reads emphasis in code too
        image = f'<img alt="Samples" src="data:image/png;base64,{picture}">'  # it knows no pictures in Markdown
        return HTMLPreview(shown.replace("![Samples](samples.png)", image))

    def _exists(self) -> bool:
        restore_folder(self._filepath)
        return self._filepath.is_dir()


def _unwrap(markdown: str) -> str:
    """Paragraphs as one line each: kedro-viz shows every line end. Code, tables, lists and headings stay."""
    parts = markdown.split("```")
    parts[::2] = [re.sub(r"(?<!\n)\n *(?=[^\s|#<*!-])", " ", part) for part in parts[::2]]
    return "```".join(parts)
