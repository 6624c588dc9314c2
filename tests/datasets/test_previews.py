from pathlib import Path

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.films import FilmDataset
from celeba_gan.datasets.folders import ExportedFolderDataset
from celeba_gan.datasets.images import ImageGridDataset, PictureDataset
from celeba_gan.datasets.reports import ChartDataset, CSVDataset, DocumentDataset, HTMLPageDataset, ParquetDataset
from celeba_gan.datasets.ticks import TrainingGridsDataset


def test_what_is_not_saved_yet_shows_nothing(tmp_path: Path) -> None:
    kinds = [FilmDataset, ExportedFolderDataset, ImageGridDataset, PictureDataset, HTMLPageDataset]
    kinds += [ChartDataset, CSVDataset, ParquetDataset, TrainingGridsDataset]
    datasets = [kind(filepath=str(tmp_path / "none")) for kind in kinds]
    document = "celeba_gan.sources.source_report.SourceReport"
    datasets.append(DocumentDataset(str(tmp_path / "none"), document))
    assert [dataset.preview() for dataset in datasets] == [None] * 10


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    for kind in (PictureDataset, CSVDataset):
        file = tmp_path / kind.__name__
        file.write_bytes(b"\x80")
        with pytest.raises((DatasetError, ValueError, UnicodeDecodeError)):
            kind(filepath=str(file)).preview()
