"""Reports: JSON, typed documents and pages."""

import json
import re
from pathlib import Path
from typing import Any, Final, NewType, TypeVar

from kedro.io import AbstractDataset
from kedro.utils import load_obj

from celeba_gan.foundation.documents import Document
from celeba_gan.foundation.files import staged

# kedro-viz recognises the previews by the names of these annotations.
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)
Content = TypeVar("Content")


class _TextFile(AbstractDataset[Content, Content]):
    """A text file, complete or missing."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _write(self, content: bytes) -> None:
        with staged(self._filepath) as staging:
            staging.write_bytes(content)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class JSONReportDataset(_TextFile[dict[str, Any]]):
    """Numbers and words without a type."""

    def save(self, data: dict[str, Any]) -> None:
        """Writes the file.

        Raises:
            ValueError: A number is NaN or infinite, which JSON does not have.
        """
        self._write(_to_text(data))

    def load(self) -> dict[str, Any]:
        """Reads the file."""
        return json.loads(self._filepath.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def preview(self) -> JSONPreview:
        """The file's content."""
        return JSONPreview(json.dumps(self.load()))


class DocumentDataset(_TextFile[Document]):
    """A typed document as JSON."""

    def __init__(self, filepath: str, document: str, metadata: dict[str, Any] | None = None) -> None:
        """Names the file.

        Args:
            filepath: The file.
            document: The full name of its class, a `Document`.
            metadata: Left to hooks and kedro-viz.
        """
        super().__init__(filepath, metadata)
        self._document = document

    def save(self, data: Document) -> None:
        """Writes the file."""
        self._write(_to_text(data.to_json()))

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


class HTMLPageDataset(_TextFile[str]):
    """A page that needs no other file."""

    def save(self, data: str) -> None:
        """Writes the page as UTF-8 with its own line ends; bytes of file names that are no text are escaped."""
        self._write(data.encode("utf-8", "backslashreplace"))

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


def _to_text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


# Replacements that look like the signs of emphasis and code in Markdown.
_NOT_MARKDOWN: Final = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})
