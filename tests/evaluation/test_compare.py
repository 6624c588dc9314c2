from typing import Any

import pytest
from stored import stored_evaluation

from celeba_gan.evaluation.compare import compare_models
from celeba_gan.evaluation.documents import Comparison, Evaluation

PARTS = {
    "data_digest": "other",
    "split": "valid",
    "images_per_side": 5,
    "train_images": 5,
    "features": {"attributes": "other"},
    "judge_network": "other",
    "seed": 5,
    "size": 5,
    "centre_crop": 5,
    "code": "other",
    "neighbours": 3,
    "swd_projections": 5,
}


def evaluation(**metrics: tuple[float, float]) -> dict[str, Any]:
    """Values with half the width of their interval; 0: none."""
    return stored_evaluation() | {
        "metrics": {name: value for name, (value, _) in metrics.items()},
        "intervals": {
            name: {"low": value - reach, "high": value + reach, "method": "m"}
            for name, (value, reach) in metrics.items()
            if reach
        },
        "comparison": None,
    }


def compare(label: str, one: dict[str, Any], other_label: str, other: dict[str, Any]) -> Comparison:
    return compare_models(
        label, Evaluation.from_json(one, label), other_label, Evaluation.from_json(other, other_label)
    )


def test_the_interval_of_the_difference_decides() -> None:
    one = evaluation(frechet_attributes=(10, 3), kernel_distance_attributes=(9, 0.3), swd=(5, 0), age=(0.5, 0.1))
    other = evaluation(frechet_attributes=(14, 4), kernel_distance_attributes=(10, 0.4), swd=(9, 0), age=(0.1, 0.1))
    found = compare("a", one, "b", other)
    assert (found.model, found.against) == ("a", "b")
    frechet, kernel, swd = found.rows  # AGE ranks no models
    assert frechet.model_dump() == {
        "metric": "frechet_attributes", "model": 10, "against": 14, "low": -9, "high": 1, "better": "neither"
    }  # fmt: skip
    assert kernel.high == pytest.approx(-0.5)
    assert kernel.better == "model"
    assert (swd.low, swd.better) == (None, "neither")
    back = compare("b", other, "a", one).rows
    assert [row.better for row in back] == ["neither", "against", "neither"]


@pytest.mark.parametrize(("value", "better"), [(10, "model"), (18, "against")])
def test_less_is_better_of_distances(value: float, better: str) -> None:
    (row,) = compare("a", evaluation(frechet_attributes=(value, 1)), "b", evaluation(frechet_attributes=(14, 1))).rows
    assert row.better == better


def test_a_share_decides_nothing_since_its_interval_is_about_these_very_radii() -> None:
    one, other = evaluation(recall_attributes=(0.9, 0.01)), evaluation(recall_attributes=(0.5, 0.01))
    assert compare("a", one, "b", other).rows[0].better == "model"
    one["intervals"]["recall_attributes"]["method"] = "Wilson"
    (row,) = compare("a", one, "b", other).rows
    assert (row.low, row.high, row.better) == (None, None, "neither")


@pytest.mark.parametrize("part", PARTS)
def test_numbers_of_two_protocols_are_not_compared(part: str) -> None:
    one, other = evaluation(frechet_attributes=(1, 1)), evaluation(frechet_attributes=(1, 1))
    other["protocol"][part] = PARTS[part]
    with pytest.raises(ValueError, match=f"{part} is .+ and (other|valid|5|3)"):
        compare("a", one, "b", other)


def test_features_of_other_metrics_need_not_agree() -> None:
    one, other = evaluation(swd=(1, 0.1)), evaluation(swd=(2, 0.1))
    other["protocol"]["features"] = {"attributes": "other"}
    assert compare("a", one, "b", other).rows[0].better == "model"
