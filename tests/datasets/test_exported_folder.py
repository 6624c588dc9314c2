from base64 import b64decode
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from celeba_gan.datasets.exports import ExportedFolderDataset


def folder(path: Path, colour: str) -> SimpleNamespace:
    (path / "web").mkdir(parents=True)
    (path / "web" / "colour.txt").write_text(colour)
    Image.new("RGB", (6, 4), colour).save(path / "samples.png")
    return SimpleNamespace(path=path)


def test_a_folder_is_replaced_whole_and_previewed_by_its_samples(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "deep" / "export"))
    assert not dataset.exists()
    for colour in ("red", "blue"):
        given = folder(tmp_path / colour, colour)
        (given.path / f"{colour}.txt").write_text("")
        dataset.save(given)
        assert dataset.exists()
        assert (dataset.load() / "web" / "colour.txt").read_text() == colour
        with Image.open(BytesIO(b64decode(dataset.preview()))) as image:
            assert image.getpixel((0, 0)) == {"red": (255, 0, 0), "blue": (0, 0, 255)}[colour]
    assert sorted(path.name for path in dataset.load().iterdir()) == ["blue.txt", "samples.png", "web"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["export"]


def test_a_save_that_fails_leaves_the_former_folder(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "export"))
    dataset.save(folder(tmp_path / "red", "red"))
    with pytest.raises(FileNotFoundError):
        dataset.save(SimpleNamespace(path=tmp_path / "nowhere"))
    assert (dataset.load() / "web" / "colour.txt").read_text() == "red"


def test_what_was_killed_between_two_renames_is_there_again(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "export"))
    dataset.save(folder(tmp_path / "red", "red"))
    (tmp_path / "export").rename(tmp_path / ".export.former")
    assert dataset.exists()
    assert (dataset.load() / "web" / "colour.txt").read_text() == "red"
