"""Films are written in every format with their frames, sizes and times, and read again."""

import base64
import sys
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.films import FilmDataset, FilmError, check_mp4
from celeba_gan.reporting.bars import StepsProgress
from celeba_gan.reporting.films import Film
from reports import Reports

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def film(*formats: str, size: tuple[int, int] = (40, 20)) -> Film:
    frames = []
    for colour in COLOURS:
        frame = Image.new("RGB", size, "white")
        for x, other in enumerate(COLOURS):
            frame.paste(other, (x * 8, 0, x * 8 + 8, 5))  # all colours are in the last frame's palette
        frame.paste(colour, (0, 5, *size))
        frames.append(frame)
    return Film(frames, frame_ms=100, last_frame_ms=1500, formats=formats)


def test_a_gif_has_the_colours_of_all_its_frames(tmp_path: Path) -> None:
    colours = [tuple(int(part) for part in row) for row in np.random.default_rng(0).integers(0, 256, (16, 3))]
    frames = [Image.new("RGB", (40, 20), colour) for colour in colours]
    FilmDataset(str(tmp_path / "walk.gif")).save(Film(frames, 100, 100))
    loaded = FilmDataset(str(tmp_path / "walk.gif")).load()
    apart = [np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() for a, b in zip(frames, loaded, strict=True)]
    assert max(apart) < 8


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_it_keeps_frames_and_colours_and_rests_on_the_last(name: str, tmp_path: Path) -> None:
    dataset = FilmDataset(str(tmp_path / "training.gif"))
    assert not dataset.exists()
    dataset.save(film(name))
    assert [path.name for path in tmp_path.iterdir()] == [f"training.{name}"]
    loaded = dataset.load()
    assert len(loaded) == 3
    for frame, colour in zip(loaded, COLOURS, strict=True):
        assert np.abs(np.array(frame.getpixel((20, 15))) - colour).max() <= 12
    with Image.open(tmp_path / f"training.{name}") as image:
        assert image.info["loop"] == 0
        durations = []
        for index in range(3):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
    assert durations == [100, 100, 1500]
    assert base64.b64decode(dataset.preview()) == (tmp_path / f"training.{name}").read_bytes()


def test_an_mp4_has_every_frame_for_as_long_and_even_sides(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra film")
    dataset = FilmDataset(str(tmp_path / "training.gif"))
    dataset.save(film("mp4", size=(67, 51)))
    with av.open(str(tmp_path / "training.mp4")) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.width, stream.height) == ("h264", "yuv420p", 66, 50)
        assert float(stream.average_rate) == pytest.approx(10)
        assert stream.frames == 2 + 15  # the last one for 1.5 seconds
    loaded = dataset.load()
    for frame, colour in zip(loaded[:3], COLOURS, strict=True):
        assert np.abs(np.array(frame.getpixel((50, 30))) - colour).max() <= 12
    with Image.open(_decoded(dataset.preview(), tmp_path)) as image:
        assert image.size == (66, 50)
    assert [path.name for path in tmp_path.glob("training*")] == ["training.mp4"]


def _decoded(preview: str, folder: Path) -> Path:
    path = folder / "preview.png"
    path.write_bytes(base64.b64decode(preview))
    return path


def test_other_formats_of_the_former_film_are_removed(tmp_path: Path) -> None:
    dataset = FilmDataset(str(tmp_path / "walk.gif"))
    dataset.save(film("gif", "webp"))
    assert {path.name for path in tmp_path.iterdir()} == {"walk.gif", "walk.webp"}
    dataset.save(film("webp"))
    assert [path.name for path in tmp_path.iterdir()] == ["walk.webp"]
    (tmp_path / "walk.webp").unlink()
    with pytest.raises(DatasetError, match=r"There is no film .*walk\.gif"):
        dataset.load()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises((FilmError, ValueError), match="av"):
        check_mp4()


def test_a_bar_goes_from_the_first_frame_to_the_last_of_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="needs the extra film")
    reports = Reports()
    monkeypatch.setattr(StepsProgress, "show", lambda bar, *report: reports(*report))
    FilmDataset(str(tmp_path / "walk")).save(film("gif", "webp", "mp4"))
    assert reports.parts == ["Writing walk.gif", "Writing walk.webp", "Writing walk.mp4"]
