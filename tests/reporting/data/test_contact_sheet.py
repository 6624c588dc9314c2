from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packed_folder import pack

from celeba_gan.images.packed import PackedImages
from celeba_gan.reporting.data.contact_sheet import draw_contact_sheet


def one_colour_each(folder: Path, count: int, train: int, size: int = 16) -> PackedImages:
    """Image i is of colour (i % 256, i // 256, 77)."""
    images = np.empty((count, size, size, 3), np.uint8)
    images[..., 2] = 77
    for number, image in enumerate(images):
        image[..., 0], image[..., 1] = number % 256, number // 256
    return pack(folder, images, 64, (0, train))


def classes_of(labels: pd.DataFrame, train: int, names: list[str]) -> pd.DataFrame:
    counts = [int((labels["class"][:train] == number).sum()) for number in range(len(names))]
    return pd.DataFrame({"class": range(len(names)), "name": names, "train": counts})


def shown(sheet: np.ndarray, tile: int, rows: int, columns: int, top: int, row_step: int) -> list[list[int]]:
    """The numbers of the images in the grid, by the colour at their middle; -1 where there is none."""
    grid = []
    for row in range(rows):
        y = top + row * row_step + tile // 2
        line = [sheet[y, 2 + column * (tile + 2) + tile // 2] for column in range(columns)]
        grid.append([int(pixel[0]) + 256 * int(pixel[1]) if pixel[2] == 77 else -1 for pixel in line])
    return grid


@pytest.mark.parametrize("size", [8, 16, 64, 128, 160])
def test_without_classes_a_grid_from_the_whole_training_split(tmp_path: Path, size: int) -> None:
    packed = one_colour_each(tmp_path, 100, 90, size)
    labels = pd.DataFrame({"class": [0] * 100})
    sheet = np.asarray(draw_contact_sheet(packed, labels, classes_of(labels, 90, ["all"])))
    assert sheet.shape[1] <= 1000  # kedro-viz makes wider ones smaller
    numbers = [number for line in shown(sheet, 128, 6, 7, 24, 130) for number in line]
    assert (numbers[0], numbers[-1]) == (0, 89)
    assert numbers == sorted(set(numbers))
    assert set(np.diff(numbers)) == {2, 3}  # even distances
    assert (sheet[24 + 128 : 24 + 130] == 255).all()  # a gap


def test_fewer_images_than_places(tmp_path: Path) -> None:
    labels = pd.DataFrame({"class": [0] * 10})
    sheet = draw_contact_sheet(one_colour_each(tmp_path, 10, 9), labels, classes_of(labels, 9, ["all"]))
    grid = shown(np.asarray(sheet), 128, 2, 7, 24, 130)
    assert grid == [list(range(7)), [7, 8, -1, -1, -1, -1, -1]]
    assert sheet.height == 24 + 2 * 130 + 2


def test_a_row_for_each_class_with_training_images_alone(tmp_path: Path) -> None:
    number = np.random.default_rng(0).integers(0, 3, 200)
    labels = pd.DataFrame({"class": number})
    packed = one_colour_each(tmp_path, 200, 150)
    sheet = np.asarray(draw_contact_sheet(packed, labels, classes_of(labels, 150, ["a", "x" * 500, "猫"])))
    for row, line in enumerate(shown(sheet, 96, 3, 10, 24, 24 + 98)):
        members = np.flatnonzero(number[:150] == row)
        assert line == members[np.linspace(0, len(members) - 1, 10).round().astype(int)].tolist()
        heading = sheet[row * 122 : row * 122 + 22]
        assert (heading < 128).any()  # something is written there
        assert (heading[:, -2:] == 255).all()  # and not beyond the edge


def test_of_many_classes_the_largest_are_shown(tmp_path: Path) -> None:
    sizes = list(range(1, 21))
    number = np.repeat(np.arange(20), sizes)
    labels = pd.DataFrame({"class": number})
    packed = one_colour_each(tmp_path, len(number), len(number))
    sheet = np.asarray(draw_contact_sheet(packed, labels, classes_of(labels, len(number), [f"c{i}" for i in sizes])))
    lines = shown(sheet, 96, 12, 10, 48, 24 + 98)
    assert [number[line[0]] for line in lines] == list(range(8, 20))
    assert sheet.shape[0] == 24 + 12 * (24 + 98) + 2
