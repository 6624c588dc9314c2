import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.ms_ssim import similarity_within


def smooth(count: int, size: int, seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))
    return coarse.repeat(size // 4, 1).repeat(size // 4, 2).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 32, 64, 176])
def test_equal_images_have_everything_in_common(size: int) -> None:
    images = np.repeat(smooth(1, size, 0), 8, axis=0)
    assert similarity_within(images, 20, seed=0) == pytest.approx(1, abs=1e-4)


def test_varied_images_have_little_in_common_and_a_collapse_shows() -> None:
    varied = smooth(64, 64, 0)
    collapsed = np.concatenate([varied[:8]] * 8)
    assert similarity_within(varied, 200, seed=0) < 0.3
    assert similarity_within(collapsed, 200, seed=0) > similarity_within(varied, 200, seed=0) + 0.05


def test_pairs_are_of_different_images_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from celeba_gan.evaluation.metrics import ms_ssim

    two = smooth(2, 32, 1)
    value = similarity_within(two, 50, seed=0)
    assert value < 0.9  # never an image with itself
    monkeypatch.setattr(ms_ssim, "_BLOCK", 7)
    assert similarity_within(two, 50, seed=0) == pytest.approx(value, rel=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="not 1 of 32"):
        similarity_within(smooth(1, 32, 0), 10, seed=0)
    with pytest.raises(ValueError, match="not 4 of 8"):
        similarity_within(smooth(4, 8, 0), 10, seed=0)
