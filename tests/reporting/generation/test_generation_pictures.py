"""The pictures hold every pixel they were given, in its place, and text on both sides."""

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.gan.sampling.control_documents import (
    Direction,
    Directions,
    Effect,
    ImageError,
    Prediction,
    ProjectedPhotograph,
    Projections,
)
from celeba_gan.reporting.generation.directions import describe, draw_directions
from celeba_gan.reporting.generation.layout import draw_rows
from celeba_gan.reporting.generation.projections import draw_projections
from celeba_gan.reporting.generation.samples import draw_samples

SMILE = Direction(
    name="Mouth_Open",
    kind="attribute",
    vector=(1, 0),
    prediction=Prediction(auc=0.834, accuracy=0.8, share=0.5),
    classifier_auc=0.61,
    orthogonal_to=("Male", "Black_Hair"),
    effects={
        "Male": Effect(forward=-0.44, backward=0.5),
        "Mouth_Open": Effect(forward=0.127, backward=-0.1),
        "Hat": Effect(forward=0.01, backward=-0.6),
        "Young": Effect(forward=0.3, backward=0),
        "Bald": Effect(forward=-0.02, backward=0),
    },
)
CLOSED = Direction(name="closed_form_1", kind="closed_form", vector=(0, 1), singular_value=10.06)
DIRECTIONS = Directions(
    training_id="a",
    images=7,
    latent_size=2,
    samples=100,
    held_out=25,
    seed=0,
    strength=3,
    step=3,
    classifier_digest="abc",
    directions=(SMILE, CLOSED),
)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def places(picture: NDArray[np.uint8], image: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Where an image is in a picture."""
    height, width, _ = image.shape
    corners = np.argwhere((picture == image[0, 0]).all(axis=2)).tolist()
    return [(y, x) for y, x in corners if np.array_equal(picture[y : y + height, x : x + width], image)]


def ink(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    shades: NDArray[np.bool_] = (picture < 200).all(axis=2)
    return shades


def test_every_image_is_in_its_row_and_column_with_text_around_it() -> None:
    tiles = noise(2, 3, 8, 8, 3)
    names = [["first", "a"], ["second"]]
    picture = draw_rows(tiles, ["-1", "0", "+1"], names, [["x", "y", "z"], []], ["heading"], tile=17)
    found = [[places(picture, image.repeat(2, 0).repeat(2, 1)) for image in row] for row in tiles]
    assert all(len(place) == 1 for row in found for place in row)
    rows = [[y for ((y, _),) in row] for row in found]
    columns = [[x for ((_, x),) in row] for row in found]
    assert columns[0] == columns[1] == sorted(columns[0])
    assert len(set(rows[0])) == len(set(rows[1])) == 1
    assert rows[1][0] - rows[0][0] >= 3 * 17  # three lines are higher than an image
    left, right = columns[0][0], columns[0][2] + 16
    assert ink(picture)[rows[0][0] - 20 : rows[0][0] + 36, : left - 2].any()
    assert ink(picture)[rows[0][0] - 20 : rows[0][0] + 36, right + 2 :].any()
    assert not ink(picture)[rows[1][0] : rows[1][0] + 16, right + 2 :].any()  # no lines
    above = ink(picture)[rows[0][0] - 40 : rows[0][0] - 18]
    assert all(above[:, x : x + 16].any() for x in columns[0])


def test_what_is_said_of_a_direction() -> None:
    about, changes = describe(SMILE)
    assert about == ["Mouth Open", "AUC 0.83", "orthogonal to Male + Black Hair", "classifier's own AUC 0.61"]
    assert changes == ["Mouth Open +13", "Male -44", "Young +30", "Bald -2"]
    assert describe(CLOSED) == (["Closed form 1", "singular value 10.1"], [])
    sees = SMILE.model_copy(update={"classifier_auc": 0.9, "orthogonal_to": ()})
    assert describe(sees)[0] == ["Mouth Open", "AUC 0.83"]


def test_a_picture_of_directions() -> None:
    tiles = noise(2, 3, 16, 16, 3)
    grid = draw_directions(DIRECTIONS, DIRECTIONS.directions, [-3, 0, 3], tiles)
    assert grid.images == 7
    assert all(len(places(grid.pixels, image.repeat(4, 0).repeat(4, 1))) == 1 for row in tiles for image in row)
    fewer = draw_directions(DIRECTIONS, DIRECTIONS.directions[1:], [-3, 0, 3], tiles[1:])
    assert fewer.pixels.shape[0] < grid.pixels.shape[0]
    assert draw_directions(DIRECTIONS, [], [-3, 0, 3], tiles[:0]).is_empty


def test_a_picture_of_projections() -> None:
    errors = {"error": 12.34, "best_random": 45.6, "mean_sample": 78.9}
    photographs = tuple(
        ProjectedPhotograph(
            name=f"faces/{number}{'long' * 20}.png",
            latent=(1.0,),
            labels=(),
            **{name: ImageError(rmse=rmse, features=None) for name, rmse in errors.items()},
        )
        for number in range(2)
    )
    document = Projections(training_id="a", images=7, seed=0, steps=3, photographs=photographs)
    originals, found = noise(2, 2, 48, 48, 3)
    grid = draw_projections(document, originals, found)
    differences = np.minimum(2 * np.abs(originals.astype(int) - found), 255).astype(np.uint8)
    for row in zip(originals, found, differences, strict=True):
        ((first, _),), ((second, _),), ((third, _),) = (
            places(grid.pixels, image.repeat(2, 0).repeat(2, 1)) for image in row
        )
        assert first == second == third
    assert grid.pixels.shape[1] < 1000  # long names are cut
    nothing = draw_projections(document.model_copy(update={"photographs": ()}), originals[:0], found[:0])
    assert nothing.is_empty


@pytest.mark.parametrize(
    "document", [DIRECTIONS, Projections(training_id="a", images=7, seed=0, steps=3, photographs=())]
)
def test_documents_come_back(document: Directions | Projections) -> None:
    assert type(document).from_json(document.to_json(), "here") == document


@pytest.mark.parametrize("names", [None, ["Hat", "none", "Hat + Tie"]])
def test_the_grid_of_samples_has_every_sample_in_its_place(names: list[str] | None) -> None:
    samples = noise(12, 96, 96, 3)
    found = draw_samples(samples, 4, 150_016, 7, 0.8, names, None)
    spots = [places(found, sample) for sample in samples]
    assert all(len(spot) == 1 for spot in spots)
    rows, columns = np.array(spots)[:, 0].T.reshape(2, 3, 4)
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()
    assert (np.diff(rows[:, 0]) == 98).all()
    assert (np.diff(columns[0]) == 98).all()
    other = draw_samples(samples, 4, 150_016, 8, 0.8, names, None)
    differing = np.argwhere((found != other).any(axis=2))
    assert differing[:, 0].max() < rows[0, 0]  # only the seed above
