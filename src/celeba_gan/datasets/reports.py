"""Reports as JSON, and the pictures that go with them."""

import json
import re
from pathlib import Path
from typing import Any, Final, NewType

from kedro.io import AbstractDataset
from kedro.utils import load_obj

from celeba_gan.foundation.documents import Document
from celeba_gan.foundation.files import staged

# kedro-viz recognises the previews by the names of these annotations.
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)


class JSONReportDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Numbers and words without a type, complete or not there."""

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


class DocumentDataset(AbstractDataset[Document, Document]):
    """A typed document as JSON, complete or not there."""

    def __init__(self, filepath: str, document: str, metadata: dict[str, Any] | None = None) -> None:
        """Names the file.

        Args:
            filepath: The file.
            document: The class, a `Document`, by its full name.
            metadata: Left to hooks and kedro-viz.
        """
        self._filepath = Path(filepath)
        self._document = document
        self.metadata = metadata

    def save(self, data: Document) -> None:
        """Writes the file."""
        text = json.dumps(data.to_json(), indent=2, allow_nan=False)
        with staged(self._filepath) as staging:
            staging.write_text(text + "\n", encoding="utf-8")

    def load(self) -> Document:
        """Reads the file.

        Raises:
            DocumentError: It is damaged, or of a later version.
        """
        kind: type[Document] = load_obj(self._document)
        return kind.read(self._filepath)

    def preview(self) -> JSONPreview:
        """The file's content."""
        return JSONPreview(self._filepath.read_text(encoding="utf-8"))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "document": self._document}


class HTMLPageDataset(AbstractDataset[str, str]):
    """A page that stands alone, complete or not there."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: str) -> None:
        """Writes the page as UTF-8, its line ends as they are; what is no text, of a file's name, is spelt out."""
        with staged(self._filepath) as staging:
            staging.write_bytes(data.encode("utf-8", "backslashreplace"))

    def load(self) -> str:
        """Reads the page."""
        return self._filepath.read_bytes().decode("utf-8")

    def preview(self) -> HTMLPreview:
        """The page's style and body for kedro-viz, which runs no scripts and reads the rest as Markdown too."""
        page = self.load()
        styles = "".join(re.findall(r"<style.*?</style>", page, re.DOTALL))
        body = re.search(r"<body[^>]*>(.*)</body>", page, re.DOTALL)
        content = re.sub(r"<script.*?</script>", "", body[1] if body else page, flags=re.DOTALL)
        # A style at the very beginning would be lost. No line ends, which would become <br>.
        whole = f"<div>{styles}{content}</div>" if body else content
        return HTMLPreview(" ".join(whole.split()).translate(_NOT_MARKDOWN))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


# Signs that stand for emphasis and code in Markdown, and signs that look like them.
_NOT_MARKDOWN: Final = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})
