import logging

import pytest

from celeba_gan.reporting.training.progress import TrainingProgress


@pytest.mark.parametrize(
    ("measured", "end"), [({}, "images/s"), ({"swd_absolute_valid": 11.53}, "images/s  swd_absolute_valid 11.53")]
)
def test_a_tick_is_a_line_with_the_distance_where_it_was_measured(
    measured: dict[str, float], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"discriminator_loss": -1.0, "generator_loss": 2.0, "images_per_second": 300.0}
    with caplog.at_level(logging.INFO, "celeba_gan.reporting.training.progress"):
        TrainingProgress().tick(10_000, [row | {"swd_absolute_valid": 99.0}, row | measured])
    (line,) = caplog.messages
    assert line.split()[:2] == ["10.00", "kimg"]
    assert line.endswith(end)
