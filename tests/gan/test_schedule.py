import math
from typing import Any

import pytest
from pydantic import ValidationError

from celeba_gan.gan.schedule import ScheduleSettings, factor


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({}, {0: 1, 9_000: 1}),
        ({"warm_up_kimg": 2}, {0: 0, 500: 0.25, 2_000: 1, 9_000: 1}),
        ({"name": "linear", "end_kimg": 4, "final": 0.5}, {0: 1, 2_000: 0.75, 4_000: 0.5, 9_000: 0.5}),
        ({"name": "linear", "warm_up_kimg": 2, "end_kimg": 6}, {1_000: 0.5, 2_000: 1, 4_000: 0.5, 6_000: 0, 9_000: 0}),
        ({"name": "cosine", "end_kimg": 4, "final": 3}, {0: 1, 1_000: 2 - math.sqrt(0.5), 2_000: 2, 4_000: 3}),
    ],
)
def test_factor_is_its_closed_form(settings: dict[str, Any], values: dict[int, float]) -> None:
    schedule = ScheduleSettings.model_validate(settings)
    assert {shown: factor(schedule, shown) for shown in values} == pytest.approx(values)


@pytest.mark.parametrize("end", [{}, {"end_kimg": 2}])
def test_curves_need_an_end_after_the_warm_up(end: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="schedule cosine needs an end_kimg above warm_up_kimg"):
        ScheduleSettings.model_validate({"name": "cosine", "warm_up_kimg": 2, **end})
