"""What the datasets have in common: a path, metadata, and a description of both."""

from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from kedro.io import AbstractDataset, DatasetError

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")
Metadata = dict[str, Any]
"""What a catalog entry says to kedro-viz and to tracking."""


class FileDataset(AbstractDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A file or a folder; a subclass loads and saves it.

    Args:
        filepath: Where it is.
        metadata: For Kedro's plugins.
    """

    def __init__(self, filepath: str, metadata: Metadata | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> Metadata:
        return {"filepath": str(self._filepath)}


class ReadOnlyDataset(FileDataset[Any, Loaded], Generic[Loaded]):
    """A file or a folder that no node writes."""

    reason: ClassVar[str]
    """Why it cannot be saved."""

    def save(self, data: Any) -> NoReturn:
        """Raises.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._filepath}: {self.reason}")
