from pathlib import Path

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.features import FeatureStoreDataset


def test_numbers_are_kept_in_the_folder_and_the_store_is_not_saved(tmp_path: Path) -> None:
    dataset = FeatureStoreDataset(str(tmp_path / "features"))
    assert not dataset.exists()
    assert dataset.load().numbers("key", lambda: {"x": 1.0}) == {"x": 1.0}
    assert dataset.exists()
    assert FeatureStoreDataset(str(tmp_path / "features")).load().numbers("key", lambda: {"x": 2.0}) == {"x": 1.0}
    with pytest.raises(DatasetError, match="fills the feature store"):
        dataset.save(dataset.load())
