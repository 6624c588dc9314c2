import base64
import inspect
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from celeba_gan.datasets.images import PictureDataset
from celeba_gan.datasets.reports import HTMLPageDataset


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
