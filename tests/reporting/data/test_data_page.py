"""The page about the data: what it shows, and that it needs nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from celeba_gan.reporting.data.charts import plot_attributes, plot_sizes
from celeba_gan.reporting.data.data_report import DataReport
from celeba_gan.reporting.data.page import render_data
from html_page import Page

STORED = Path(__file__).with_name("stored") / "data_report_v1.json"
HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}"


@pytest.fixture
def report() -> DataReport:
    return DataReport.read(STORED)


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def page_of(report: DataReport, rejected: int = 0, **options: Any) -> tuple[str, Page]:
    index = options.get("index", pd.DataFrame({"width": [178, 178, 90], "height": [218, 218, 90]}))
    names = [options.get("name", f"{number:06d}.jpg") for number in range(rejected)]
    text = render_data(
        report,
        plot_attributes(report),
        plot_sizes(index, "none"),
        picture(),
        picture(),
        pd.DataFrame({"image_id": names, "reason": "damaged: cut off"}, columns=["image_id", "reason"]),
        pd.DataFrame(columns=["image_id", "reason"]),
        pd.DataFrame({"image_id": ["a.jpg", "b.jpg"], "split": ["train", "test"], "group": 1, "removed": [1, 0]}),
        pd.DataFrame(columns=["name", "train", "valid", "test"]),
    )
    return text, Page(text)


def test_it_shows_findings_counts_charts_and_pictures(report: DataReport) -> None:
    _, page = page_of(report)
    for finding in report.findings:
        assert " ".join(finding.split()) in page.text
    packed = report.images.packed
    assert f"{packed['all']:,} images of {report.recipe.size} × {report.recipe.size} pixels" in page.text
    for split in ("train", "valid", "test"):
        assert f"{split} {report.images.indexed[split]:,} {packed[split]:,}" in page.text
    assert report.source.source in page.text
    assert len(page.all("img")) == 2
    figures = [json.loads(script) for script in page.scripts if script.startswith("{")]
    assert len(figures) == 2
    assert {trace["name"] for trace in figures[0]["data"]} >= {"train", "valid", "test"}


def test_it_asks_for_nothing_from_elsewhere(report: DataReport) -> None:
    text, page = page_of(report)
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    assert not any("src" in attributes for attributes in page.all("script"))
    assert not page.all("link")
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.all("img"))
    without_plotly = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|url\(|@import", without_plotly)


def test_long_tables_are_cut_and_counted_and_empty_ones_left_out(report: DataReport) -> None:
    _, page = page_of(report, rejected=1234)
    assert "Rejected images: 1,234, of which 20 are shown" in page.text
    assert page.text.count("damaged: cut off") == 20
    assert "Unreadable images" not in page.text
    assert "Photographs that become the same pixels image_id split group removed a.jpg train 1 1" in page.text


def test_names_of_files_are_text(report: DataReport) -> None:
    hostile = report.model_copy(update={"findings": [HOSTILE]})
    _, page = page_of(hostile, rejected=1, name=HOSTILE)
    assert page.text.count(HOSTILE) == 2
    assert len(page.all("img")) == 2


def test_without_attributes_and_labels_there_is_no_empty_chart(report: DataReport) -> None:
    _, page = page_of(report.model_copy(update={"attributes": {}, "labels": {}}))
    assert "These images have neither attributes nor labels." in page.text
    assert [box["id"] for box in page.all("div") if box.get("class") == "chart"] == ["chart-sizes"]
