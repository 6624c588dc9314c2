import base64
import inspect
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.images import PictureDataset
from celeba_gan.datasets.reports import HTMLPageDataset, JSONReportDataset


def test_round_trip_and_preview(tmp_path: Path) -> None:
    dataset = JSONReportDataset(str(tmp_path / "e" / "evaluation.json"))
    assert not dataset.exists()
    data = {"metrics": {"age": 0.25}, "floor": {}, "protocol": {"split": "test"}, "classes": ["猫"]}
    dataset.save(data)
    assert dataset.load() == data == json.loads(dataset.preview())


def test_a_file_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    """Linux allows any bytes in a name; Python holds those that are no UTF-8 as lone surrogates."""
    dataset = JSONReportDataset(str(tmp_path / "report.json"))
    data = {"first": ["b\udcff.jpg"]}
    dataset.save(data)
    assert dataset.load() == data


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_and_the_last_report_kept(tmp_path: Path, number: float) -> None:
    dataset = JSONReportDataset(str(tmp_path / "evaluation.json"))
    dataset.save({"metrics": {"age": 0.25}})
    with pytest.raises(DatasetError):
        dataset.save({"metrics": {"age": number}})
    assert dataset.load() == {"metrics": {"age": 0.25}}


def test_picture_round_trip_and_preview(tmp_path: Path) -> None:
    dataset = PictureDataset(str(tmp_path / "sub" / "mean.png"))
    assert not dataset.exists()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    dataset.save(Image.fromarray(pixels))
    assert dataset.exists()
    assert np.array_equal(np.asarray(dataset.load()), pixels)
    with Image.open(BytesIO(base64.b64decode(dataset.preview()))) as image:
        assert np.array_equal(np.asarray(image), pixels)
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["mean.png"]


def test_page_round_trip(tmp_path: Path) -> None:
    dataset = HTMLPageDataset(str(tmp_path / "sub" / "page.html"))
    assert not dataset.exists()
    page = "<html>\r\n<p>Fréchet 猫</p>\n</html>"
    dataset.save(page)
    assert dataset.exists()
    assert dataset.load() == page
    assert (tmp_path / "sub" / "page.html").read_bytes() == page.encode("utf-8")
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["page.html"]


def test_page_with_a_name_that_is_no_text_is_saved(tmp_path: Path) -> None:
    dataset = HTMLPageDataset(str(tmp_path / "page.html"))
    dataset.save("b\udcff.jpg")
    assert dataset.load() == "b\\udcff.jpg"


def test_preview_of_a_page_has_no_scripts_and_nothing_that_reads_as_markdown(tmp_path: Path) -> None:
    dataset = HTMLPageDataset(str(tmp_path / "page.html"))
    dataset.save(
        "<html><head><title>t</title><style>\n.a { color: red }\n</style></head>\n<body style='margin: 0'>\n"
        "<p>images_per_side, `code`,\n\n2 * 3 * 4</p><script>\nlet x = '<p>';\n</script>\n<script>2</script>"
        "</body></html>"
    )
    preview = dataset.preview()
    assert preview.startswith("<div><style> .a { color: red } </style>")
    assert "<p>imagesˍperˍside, ˋcodeˋ, 2 ∗ 3 ∗ 4</p>" in preview
    assert not set("\n_*`") & set(preview)
    assert "script" not in preview
    assert "<title>" not in preview
    assert inspect.signature(dataset.preview).return_annotation.__name__ == "HTMLPreview"  # what kedro-viz looks at
