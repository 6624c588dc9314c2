"""Two models side by side, measured in the same way on the same reals."""

import math
from collections.abc import Mapping
from typing import Any

from celeba_gan.evaluation.metrics.registry import SHARE, which_is_better

_MUST_AGREE = (
    *("data_digest", "split", "images_per_side", "train_images", "features", "judge_network", "seed", "size"),
    *("centre_crop", "code"),
)


def compare_models(
    label: str, evaluation: Mapping[str, Any], other_label: str, other: Mapping[str, Any]
) -> dict[str, Any]:
    """The section `comparison` of an evaluation.

    A model is better in a metric where the interval of the difference leaves out 0. Both intervals count as if they
    were independent; as both models meet the same reals, that is the careful side. A metric without an interval decides
    nothing, nor does a share, whose interval is about these very balls, or this very judge, and not about others.

    Args:
        label: Names the model.
        evaluation: Its `metrics`, `intervals` and `protocol`.
        other_label: Names the other one.
        other: As `evaluation`.

    Returns:
        `model` and `against`, the names; `rows`, for each metric that both have and of which less or more is better:
        `metric`, `model`, `against`, the interval of their difference from `low` to `high` (None where unknown), and
        which is `better`: `model`, `against` or `neither`.

    Raises:
        ValueError: They were not measured in the same way.
    """
    for name in _MUST_AGREE:
        if evaluation["protocol"][name] != other["protocol"][name]:
            raise ValueError(
                f"{label} and {other_label} were measured in two ways, so their numbers do not compare: {name} is "
                f"{evaluation['protocol'][name]} and {other['protocol'][name]}"
            )
    rows = []
    for metric, value in evaluation["metrics"].items():
        better = which_is_better(metric)
        if better is None or metric not in other["metrics"]:
            continue
        against = other["metrics"][metric]
        low, high = _difference(metric, value - against, evaluation["intervals"], other["intervals"])
        winner = "neither"
        if low is not None and high is not None and (low > 0 or high < 0):
            winner = "model" if (high < 0) == (better == "less") else "against"
        rows.append({"metric": metric, "model": value, "against": against, "low": low, "high": high, "better": winner})
    return {"model": label, "against": other_label, "rows": rows}


def _difference(
    metric: str, difference: float, of_one: Mapping[str, Any], of_other: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    if any(metric not in one or one[metric]["method"] == SHARE for one in (of_one, of_other)):
        return None, None
    reach = math.hypot(*((one[metric]["high"] - one[metric]["low"]) / 2 for one in (of_one, of_other)))
    return difference - reach, difference + reach
