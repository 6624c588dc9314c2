"""Cached features of images."""

from celeba_gan.datasets.file_dataset import ReadOnlyDataset
from celeba_gan.evaluation.features.store import FeatureStore


class FeatureStoreDataset(ReadOnlyDataset[FeatureStore]):
    """The folder of a `FeatureStore`, which evaluation reads and fills."""

    reason = "the evaluation itself fills the feature store"

    def load(self) -> FeatureStore:
        """The store; nothing is read yet."""
        return FeatureStore(self._filepath)
