"""The film of a walk shows every image, and where it is between the stops."""

import numpy as np
import pytest

from celeba_gan.reporting.films import film_walk

SIZE, STOPS, FRAMES = 120, 3, 12


@pytest.fixture
def images() -> np.ndarray:
    return np.stack([np.full((8, 8, 3), 20 * number, np.uint8) for number in range(FRAMES)])


def test_every_image_fills_its_frame(images: np.ndarray) -> None:
    film = film_walk([images[:5], images[5:]], images[::4], ["a", "b", "c"], "seed 0", SIZE, 50, ["gif"])
    assert (len(film.frames), film.frame_ms, film.last_frame_ms, film.formats) == (FRAMES, 50, 50, ("gif",))
    for frame, image in zip(film.frames, images, strict=True):
        assert frame.width == SIZE
        assert (np.asarray(frame)[:SIZE] == image[0, 0]).all()


def test_bars_show_how_near_each_stop_is(images: np.ndarray) -> None:
    film = film_walk([images], images[::4], ["a", "b", "c"], "seed 0", SIZE, 50, ["gif"])
    is_bar = [(np.asarray(frame)[SIZE:] == (68, 119, 170)).all(axis=2).any(axis=0) for frame in film.frames]
    thirds = [[part.sum() for part in np.array_split(row, 3)] for row in is_bar]
    longest = max(map(max, thirds))
    assert longest > SIZE / STOPS * 0.8
    for number, lengths in enumerate(thirds):
        place = number * STOPS / FRAMES
        for stop, length in enumerate(lengths):
            apart = min(abs(place - stop), STOPS - abs(place - stop))
            assert length == pytest.approx(longest * max(0.0, 1 - apart), abs=2)
