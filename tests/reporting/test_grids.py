import numpy as np
import pytest

from celeba_gan.hooks.errors import message_for_people
from celeba_gan.reporting.grids import GridError, ImageGrid, animate, make_grid


def test_samples_stand_in_reading_order_enlarged_by_a_whole_factor() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    grid = make_grid(samples, images=1000, columns=3, tile=50)  # 3 x 16 = 48
    assert grid.images == 1000
    assert grid.pixels.shape == (2 * 50 + 2, 3 * 50 + 2, 3)
    for index, sample in enumerate(samples):
        row, column = divmod(index, 3)
        top, left = 2 + row * 50, 2 + column * 50
        tile = grid.pixels[top : top + 48, left : left + 48]
        assert np.array_equal(tile, sample.repeat(3, 0).repeat(3, 1))


def test_large_samples_keep_their_size() -> None:
    grid = make_grid(np.zeros((2, 128, 128, 3), np.uint8), images=0, columns=2)
    assert grid.pixels.shape == (132, 262, 3)


def test_animation_keeps_order_captions_progress_and_limits_width() -> None:
    grids = [ImageGrid(images, np.full((100, 1000, 3), 50 + images, np.uint8)) for images in (0, 50, 100)]
    frames = animate(grids, max_width=500)
    assert [frame.size for frame in frames] == [(500, 78)] * 3
    for grid, frame in zip(grids, frames, strict=True):
        assert frame.getpixel((250, 20)) == (50 + grid.images,) * 3
    bars = [sum(frame.getpixel((x, 51)) != (255, 255, 255) for x in range(500)) for frame in frames]
    assert bars[0] <= 1
    assert bars[1] == pytest.approx(250, abs=2)
    assert bars[2] == 500


def test_nothing_to_animate_is_said_without_a_traceback() -> None:
    with pytest.raises(GridError, match="experiment=NAME") as caught:
        animate([])
    assert message_for_people(caught.value) == str(caught.value)


def test_frames_of_several_sizes_are_fitted_to_the_last() -> None:
    small, large = (ImageGrid(i, np.full((50 * (i + 1), 80, 3), 9, np.uint8)) for i in (0, 1))
    assert len({frame.size for frame in animate([small, large])}) == 1


def test_names_stand_before_their_rows() -> None:
    samples = np.zeros((6, 32, 32, 3), np.uint8)
    plain = make_grid(samples, images=0, columns=2).pixels
    named = make_grid(samples, images=0, columns=2, names=["Hat", "", "not Hat + not Smiling"]).pixels
    margin = named.shape[1] - plain.shape[1]
    assert np.array_equal(named[:, margin:], plain)
    rows = [(row < 128).any() for row in np.array_split(named[:, :margin], 3)]
    assert rows == [True, False, True]
