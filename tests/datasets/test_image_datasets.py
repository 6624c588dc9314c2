import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.images import AnimationDataset, ImageGridDataset, PictureDataset, SamplesDataset
from celeba_gan.gan.sampling.batches import SampleBatch
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


def test_animation_keeps_frames_colours_and_rests_on_the_last(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    frames = []
    for colour in colours:
        frame = Image.new("RGB", (40, 20), "white")
        for x, other in enumerate(colours):
            frame.paste(other, (x * 8, 0, x * 8 + 8, 5))  # all colours are in the last frame's palette
        frame.paste(colour, (0, 5, 40, 20))
        frames.append(frame)
    dataset = AnimationDataset(str(tmp_path / "training.gif"), frame_ms=100, last_frame_ms=1500)
    dataset.save(frames)
    loaded = dataset.load()
    assert len(loaded) == 3
    for frame, colour in zip(loaded, colours, strict=True):
        assert np.abs(np.array(frame.getpixel((20, 15))) - colour).max() <= 8
    with Image.open(tmp_path / "training.gif") as image:
        assert image.info["loop"] == 0
        durations = []
        for index in range(3):
            image.seek(index)
            durations.append(image.info["duration"])
    assert durations == [100, 100, 1500]
    assert base64.b64decode(dataset.preview())[:3] == b"GIF"


def test_samples_are_there_only_when_all_are_and_replace_the_last_ones(tmp_path: Path) -> None:
    dataset = SamplesDataset(str(tmp_path / "samples"))
    images = noise(5, 8, 8, 3)
    dataset.save(SampleBatch(0, images[:3], 5))
    assert not dataset.exists()
    dataset.save(SampleBatch(3, images[3:], 5))
    assert dataset.exists()
    assert [file.name for file in dataset.load()] == [f"{index:06d}.png" for index in range(5)]
    for file, image in zip(dataset.load(), images, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), image)

    dataset.save(SampleBatch(0, images[:1], 2))  # interrupted here: the last whole set stays
    assert len(dataset.load()) == 5
    dataset.save(SampleBatch(0, images[:1], 1))
    assert [file.name for file in dataset.load()] == ["000000.png"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["samples"]


def test_a_picture_comes_back_and_is_previewed(tmp_path: Path) -> None:
    dataset = PictureDataset(str(tmp_path / "deep" / "picture.png"))
    assert not dataset.exists()
    picture = Image.fromarray(noise(20, 30, 3))
    dataset.save(picture)
    assert dataset.exists()
    assert np.array_equal(np.asarray(dataset.load()), np.asarray(picture))
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["picture.png"]
