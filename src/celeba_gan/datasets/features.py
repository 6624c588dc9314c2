"""Features of images, kept from one evaluation to the next."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.evaluation.features.store import FeatureStore


class FeatureStoreDataset(AbstractDataset[Any, FeatureStore]):
    """The folder of a `FeatureStore`: evaluation looks there for what it needs, and leaves there what it lacked."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> FeatureStore:
        """The store; nothing is read yet."""
        return FeatureStore(self._filepath)

    def save(self, data: Any) -> None:
        """Refuses: a store is filled by who uses it.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Features are kept by the evaluation that needs them")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
