"""Reports as JSON, and the pictures that go with them."""

import json
from pathlib import Path
from typing import Any, NewType

from kedro.io import AbstractDataset

from celeba_gan.datasets.files import staged

# kedro-viz recognises the preview by the name of this annotation.
JSONPreview = NewType("JSONPreview", str)


class JSONReportDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Numbers and words, complete or not there; an evaluation is one, and so is a report about the data."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Writes the file.

        Raises:
            ValueError: A number is NaN or infinite, which JSON does not have.
        """
        text = json.dumps(data, indent=2, allow_nan=False)
        with staged(self._filepath) as staging:
            staging.write_text(text + "\n", encoding="utf-8")

    def load(self) -> dict[str, Any]:
        """Reads the file."""
        data: dict[str, Any] = json.loads(self._filepath.read_text(encoding="utf-8"))
        return data

    def preview(self) -> JSONPreview:
        """The file's content."""
        return JSONPreview(json.dumps(self.load()))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
