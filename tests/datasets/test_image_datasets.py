import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.images import ImageGridDataset, PictureDataset
from celeba_gan.reporting.grids import ImageGrid


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_grid_round_trip_and_preview(tmp_path: Path) -> None:
    dataset = ImageGridDataset(str(tmp_path / "sub" / "grid.png"))
    assert not dataset.exists()
    grid = ImageGrid(123, noise(20, 30, 3))
    dataset.save(grid)
    loaded = dataset.load()
    assert loaded.images == 123
    assert np.array_equal(loaded.pixels, grid.pixels)
    with Image.open(BytesIO(base64.b64decode(dataset.preview()))) as image:
        assert image.size == (30, 20)
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["grid.png"]


def test_an_optional_grid_without_anything_to_show_has_no_file(tmp_path: Path) -> None:
    file = tmp_path / "grid.png"
    dataset, required = ImageGridDataset(str(file), optional=True), ImageGridDataset(str(file))
    assert dataset.exists()  # its node's other outputs decide
    dataset.save(ImageGrid.nothing(123))
    assert not file.exists()
    assert dataset.load().is_empty
    with pytest.raises(DatasetError, match="No such file"):
        required.load()
    dataset.save(ImageGrid(123, noise(20, 30, 3)))
    assert required.exists()
    with pytest.raises(DatasetError, match=r"grid\.png: a grid without pixels is saved only where it is optional"):
        required.save(ImageGrid.nothing(123))
    assert dataset.load().images == 123
    dataset.save(ImageGrid.nothing(123))
    assert not list(tmp_path.iterdir())


def test_wide_pictures_are_previewed_smaller(tmp_path: Path) -> None:
    dataset = ImageGridDataset(str(tmp_path / "grid.png"))
    dataset.save(ImageGrid(0, noise(30, 3000, 3)))
    with Image.open(BytesIO(base64.b64decode(dataset.preview()))) as image:
        assert image.size == (1000, 10)


def test_a_picture_comes_back_and_is_previewed(tmp_path: Path) -> None:
    dataset = PictureDataset(str(tmp_path / "deep" / "picture.png"))
    assert not dataset.exists()
    picture = Image.fromarray(noise(20, 30, 3))
    dataset.save(picture)
    assert dataset.exists()
    assert np.array_equal(np.asarray(dataset.load()), np.asarray(picture))
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["picture.png"]


@pytest.mark.parametrize("damage", ["cut", "a changed byte", "text", "no number", "a word", "gif"])
@pytest.mark.parametrize("kind", [PictureDataset, ImageGridDataset])
def test_a_damaged_picture_is_named(tmp_path: Path, kind: type, damage: str) -> None:
    file = tmp_path / "picture.png"
    ImageGridDataset(str(file)).save(ImageGrid(7, noise(20, 30, 3)))
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "a changed byte":
        data[len(data) // 2] ^= 1
    elif damage == "text":
        data = bytearray(b"rubbish")
    elif damage == "gif":
        buffer = BytesIO()
        Image.new("RGB", (4, 4)).save(buffer, "GIF")
        data = bytearray(buffer.getvalue())
    elif kind is PictureDataset:
        return  # it needs no number
    else:
        from PIL.PngImagePlugin import PngInfo

        buffer, info = BytesIO(), PngInfo()
        if damage == "a word":
            info.add_text("images", "seven")
        Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)
        data = bytearray(buffer.getvalue())
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"{file} .*Remove it, and run the stage that makes it"):
        kind(str(file)).load()
