"""What the datasets have in common: a path, metadata, and a description of both."""

from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")
Metadata = dict[str, Any]  # a catalog entry's settings for kedro-viz and tracking


class FileDataset(AbstractDataset[Saved, Loaded]):
    """A file or a folder; a subclass loads and saves it."""

    def __init__(self, filepath: str, metadata: Metadata | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> Metadata:
        return {"filepath": str(self._filepath)}


class ReadOnlyDataset(FileDataset[Any, Loaded]):
    """A file or a folder that no node writes."""

    reason: ClassVar[str]  # why it cannot be saved

    def save(self, data: Any) -> NoReturn:
        """Raises a DatasetError."""
        raise DatasetError(f"{self._filepath}: {self.reason}")


class FolderDataset(ReadOnlyDataset[Any]):
    """A folder that nodes read, or fill by themselves; `holds` is the full name of its class, which takes the path."""

    reason = "nodes fill this folder by themselves"

    def __init__(self, filepath: str, holds: str, metadata: Metadata | None = None) -> None:
        super().__init__(filepath, metadata)
        self._holds = holds

    def load(self) -> Any:
        """The folder as its class; nothing is read yet."""
        return load_obj(self._holds)(self._filepath)
