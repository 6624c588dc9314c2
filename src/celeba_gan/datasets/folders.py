"""Folders that generate and export write: samples, and a generator to publish."""

import base64
import re
import shutil
from pathlib import Path
from typing import Any, Final, Protocol

from kedro.io import DatasetError

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.datasets.previews import HTMLPreview, once_saved
from celeba_gan.exporting.card_file import CARD_FILE, SAMPLES_FILE, without_front_matter
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


# U+2028 ends a line for JavaScript's regular expressions. In an attribute it is not part of the text; at an end of the
# attribute's value, kedro-viz would remove it.
_APART: Final = '<i class="-\u2028-"></i>'
_TABLE: Final = re.compile(r"^(\|.+\|\n)\|[-:| ]+\|\n((?:\|.+\|\n)+)", re.MULTILINE)


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

    @once_saved
    def preview(self) -> HTMLPreview:
        """Its model card with the samples inside: kedro-viz reads such a preview as Markdown too."""
        folder = self.load()
        card = without_front_matter((folder / CARD_FILE).read_text(encoding="utf-8"))
        picture = base64.b64encode((folder / SAMPLES_FILE).read_bytes()).decode()
        image = f'<img alt="Samples" src="data:image/png;base64,{picture}">'  # it knows no pictures in Markdown
        return HTMLPreview(_for_viz(card).replace(f"![Samples]({SAMPLES_FILE})", image))

    def _exists(self) -> bool:
        restore_folder(self._filepath)
        return self._filepath.is_dir()


def _for_viz(markdown: str) -> str:
    """The same text for kedro-viz, whose Markdown is a handful of regular expressions over the whole of it.

    It shows every line end, so a paragraph becomes one line. It takes what is between two underscores of a line for
    emphasis, also in code, and so two asterisks, and an empty line for a new paragraph: an element that cannot be seen
    or copied keeps them apart. Entities would not: it decodes them first. Tables, whose rows may not hold that element,
    become HTML.
    """
    parts = markdown.split("```")
    parts[::2] = [re.sub(r"(?<!\n)\n *(?=[^\s|#<*!-])", " ", _TABLE.sub(_as_html, part)) for part in parts[::2]]
    parts[1::2] = [part.replace("*", f"*{_APART}").replace("\n\n", f"\n{_APART}\n") for part in parts[1::2]]
    return "```".join(parts).replace("_", f"_{_APART}")


def _as_html(table: re.Match[str]) -> str:
    """A table of Markdown on one line, since a line end would become a new line in it."""
    body = "".join(_row(line, "td") for line in table[2].splitlines())
    head = f"<thead>{_row(table[1], 'th')}</thead>" if re.search(r"[^|\s]", table[1]) else ""
    return f"<table>{head}<tbody>{body}</tbody></table>\n"


def _row(line: str, tag: str) -> str:
    cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"
