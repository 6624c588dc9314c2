from typing import Any

import pytest

from celeba_gan.evaluation.compare import compare_models

PARTS = (
    *("data_digest", "split", "images_per_side", "train_images", "features", "judge_network", "seed", "size"),
    *("centre_crop", "code"),
)
PROTOCOL = dict.fromkeys(PARTS, "same")


def evaluation(**metrics: tuple[float, float]) -> dict[str, Any]:
    """Values with half the width of their interval; 0: none."""
    return {
        "metrics": {name: value for name, (value, _) in metrics.items()},
        "intervals": {
            name: {"low": value - reach, "high": value + reach, "method": "m"}
            for name, (value, reach) in metrics.items()
            if reach
        },
        "protocol": PROTOCOL,
    }


def test_the_interval_of_the_difference_decides() -> None:
    one = evaluation(frechet_attributes=(10, 3), precision_attributes=(0.9, 0.03), swd=(5, 0), age=(0.5, 0.1))
    other = evaluation(frechet_attributes=(14, 4), precision_attributes=(0.8, 0.04), swd=(9, 0), age=(0.1, 0.1))
    found = compare_models("a", one, "b", other)
    assert (found["model"], found["against"]) == ("a", "b")
    frechet, precision, swd = found["rows"]  # of AGE neither less nor more is better
    assert frechet == {
        "metric": "frechet_attributes", "model": 10, "against": 14, "low": -9, "high": 1, "better": "neither"
    }  # fmt: skip
    assert precision["low"] == pytest.approx(0.05)
    assert precision["better"] == "model"
    assert (swd["low"], swd["better"]) == (None, "neither")
    back = compare_models("b", other, "a", one)["rows"]
    assert [row["better"] for row in back] == ["neither", "against", "neither"]


def test_less_is_better_of_distances() -> None:
    rows = compare_models("a", evaluation(frechet_x=(10, 1)), "b", evaluation(frechet_x=(14, 1)))["rows"]
    assert rows[0]["better"] == "model"
    rows = compare_models("a", evaluation(frechet_x=(18, 1)), "b", evaluation(frechet_x=(14, 1)))["rows"]
    assert rows[0]["better"] == "against"


def test_a_share_decides_nothing_since_its_interval_is_about_these_very_balls() -> None:
    one, other = evaluation(recall_x=(0.9, 0.01)), evaluation(recall_x=(0.5, 0.01))
    assert compare_models("a", one, "b", other)["rows"][0]["better"] == "model"
    one["intervals"]["recall_x"]["method"] = "Wilson"
    (row,) = compare_models("a", one, "b", other)["rows"]
    assert (row["low"], row["high"], row["better"]) == (None, None, "neither")


@pytest.mark.parametrize("part", PARTS)
def test_numbers_of_two_protocols_do_not_compare(part: str) -> None:
    other = evaluation(swd=(1, 1)) | {"protocol": PROTOCOL | {part: 5}}
    with pytest.raises(ValueError, match=f"{part} is same and 5"):
        compare_models("a", evaluation(swd=(1, 1)), "b", other)
