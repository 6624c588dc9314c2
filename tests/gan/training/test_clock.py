"""The clock's arithmetic, against walking through a training iteration by iteration."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.clock import Clock
from celeba_gan.gan.training.loop import train

MakeSettings = Callable[..., TrainSettings]
TICKS = [0.016, 0.05, 0.08, 0.1, 0.112, 0.2, 1.7]
LENGTHS = [0.001, 0.016, 0.25, 0.32, 0.333, 0.8]


def ticks_by_walking(settings: TrainSettings) -> list[int]:
    """Iteration by iteration: a tick ends with the first that reaches another multiple of its length, or the end."""
    images, reached, ticks = 0, 0, []
    while images < settings.kimg * 1000:
        images += settings.images_per_iteration
        multiples = int(images // (settings.tick_kimg * 1000))
        if multiples > reached or images >= settings.kimg * 1000:
            ticks.append(images)
        reached = multiples
    return ticks


def measured_by_walking(settings: TrainSettings, every: float, total: int) -> list[int]:
    """The ticks at or after each multiple, without that at the end."""
    due, target, tick_end = [], every * 1000, settings.tick_kimg * 1000
    for images in range(settings.images_per_iteration, total + 1, settings.images_per_iteration):
        if images >= tick_end:
            if tick_end >= target:
                due.append(images)
            while target <= tick_end:
                target += every * 1000
            while tick_end <= images:
                tick_end += settings.tick_kimg * 1000
    return due


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("kimg", LENGTHS)
@pytest.mark.parametrize("n_critic", [1, 2])
def test_ticks_are_where_walking_finds_them(
    make_settings: MakeSettings, tick: float, kimg: float, n_critic: int
) -> None:
    settings = make_settings(kimg=kimg, tick_kimg=tick, n_critic=n_critic)
    clock, expected = Clock.of(settings), ticks_by_walking(settings)
    assert clock.length == expected[-1]
    assert clock.length - clock.iteration < kimg * 1000 <= clock.length
    found, images = [], 0
    while images < clock.length:
        images = clock.next_tick(images)
        found.append(images)
    assert found == expected
    for images in range(0, clock.length, clock.iteration):  # a run that was stopped is resumed anywhere
        left = [end for end in expected if end > images]
        assert clock.next_tick(images) == left[0]
        assert clock.ticks_after(images) == len(left)
    assert clock.ticks_after(clock.length) == clock.ticks_after(clock.length + clock.iteration) == 0


@pytest.mark.parametrize("changes", [{}, {"kimg": 0.25, "tick_kimg": 0.1}, {"kimg": 0.1, "tick_kimg": 0.5}])
def test_training_ticks_by_the_clock(
    images: TrainingImages, make_settings: MakeSettings, changes: dict[str, float]
) -> None:
    settings = make_settings(**changes)
    clock = Clock.of(settings)
    ticks = [tick.images for tick in train(images, settings)]
    assert all(clock.next_tick(before) == after for before, after in pairwise(ticks))
    assert (ticks[0], ticks[-1], len(ticks)) == (0, clock.length, clock.ticks_after(0) + 1)


@pytest.mark.parametrize("tick", TICKS[:-2])
@pytest.mark.parametrize("every", [0.004, 0.05, 0.1, 0.16, 0.35, 1.0])
def test_the_tick_at_or_after_each_multiple_is_measured(make_settings: MakeSettings, tick: float, every: float) -> None:
    settings = make_settings(kimg=100, tick_kimg=tick, evaluate_every_kimg=every)
    clock = Clock.of(settings)
    expected = measured_by_walking(settings, every, 4000)
    assert expected
    assert [images for images in range(0, 4001, clock.iteration) if clock.is_measured(images)] == expected


def test_the_last_tick_is_measured_the_first_never_and_nothing_where_none_is_requested(
    make_settings: MakeSettings,
) -> None:
    clock = Clock.of(make_settings(kimg=1.6, evaluate_every_kimg=50))
    assert [images for images in range(0, 1617, 16) if clock.is_measured(images)] == [1600, 1616]
    without = Clock.of(make_settings(kimg=1.6, evaluate_every_kimg=None))
    assert not any(without.is_measured(images) for images in range(0, 1617, 16))
