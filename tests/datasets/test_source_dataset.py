import io

import pandas as pd
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.sources import SourceDataset
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.image_files import FolderFiles
from celeba_gan.sources.index import build_index
from celeba_gan.sources.source import Annotation, Source

CELEBA = "celeba_gan.sources.celeba.CelebA"
PORTRAITS = "celeba_gan.portraits.synthetic.DrawnPortraits"


def test_a_folder_of_images_is_opened(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (178, 218)).save(file, "JPEG")
    (tmp_path / "000001.jpg").write_bytes(file.getvalue())
    dataset = SourceDataset(CELEBA, str(tmp_path))
    assert dataset.exists()
    assert dataset.load().read("000001.jpg") == file.getvalue()
    with pytest.raises(DatasetError, match="only read"):
        dataset.save(dataset.load())


def test_a_missing_folder_is_told_readably(tmp_path):
    dataset = SourceDataset(CELEBA, str(tmp_path / "celeba"))
    assert not dataset.exists()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    first, _, message = str(caught.value).partition("\n")
    assert "source='CelebA'" in first
    assert message.startswith(f"There is no folder {tmp_path / 'celeba'}. Get CelebA from https://")


def test_only_loading_draws_portraits(tmp_path):
    folder = tmp_path / "portraits"
    dataset = SourceDataset(PORTRAITS, str(folder), {"images": 12, "seed": 3})
    assert not dataset.exists()
    repr(dataset)
    assert not folder.exists()
    celeba = dataset.load()
    assert dataset.exists()
    assert len(celeba.image_names) == 12
    assert [len(annotation.table) for annotation in celeba.annotations()] == [12, 12, 12]
    before = (folder / "img_align_celeba.zip").stat().st_mtime_ns
    dataset.load()
    assert (folder / "img_align_celeba.zip").stat().st_mtime_ns == before


def test_a_place_that_is_none_is_refused_also_where_nothing_is_missing(tmp_path):
    SourceDataset(PORTRAITS, str(tmp_path / "portraits"), {"images": 4, "seed": 3}).load()
    with pytest.raises(
        DatasetError, match=r"'gdrive' is not a place to download CelebA from. Allowed are: google_drive"
    ):
        SourceDataset(CELEBA, str(tmp_path / "portraits"), {"download": "gdrive"}).load()
    assert SourceDataset(CELEBA, str(tmp_path / "portraits"), {"download": "http://127.0.0.1:9/"}).load().image_names


class NamedByLabel(Source):
    """Images called `LABEL_anything`: all that a further source needs."""

    kind = "named"

    def open_files(self):
        return FolderFiles(self.path)

    def annotations(self):
        labels = {name: name.partition("_")[0] for name in self.image_names}
        return [Annotation("the names", pd.DataFrame({"label": labels}))]

    def advice(self):
        return "Name a folder."


def test_a_further_source_is_one_class(tmp_path):
    for number in range(12):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{'cat' if number % 3 else 'dog'}_{number}.png")
    dataset = SourceDataset(f"{__name__}.NamedByLabel", str(tmp_path))
    index, rejected, report = build_index(dataset.load(), IngestSettings())
    assert index["label"].value_counts().to_dict() == {"cat": 8, "dog": 4}
    assert rejected.empty
    assert (report.kind, report.images_found) == ("named", 12)
    missing = SourceDataset(f"{__name__}.NamedByLabel", str(tmp_path / "elsewhere"))
    assert not missing.exists()
    with pytest.raises(DatasetError, match=r"There is no folder .*elsewhere. Name a folder"):
        missing.load()
