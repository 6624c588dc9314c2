import json
from pathlib import Path

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.documents import DocumentDataset
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
