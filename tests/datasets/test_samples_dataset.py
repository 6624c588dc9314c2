"""Samples as a catalog entry."""

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.folders import SamplesDataset
from celeba_gan.samples.recipe import SampleBatch, SampleRecipe
from celeba_gan.samples.stored import StoredSamples

RECIPE = SampleRecipe(training_id="one", images=7, size=8, seed=0, truncation=1, labels=(), names=(), format="png")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def batch(first: int, stop: int, total: int) -> SampleBatch:
    return SampleBatch(RECIPE, total, first, IMAGES[first:stop], np.zeros((stop - first, 0), np.float32))


def test_samples_are_there_only_when_all_are_and_replace_the_last_ones(tmp_path: Path) -> None:
    dataset = SamplesDataset(str(tmp_path / "samples"))
    dataset.save(batch(0, 3, 5))
    assert not dataset.exists()
    dataset.save(batch(3, 5, 5))
    assert dataset.exists()
    assert dataset.load()["file"].tolist() == [f"{index:06d}.png" for index in range(5)]

    dataset.save(batch(0, 1, 2))  # interrupted here: the last whole set stays
    assert len(dataset.load()) == 5
    again = SamplesDataset(str(tmp_path / "samples"))
    again.save(batch(0, 1, 1))
    assert len(again.load()) == 1
    assert isinstance(SamplesDataset(str(tmp_path / "samples"), part="stored").load(), StoredSamples)


def test_a_disk_that_takes_nothing_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("a file in the place of the folder")
    (tmp_path / ".samples.partial").write_text("likewise")
    dataset = SamplesDataset(str(tmp_path / "samples"))
    with pytest.raises(DatasetError, match=r"Samples cannot be written to .*samples: .*The first 0 are kept"):
        dataset.save(batch(0, 5, 5))
