import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from celeba_gan.evaluation.metrics.two_sample import Sides, two_sample_test


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1)
        )

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images).flatten()
        return scores


def pictures(count: int, seed: int, brightness: float = 0.0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    coarse = random.normal(128, 40, (count, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + brightness + random.normal(0, 5, (count, 16, 16, 3)), 0, 255).astype(np.uint8)


def small() -> Small:
    torch.manual_seed(0)
    network = Small()
    network(torch.zeros(1, 3, 16, 16))
    return network


def measured(brightness: float, fakes: int = 300) -> dict[str, float]:
    sides = [Sides(pictures(300, seed), pictures(fakes, seed + 100, brightness)) for seed in (1, 2, 3)]
    return two_sample_test(small(), *sides, steps=60)


def test_one_source_cannot_be_told_apart_and_the_classifier_knows_that_it_cannot() -> None:
    found = measured(0)
    assert found["c2st_accuracy"] == pytest.approx(0.5, abs=0.06)
    assert found["c2st_auc"] == pytest.approx(0.5, abs=0.07)
    assert found["c2st_age"] == pytest.approx(0.5, abs=0.05)
    for name in ("accuracy", "auc"):
        assert found[f"c2st_{name}_train"] > found[f"c2st_{name}"]  # what it has learnt by heart
        assert found[f"c2st_{name}_choose"] == pytest.approx(0.5, abs=0.12)


def test_a_visible_difference_is_seen_and_a_greater_one_better() -> None:
    slight, plain = measured(8), measured(60)
    assert plain["c2st_auc"] > 0.95
    assert plain["c2st_auc"] > slight["c2st_auc"] > 0.5
    assert plain["c2st_age"] < slight["c2st_age"]


def test_sides_of_different_sizes_count_the_same() -> None:
    assert measured(0, fakes=900)["c2st_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert measured(20) == measured(20)


def test_an_empty_side_is_refused() -> None:
    sides = Sides(pictures(4, 0), pictures(0, 0))
    with pytest.raises(ValueError, match="to test on"):
        two_sample_test(Small(), sides, sides, sides)


@pytest.mark.parametrize(("images", "expected"), [(80, 12), (640, 10)])
def test_its_work_is_bounded_whatever_the_number_of_images(images: int, expected: int) -> None:
    """Of 10 steps: four whole epochs of three steps; or half an epoch of twenty."""
    few, train = Sides(pictures(80, 0), pictures(80, 1)), Sides(pictures(images, 2), pictures(images, 3))
    steps: list[tuple[int, int]] = []
    two_sample_test(small(), train, few, few, steps=10, patience=9, progress=lambda *step: steps.append(step))
    assert steps == [(step, expected) for step in [*range(1, expected + 1), expected]]


def test_its_progress_ends_full_although_it_stops_early() -> None:
    noise, steps = Sides(pictures(64, 0), pictures(64, 1)), list[tuple[int, int]]()
    two_sample_test(small(), noise, noise, noise, steps=100, patience=1, progress=lambda *step: steps.append(step))
    assert steps[-1] == (100, 100)
