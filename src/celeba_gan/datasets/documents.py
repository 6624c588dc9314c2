"""Typed documents as JSON files."""

import json
from typing import Any, NewType

from kedro.utils import load_obj

from celeba_gan.datasets.file_dataset import FileDataset
from celeba_gan.foundation.documents import Document
from celeba_gan.foundation.files import staged

JSONPreview = NewType("JSONPreview", str)
"""kedro-viz recognises the preview by the name of this annotation."""


class DocumentDataset(FileDataset[Document, Document]):
    """A document as a JSON file, written complete or not at all.

    Args:
        filepath: The file.
        document: The document's class by its full name, such as `celeba_gan.sources.source_report.SourceReport`.
        metadata: For Kedro's plugins.
    """

    def __init__(self, filepath: str, document: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, metadata)
        self._document: type[Document] = load_obj(document)

    def save(self, data: Document) -> None:
        """Writes the file."""
        text = json.dumps(data.to_json(), indent=2, allow_nan=False)
        with staged(self._filepath) as staging:
            staging.write_text(text + "\n", encoding="utf-8")

    def load(self) -> Document:
        """Reads the file.

        Raises:
            DatasetError: It was written by a later version, or is damaged.
        """
        return self._document.read(self._filepath)

    def preview(self) -> JSONPreview:
        """The file's content."""
        return JSONPreview(json.dumps(self.load().to_json()))
