"""The report on a source as it is stored."""

import json
from pathlib import Path

import pytest

from celeba_gan.foundation.documents import DocumentError
from celeba_gan.sources.source_report import SourceReport

STORED = Path(__file__).with_name("stored") / "source_report_v1.json"


def test_a_stored_report_loads_and_is_written_as_it_was():
    report = SourceReport.read(STORED)
    assert (report.indexed, [file.rows for file in report.files]) == (160, [160, 160, 160])
    assert report.to_json() == {"format_version": 1, **json.loads(STORED.read_text())}


def test_a_report_of_a_later_version_is_refused():
    with pytest.raises(DocumentError, match="format version 2 of the report on the source"):
        SourceReport.from_json({"format_version": 2}, "source_report.json")
