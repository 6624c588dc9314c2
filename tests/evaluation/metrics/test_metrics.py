import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics import frechet, swd
from celeba_gan.evaluation.metrics.frechet import measure_frechet
from celeba_gan.evaluation.metrics.registry import read_name

SETTINGS = EvaluateSettings(swd_projections=16, swd_patches=4, bootstrap=50)


def pictures(count: int, seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def test_the_sliced_distances_interval_is_as_wide_as_it_varies() -> None:
    found = [swd.measure(pictures(200, 2 * n), pictures(200, 2 * n + 1), SETTINGS) for n in range(30)]
    spread = 2.262 * np.std([one.values["swd"] for one in found], ddof=1)
    reach = np.mean([one.intervals["swd"].high - one.values["swd"] for one in found])
    assert 0.6 * spread < reach < 2.5 * spread


@pytest.mark.parametrize(("dimensions", "method"), [(16, "bootstrap of 50"), (600, "jackknife over 10 parts")])
def test_the_frechet_distances_intervals(dimensions: int, method: str) -> None:
    random = np.random.default_rng(0)
    real, fake = (random.normal(size=(900, dimensions)).astype(np.float32) for _ in range(2))
    found, exact = frechet.measure(real, fake, SETTINGS), measure_frechet(real, fake)
    interval, limit = found.intervals["frechet"], found.intervals["frechet_infinity"]
    assert interval.method == method
    assert found.values == {"frechet": exact.value, "frechet_infinity": exact.of_infinite_sets}
    assert limit.high - limit.low == pytest.approx(2 * 1.96 * exact.standard_error())
    if dimensions > 512:
        assert interval.high - interval.low == pytest.approx(2 * 2.262 * exact.standard_error(10))


def test_which_is_better() -> None:
    names = {"frechet_mine": "less", "swd_32": "less", "c2st_auc": "less", "recall_attributes": "more"}
    names |= {"memorised_attributes": "less", "repeated_attributes": "less"}
    none = ("age", "ms_ssim", "density_attributes", "c2st_auc_train", "c2st_age", "swdx")
    assert {name: read_name(name).direction for name in (*names, *none)} == names | dict.fromkeys(none)
