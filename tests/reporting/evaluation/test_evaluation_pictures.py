import numpy as np

from celeba_gan.reporting.evaluation.pictures import draw_beside_reals, draw_neighbours


def flat(count: int, value: int) -> np.ndarray:
    return np.full((count, 16, 16, 3), value, np.uint8)


def test_samples_stand_left_and_as_many_reals_right() -> None:
    grid = draw_beside_reals(flat(10, 40), flat(20, 200), 1000)
    height, width = grid.pixels.shape[:2]
    left, right = grid.pixels[26:, : width // 2 - 6], grid.pixels[26:, width // 2 + 6 :]  # below the titles
    assert grid.images == 1000
    assert (left == 40).all(axis=2).sum() == (right == 200).all(axis=2).sum() == 10 * 64 * 64
    assert height > 2 * 64


def test_each_sample_stands_before_its_neighbours() -> None:
    samples = np.concatenate([flat(1, 10), flat(1, 20)])
    neighbours = np.stack([np.concatenate([flat(1, 60 + 20 * row), flat(1, 70 + 20 * row)]) for row in range(2)])
    pixels = draw_neighbours((samples, neighbours, ["first", "nearest"]), 5, "Inception").pixels
    for row, values in enumerate([(10, 60, 70), (20, 80, 90)]):
        line = pixels[26 + 2 + row * 66 + 32, :, 0]
        places = [np.flatnonzero((pixels[26 + 2 + row * 66 + 32] == value).all(axis=1)) for value in values]
        assert [len(place) for place in places] == [64, 64, 64], line
        assert places[0].max() < places[1].min() < places[1].max() < places[2].min()


def test_the_picture_names_how_neighbours_were_found() -> None:
    found = flat(2, 10), flat(14, 60).reshape(2, 7, 16, 16, 3), ["sample 1", "sample 2"]
    pixels, other = (draw_neighbours(found, 5, by).pixels for by in ("16x16 pixels", "Inception"))
    assert (pixels[26:] == other[26:]).all()
    assert (pixels[:26] != other[:26]).any()
