"""Names that differ by the system or program that wrote them."""

import random

import pytest

from celeba_gan.sources.tables.name_matching import match_names

COMPOSED, DECOMPOSED = "M\u00fcller", "Mu\u0308ller"


@pytest.mark.parametrize(
    ("image", "row", "note"),
    [
        ("{}.jpg", "{}.jpg", ""),
        (DECOMPOSED + "/{}.jpg", COMPOSED + "/{}.jpg", "ignoring the Unicode form of accents in names"),
        ("Img_{}.JPG", "img_{}.jpg", "ignoring capitals in names"),
        ("{}.png", "{}.jpg", "ignoring the suffix in names"),
        ("{}.png", "{}", "ignoring the suffix in names"),
        ("{:04d}.png", "{}.png", "and leading zeros in names"),
        ("a-{:04d}.png", "a-{}", "and leading zeros in names"),
        ("x/y/{}.jpg", "{}.jpg", "ignoring leading folders in names"),
        ("x/y/{}.jpg", "y/{}.jpg", "ignoring leading folders in names"),
        ("y/{}.jpg", "/data/y/{}.jpg".lstrip("/"), "ignoring leading folders in names"),
        ("x/Y/{}.jpg", "y/{}.JPG", "ignoring leading folders and capitals in names"),
    ],
)
def test_the_first_way_that_fits_all_is_used_and_said(image, row, note):
    images = [image.format(number) for number in range(30)]
    rows = [row.format(number) for number in range(40)]
    random.Random(0).shuffle(rows)
    match = match_names(images, rows)
    assert match.rows == {name: row.format(number) for number, name in enumerate(images)}
    assert note in match.note
    assert bool(note) == bool(match.note)
    assert match.obstacle == ""


def test_folders_are_dropped_where_file_names_are_unique():
    images = [f"{number % 3}/{number}.jpg" for number in range(9)]
    match = match_names(images, [f"{number}.jpg" for number in range(9)])
    assert match.rows == {name: name[2:] for name in images}
    assert match.note.startswith("ignoring folders in names")
    assert match_names(["0/1.jpg", "1/1.jpg"], ["1.jpg"]).rows == {}
    match = match_names(["1.jpg", "2.jpg"], ["a/1.jpg", "a/2.jpg", "b/3.jpg"])
    assert match.rows == {"1.jpg": "a/1.jpg", "2.jpg": "a/2.jpg"}


@pytest.mark.parametrize(
    ("images", "rows", "obstacle"),
    [
        (["a.JPG", "A.jpg"], ["a.jpg"], "'a.JPG' and 'A.jpg' are the same name"),
        (["x.png"], ["X.png", "x.PNG"], "'X.png' and 'x.PNG' are the same name"),
        (["1.jpg", "1.png"], ["1"], "the suffix, '1.jpg' and '1.png' are the same name"),
        (["p/1.jpg", "q/1.jpg"], ["1.jpg"], "without folders, 'p/1.jpg' and 'q/1.jpg' are the same name"),
    ],
)
def test_an_ambiguous_way_is_not_used_and_named(images, rows, obstacle):
    match = match_names(images, rows)
    assert match.rows == {}
    assert obstacle in match.obstacle


def test_images_without_a_row_get_none():
    images = [f"a/{number}.jpg" for number in range(20)]
    match = match_names(images, [f"a/{number}.jpg" for number in range(18)] + ["b/18.jpg", "b/19.jpg"])
    assert len(match.rows) == 18
    assert match.note == match.obstacle == ""


def test_images_of_one_folder_do_not_get_the_rows_of_another():
    assert match_names(["test/1.jpg", "test/2.jpg"], ["train/1.jpg", "train/2.jpg"]).rows == {}
