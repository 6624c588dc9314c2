"""Reports: typed documents, pages, tables and charts. Each file is written complete or not at all."""

import copy
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from kedro.utils import load_obj
from kedro_datasets import pandas, plotly

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.datasets.previews import HTMLPreview, JSONPreview, once_saved
from celeba_gan.foundation.documents import Document
from celeba_gan.foundation.files import staged


class DocumentDataset(FileDataset[Document, Document | None]):
    """A typed document as JSON; `document` is the full name of its class, a `Document`.

    With `missing_ok`, a missing file loads as None instead of raising.
    """

    def __init__(
        self, filepath: str, document: str, missing_ok: bool = False, metadata: Metadata | None = None
    ) -> None:
        super().__init__(filepath, metadata)
        self._document = document
        self._missing_ok = missing_ok

    def save(self, data: Document) -> None:
        """Writes the file."""
        text = json.dumps(data.to_json(), indent=2, allow_nan=False)
        with staged(self._filepath) as staging:
            staging.write_text(text + "\n", encoding="utf-8")

    def load(self) -> Document | None:
        """Reads the file.

        Raises:
            DocumentError: It is damaged, or of a later version; or it is missing, and `missing_ok` is not set.
        """
        if self._missing_ok and not self._filepath.exists():
            return None
        kind: type[Document] = load_obj(self._document)
        return kind.read(self._filepath)

    @once_saved
    def preview(self) -> JSONPreview:
        """The file's content."""
        return JSONPreview(self._filepath.read_text(encoding="utf-8"))


class HTMLPageDataset(FileDataset[str, str]):
    """A page that needs no other file."""

    def save(self, data: str) -> None:
        """Writes the page as UTF-8 with its own line ends; bytes of file names that are not text are escaped."""
        with staged(self._filepath) as staging:
            staging.write_bytes(data.encode("utf-8", "backslashreplace"))

    def load(self) -> str:
        """Reads the page."""
        return self._filepath.read_bytes().decode("utf-8")

    @once_saved
    def preview(self) -> HTMLPreview:
        """The page's style and body for kedro-viz, which runs no scripts and reads the rest as Markdown too."""
        page = self.load()
        styles = "".join(re.findall(r"<style.*?</style>", page, re.DOTALL))
        body = re.search(r"<body[^>]*>(.*)</body>", page, re.DOTALL)
        content = re.sub(r"<script.*?</script>", "", body[1] if body else page, flags=re.DOTALL)
        # A style at the very beginning would be lost. No line ends, which would become <br>.
        whole = f"<div>{styles}{content}</div>" if body else content
        return HTMLPreview(" ".join(whole.split()).translate(_NOT_MARKDOWN))


# Replacements that look like the signs of emphasis and code in Markdown.
_NOT_MARKDOWN: Final = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})


class _Staged:
    """A dataset of kedro-datasets, which would write into the file itself: a kill would leave half of it."""

    _protocol: str
    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Writes the file."""
        parent: Any = super()
        save = parent.save.__wrapped__  # without Kedro's log and errors, which this method has itself
        if self._protocol != "file":  # object stores write complete or not at all
            save(self, data)
            return
        with staged(Path(self._filepath)) as staging:
            beside = copy.copy(self)
            beside._filepath = PurePosixPath(staging)
            save(beside, data)


class ParquetDataset(_Staged, pandas.ParquetDataset):  # type: ignore[misc]  # it has no types
    """A DataFrame as Parquet."""

    preview = once_saved(pandas.ParquetDataset.preview)


class CSVDataset(_Staged, pandas.CSVDataset):  # type: ignore[misc]  # it has no types
    """A DataFrame as CSV."""

    preview = once_saved(pandas.CSVDataset.preview)


class ChartDataset(_Staged, plotly.JSONDataset):  # type: ignore[misc]  # it has no types
    """A Plotly figure as JSON."""

    preview = once_saved(plotly.JSONDataset.preview)
