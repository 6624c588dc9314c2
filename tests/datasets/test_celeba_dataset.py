import io

import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.celeba import CelebADataset, SyntheticCelebADataset


def test_a_folder_of_images_is_opened(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (178, 218)).save(file, "JPEG")
    (tmp_path / "000001.jpg").write_bytes(file.getvalue())
    dataset = CelebADataset(str(tmp_path))
    assert dataset.exists()
    assert dataset.load().read("000001.jpg") == file.getvalue()
    with pytest.raises(DatasetError, match="the project only reads it"):
        dataset.save(dataset.load())


def test_a_missing_folder_is_told_readably(tmp_path):
    dataset = CelebADataset(str(tmp_path / "celeba"))
    assert not dataset.exists()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    first, _, message = str(caught.value).partition("\n")
    assert "CelebADataset" in first
    assert message.startswith(f"There is no folder {tmp_path / 'celeba'}. Get CelebA from https://")


def test_only_loading_draws_portraits(tmp_path):
    folder = tmp_path / "portraits"
    dataset = SyntheticCelebADataset(str(folder), images=12, seed=3)
    assert not dataset.exists()
    repr(dataset)
    assert not folder.exists()
    celeba = dataset.load()
    assert dataset.exists()
    assert len(celeba.image_names) == 12
    assert celeba.attributes is not None
    assert len(celeba.attributes) == 12
    before = (folder / "img_align_celeba.zip").stat().st_mtime_ns
    dataset.load()
    assert (folder / "img_align_celeba.zip").stat().st_mtime_ns == before


def test_a_place_that_is_none_is_refused_also_where_nothing_is_missing(tmp_path):
    SyntheticCelebADataset(str(tmp_path / "portraits"), images=4, seed=3).load()
    with pytest.raises(
        DatasetError, match=r"'gdrive' is not a place to download CelebA from. Allowed are: google_drive"
    ):
        CelebADataset(str(tmp_path / "portraits"), download="gdrive").load()
    assert CelebADataset(str(tmp_path / "portraits"), download="http://127.0.0.1:9/").load().image_names
