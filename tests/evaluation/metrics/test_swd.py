import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.swd import _double, _halve, sliced_wasserstein

Images = NDArray[np.uint8]


def pictures(count: int, size: int, seed: int = 0) -> Images:
    """Smooth random pictures."""
    noise = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 255
    smooth = F.interpolate(noise, size=(size, size), mode="bicubic", antialias=True).clamp(0, 255)
    return smooth.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def distance(first: Images, second: Images, **changes: int) -> dict[str, float]:
    return sliced_wasserstein(first, second, **({"projections": 64, "patches": 16, "seed": 0} | changes))


@pytest.mark.parametrize("size", [16, 32, 50, 64, 112])
def test_a_set_is_at_distance_zero_from_itself(size: int) -> None:
    images = pictures(10, size)
    assert set(distance(images, images).values()) == {0.0}


def test_scales_run_down_to_sixteen_pixels() -> None:
    result = distance(pictures(10, 64), pictures(10, 64, seed=1))
    assert list(result) == ["swd", "swd_absolute", "swd_64", "swd_32", "swd_16"]
    assert result["swd"] == pytest.approx(np.mean([result["swd_64"], result["swd_32"], result["swd_16"]]))


def test_distance_grows_with_noise_and_exceeds_that_between_equal_sources() -> None:
    first, second = pictures(100, 32), pictures(100, 32, seed=1)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=second.shape)
    swd = [
        distance(first, np.clip(second + strength * noise, 0, 255).astype(np.uint8))["swd_32"]
        for strength in (0, 5, 15, 40)
    ]
    assert swd == sorted(swd)
    assert swd[-1] > 2 * swd[0]


def test_blur_shows_at_the_finest_scale() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    other = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    blurred = _double(_halve(torch.from_numpy(other).permute(0, 3, 1, 2).float()))
    blurred = blurred.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    # The blurred set is normalised to unit deviation too, so it is its correlations that differ.
    assert distance(sharp, blurred)["swd_32"] > 2 * distance(sharp, other)["swd_32"]


def test_distance_equals_brute_force_on_one_scale() -> None:
    """At 16 pixels there is one scale, the picture itself: take the patches and project by hand."""
    first, second = pictures(5, 16), pictures(5, 16, seed=1)
    generator = torch.Generator().manual_seed(3)
    corners = torch.randint(0, 16 - 7 + 1, (2, 5, 4), generator=generator).tolist()
    directions = torch.randn(147, 20, generator=generator).numpy()
    directions = directions / np.linalg.norm(directions, axis=0)

    def cut(images: Images) -> NDArray[np.float64]:
        return np.array(
            [
                images[i, top : top + 7, left : left + 7].transpose(2, 0, 1)
                for i in range(5)
                for top, left in zip(corners[0][i], corners[1][i], strict=True)
            ],
            float,
        )

    def projected(images: Images, like: Images) -> NDArray[np.float64]:
        scale = cut(like)
        patches = (cut(images) - scale.mean((0, 2, 3), keepdims=True)) / scale.std((0, 2, 3), keepdims=True, ddof=1)
        return np.sort(patches.reshape(20, -1) @ directions, axis=0)

    ours = sliced_wasserstein(first, second, projections=20, patches=4, seed=3)
    for name, like in (("swd", second), ("swd_absolute", first)):
        expected = np.abs(projected(first, first) - projected(second, like)).mean() * 1000
        assert ours[name] == pytest.approx(expected, rel=1e-5)


def test_the_absolute_reading_sees_colour_and_contrast_which_the_papers_forgives() -> None:
    first, second = pictures(100, 32), pictures(100, 32, seed=1)
    plain = distance(first, second)
    for spoilt in (second // 2 + 64, (second * [1, 0.8, 0.8]).astype(np.uint8), second - np.minimum(second, 25)):
        found = distance(first, spoilt)
        assert found["swd"] < 1.6 * plain["swd"]
        assert found["swd_absolute"] > 2 * plain["swd_absolute"]


@pytest.mark.parametrize("other", ["black", "gray", "flat", "pictures"])
@pytest.mark.parametrize("one", ["black", "gray", "flat", "equal"])
def test_sets_without_variation_are_compared_in_gray_levels(one: str, other: str) -> None:
    flat = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3), dtype=np.uint8)
    sets = {
        "black": np.zeros((20, 32, 32, 3), np.uint8),
        "gray": np.full((20, 32, 32, 3), 200, np.uint8),
        "flat": flat.repeat(32, axis=1).repeat(32, axis=2),
        "equal": pictures(1, 32).repeat(20, axis=0),
        "pictures": pictures(20, 32),
    }
    found = distance(sets[one], sets[other])
    assert max(found.values()) < 1000 * 255 * 7 * 3**0.5  # black and white: a direction has a sum of 7 * 3**0.5 at most
    assert (found["swd_absolute"] == pytest.approx(0, abs=1)) == (one == other)


def test_equal_steps_between_sets_of_one_colour_are_equal() -> None:
    black, dark, bright = (np.full((10, 16, 16, 3), level, np.uint8) for level in (0, 10, 20))
    near, far = (distance(black, images)["swd_absolute"] for images in (dark, bright))
    assert far == pytest.approx(2 * near)
    assert near > 1000


def test_unequal_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="two sets of one shape"):
        distance(pictures(4, 16), pictures(5, 16))
