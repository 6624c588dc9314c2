"""Cached features of images."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.evaluation.features.store import FeatureStore


class FeatureStoreDataset(AbstractDataset[Any, FeatureStore]):
    """The folder of a `FeatureStore`, which evaluation reads and fills."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> FeatureStore:
        """The store; nothing is read yet."""
        return FeatureStore(self._filepath)

    def save(self, data: Any) -> None:
        """Refuses: evaluation itself fills the store.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("The feature store is filled by the evaluation itself")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
