import json
from pathlib import Path

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.reports import DocumentDataset
from celeba_gan.foundation.documents import Document
from celeba_gan.sources.source_report import SourceReport

STORED = Path(__file__).parents[1] / "sources/stored/source_report_v1.json"
DOCUMENT = "celeba_gan.sources.source_report.SourceReport"


def test_a_document_comes_back_and_is_shown(tmp_path: Path) -> None:
    dataset = DocumentDataset(str(tmp_path / "new" / "report.json"), DOCUMENT)
    assert not dataset.exists()
    report = SourceReport.read(STORED)
    dataset.save(report)
    assert dataset.load() == report
    assert json.loads(dataset.preview()) == report.to_json()


def test_a_damaged_or_later_file_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    dataset = DocumentDataset(str(file), DOCUMENT)
    for content, words in (
        ("{", "not valid JSON"),
        ('{"kind": "celeba"}', "not a valid report"),
        ('{"format_version": 9}', "format version 9"),
    ):
        file.write_text(content)
        with pytest.raises(DatasetError, match=words) as caught:
            dataset.load()
        assert str(file) in str(caught.value)


class Note(Document):
    """A document with a text and a number."""

    names: tuple[str, ...] = ()
    number: float = 0.0


def test_a_file_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    """Linux allows any bytes in a name; Python holds those that are no UTF-8 as lone surrogates."""
    dataset = DocumentDataset(str(tmp_path / "report.json"), f"{__name__}.Note")
    note = Note(names=("b\udcff.jpg", "猫"))
    dataset.save(note)
    assert dataset.load() == note


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_and_the_last_document_kept(tmp_path: Path, number: float) -> None:
    dataset = DocumentDataset(str(tmp_path / "report.json"), f"{__name__}.Note")
    dataset.save(Note(number=0.25))
    with pytest.raises(DatasetError):
        dataset.save(Note.model_construct(names=(), number=number))
    assert dataset.load() == Note(number=0.25)
