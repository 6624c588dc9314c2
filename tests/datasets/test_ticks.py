import base64
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.reporting.grids import ImageGrid


def rows(images: int, loss: float = 0.0) -> MetricRows:
    return MetricRows(images, [{"images": images - 5.0, "loss": loss}, {"images": float(images), "loss": loss}])


def grid(images: int) -> ImageGrid:
    return ImageGrid(images, np.full((6, 8, 3), images % 256, np.uint8))


def test_rows_are_a_file_per_tick_and_load_as_one_table(tmp_path: Path) -> None:
    dataset = MetricRowsDataset(str(tmp_path))
    assert not dataset.exists()
    dataset.save(MetricRows(0, []))
    dataset.save(rows(10))
    dataset.save(rows(100))
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "000000000000.json",
        "000000000010.json",
        "000000000100.json",
    ]
    assert dataset.load()["images"].tolist() == [5, 10, 95, 100]


def test_repeated_tick_overwrites_its_rows_and_drops_uncommitted_later_ones(tmp_path: Path) -> None:
    dataset = MetricRowsDataset(str(tmp_path))
    for images in (10, 20, 30):
        dataset.save(rows(images))
    dataset.save(rows(20, loss=1.0))
    table = dataset.load()
    assert table["images"].tolist() == [5, 10, 15, 20]
    assert table["loss"].tolist() == [0, 0, 1, 1]


def test_ticks_between_this_and_the_one_before_are_of_a_course_that_was_left(tmp_path: Path) -> None:
    """Stopped at 25 and killed before the commit, or gone back to 20: the next tick is at 30."""
    table, grids = MetricRowsDataset(str(tmp_path / "rows")), TrainingGridsDataset(str(tmp_path / "grids"))
    for images in (10, 20, 25):
        table.save(rows(images))
        grids.save(grid(images))
    table.save(replace(rows(30), since=20))
    grids.save(replace(grid(30), since=20))
    assert table.load()["images"].tolist() == [5, 10, 15, 20, 25, 30]
    assert [one.images for one in grids.load()] == [10, 20, 30]
    table.save(MetricRows(30, [], since=30))
    assert len(table.load()) == 6


def test_finished_training_run_again_keeps_its_rows(tmp_path: Path) -> None:
    dataset = MetricRowsDataset(str(tmp_path))
    dataset.save(rows(10))
    before = (tmp_path / "000000000010.json").read_bytes()
    dataset.save(MetricRows(10, []))
    assert (tmp_path / "000000000010.json").read_bytes() == before
    assert len(json.loads(before)) == 2


def test_ticks_that_were_removed_are_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By a run that resumes after them, and by one that finds its training finished; by no other."""
    dataset = MetricRowsDataset(str(tmp_path))
    dataset.save(MetricRows(0, []))
    dataset.save(MetricRows(10, [{"images": 10}], 0))
    dataset.save(MetricRows(20, [{"images": 20}], 10))
    dataset.save(MetricRows(20, [], 20))
    assert caplog.messages == []
    for file in tmp_path.iterdir():
        file.unlink()
    dataset.save(MetricRows(30, [{"images": 30}], 20))
    assert "The metric rows of the first 20 images are no longer in" in caplog.text
    caplog.clear()
    dataset.file(30).unlink()
    dataset.save(MetricRows(30, [], 30))
    assert "The metric rows of the first 30 images" in caplog.text


def test_grids_round_trip_with_their_place_in_training(tmp_path: Path) -> None:
    dataset = TrainingGridsDataset(str(tmp_path))
    for images in (30, 10, 20):
        dataset.save(grid(images))
    assert [loaded.images for loaded in dataset.load()] == [10, 20]  # 30 was later than 10: not of this course
    assert all(np.array_equal(loaded.pixels, grid(loaded.images).pixels) for loaded in dataset.load())


def test_preview_is_the_latest_grid(tmp_path: Path) -> None:
    dataset = TrainingGridsDataset(str(tmp_path))
    dataset.save(grid(10))
    dataset.save(grid(20))
    with Image.open(BytesIO(base64.b64decode(dataset.preview()))) as image:
        assert image.getpixel((0, 0)) == (20, 20, 20)


def test_leftovers_of_a_killed_save_are_no_ticks(tmp_path: Path) -> None:
    dataset = MetricRowsDataset(str(tmp_path))
    dataset.save(rows(10))
    (tmp_path / ".000000000020.json.partial").write_text("[{")
    assert dataset.load()["images"].tolist() == [5, 10]


@pytest.mark.parametrize("content", [b"", b"{\xff\x00 rubbish"], ids=["empty", "rubbish"])
@pytest.mark.parametrize(("kind", "suffix"), [(MetricRowsDataset, "json"), (TrainingGridsDataset, "png")])
def test_a_damaged_tick_is_named(tmp_path: Path, kind: Any, suffix: str, content: bytes) -> None:
    file = tmp_path / f"000000000010.{suffix}"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{file} is damaged: .*Remove it to go on without"):
        kind(str(tmp_path)).load()


@pytest.mark.parametrize(
    "text", ["{}", "5", "[[]]", '[{"loss": 1}]', '[{"images": "5"}]', '[{"images": null}]', "[" * 100_000, f"[{{{'}'}]"]
)
def test_rows_of_another_form_are_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "000000000010.json"
    file.write_text(text)
    with pytest.raises(DatasetError, match=rf"{file} is damaged: .*Remove it to go on without"):
        MetricRowsDataset(str(tmp_path)).load()


def test_numbers_of_rows_keep_their_kind(tmp_path: Path) -> None:
    dataset = MetricRowsDataset(str(tmp_path))
    dataset.save(MetricRows(10, [{"images": 10, "loss": float("nan"), "swd": 2.0}]))
    table = dataset.load()
    assert table.dtypes.astype(str).to_dict() == {"images": "int64", "loss": "float64", "swd": "float64"}


def test_a_grid_is_read_as_png_and_as_nothing_else(tmp_path: Path) -> None:
    """For an EPS Pillow would start Ghostscript; a GIF is a picture, but not what was written here."""
    dataset = TrainingGridsDataset(str(tmp_path))
    dataset.save(grid(10))
    (file,) = tmp_path.iterdir()
    for kind in ("GIF", "EPS"):
        with Image.open(file) as image:
            image.convert("RGB").save(tmp_path / "other", kind)
        (tmp_path / "other").rename(file)
        with pytest.raises(DatasetError, match=rf"{file} is damaged: it is not a PNG file\. Remove it"):
            dataset.load()
        file.unlink()
        dataset.save(grid(10))


def test_a_grid_of_another_name_is_named(tmp_path: Path) -> None:
    dataset = TrainingGridsDataset(str(tmp_path))
    dataset.save(grid(10))
    (tmp_path / "000000000010.png").rename(tmp_path / "1x.png")
    with pytest.raises(DatasetError, match=r"1x\.png is damaged"):
        dataset.load()
