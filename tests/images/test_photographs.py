"""Photographs by path: which files, the pixels of the packed images' recipe, and one error for each that fails."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celeba_gan.images.decoding import DecodingRecipe, decode_image
from celeba_gan.images.packed import Recipe
from celeba_gan.images.photographs import PhotographError, find_photographs, read_photographs

RECIPE = Recipe(crop=20, size=10, filter="lanczos", background="#ffffff", decoder=2, pillow="12")


def draw(file: Path, width: int = 30, height: int = 24) -> Path:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_files_and_folders_in_order_each_once(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "notes.txt").write_text("no photograph")
    b, a, capital = (draw(folder / name) for name in ("b.png", "a.jpg", "C.PNG"))
    alone = draw(tmp_path / "alone.png")
    assert find_photographs([], "x") == []
    assert find_photographs([str(alone), str(folder), str(alone)], "x") == [alone, capital, a, b]


def test_paths_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(PhotographError, match=rf"generate\.project: there is no photograph in {tmp_path}; .*\.jpg"):
        find_photographs([tmp_path], "generate.project")
    with pytest.raises(PhotographError, match=r"generate\.project: there is no file or folder .*/gone\.png\. Relative"):
        find_photographs(["gone.png"], "generate.project")


def test_pixels_are_those_of_packed_images(tmp_path: Path) -> None:
    files = [draw(tmp_path / "a.png"), draw(tmp_path / "b.png", width=40)]
    found = read_photographs(files, RECIPE)
    assert found.shape == (2, 10, 10, 3)
    for pixels, file in zip(found, files, strict=True):
        assert np.array_equal(pixels, decode_image(file.read_bytes(), DecodingRecipe(20, 10, "lanczos", "#ffffff")))
    assert not np.array_equal(found[0], read_photographs(files[:1], RECIPE.model_copy(update={"crop": "none"}))[0])
    assert read_photographs([], RECIPE).shape == (0, 10, 10, 3)


def test_a_photograph_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    good, small, text = draw(tmp_path / "good.png"), draw(tmp_path / "small.png", width=12), tmp_path / "text.jpg"
    text.write_text("hello")
    with pytest.raises(
        PhotographError, match=r"small\.png cannot be used: smaller than the crop of 20: 12x24.* 20 pixels"
    ):
        read_photographs([good, small], RECIPE)
    with pytest.raises(PhotographError, match=r"text\.jpg cannot be used: not an image"):
        read_photographs([text], RECIPE)
    with pytest.raises(PhotographError, match=r"gone\.png cannot be read: No such file"):
        read_photographs([tmp_path / "gone.png"], RECIPE)
