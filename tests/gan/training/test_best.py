import copy
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.cards import BestTick, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.best import METRIC, Best, Sample
from celeba_gan.gan.training.loop import Tick, train

pytestmark = pytest.mark.usefixtures("two_iterations_a_tick")
MakeSettings = Callable[..., TrainSettings]


class Scripted:
    """Says what it is told to, and remembers the samples it was given."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)
        self.seen: list[NDArray[np.uint8]] = []

    def __call__(self, sample: Sample) -> dict[str, float]:
        self.seen.append(sample(5, 3))
        return {METRIC: self.values.pop(0), "floor": 1.0}


def run(
    images: TrainingImages,
    settings: TrainSettings,
    measure: Any = None,
    resumed: Snapshot | None = None,
    conditions: Conditions | None = None,
) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    return [
        replace(tick, snapshot=copy.deepcopy(tick.snapshot))
        for tick in train(images, settings, resumed, None, conditions, measure)
    ]


def through_disk(snapshot: Snapshot, folder: Path) -> Snapshot:
    snapshot.save(folder / "state.safetensors")
    return Checkpoint.load(folder / "state.safetensors", SNAPSHOT, RunCard)


def measured(ticks: list[Tick]) -> dict[int, float]:
    return {
        tick.images: tick.rows[-1]["swd_absolute_valid"]
        for tick in ticks
        if tick.rows and "swd_absolute_valid" in tick.rows[-1]
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "float32"},
        {"precision": "bfloat16"},
        {"precision": "float32", "augment": {"name": "ada"}, "objective": {"name": "non_saturating"}},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values() if isinstance(value, str)) or "ada",
)
def test_measuring_does_not_change_the_weights(
    images: TrainingImages, make_settings: MakeSettings, changes: dict[str, Any]
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08, **changes)
    torch.manual_seed(1)
    without = run(images, settings)[-1]
    torch.manual_seed(1)
    with_it = run(images, settings, Scripted(4, 3, 2, 1))[-1]
    assert without.snapshot.tensors.keys() == with_it.snapshot.tensors.keys()
    assert all(torch.equal(tensor, with_it.snapshot.tensors[name]) for name, tensor in without.snapshot.tensors.items())
    assert np.array_equal(without.samples, with_it.samples)
    assert without.rows[-1].keys() | {"swd_absolute_valid", "floor"} == with_it.rows[-1].keys()


def test_articles_batch_statistics_are_left_alone(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings
) -> None:
    settings = make_settings(
        network={"name": "article", "article": {"width": 16}},
        batch_size=2,
        kimg=0.008,
        tick_kimg=0.004,
        evaluate_every_kimg=0.004,
    )
    without, with_it = run(images_at(112), settings)[-1], run(images_at(112), settings, Scripted(2, 1))[-1]
    assert all(torch.equal(tensor, with_it.snapshot.tensors[name]) for name, tensor in without.snapshot.tensors.items())


def test_samples_are_those_of_the_averaged_generator_with_draws_of_their_own(
    images: TrainingImages, make_settings: MakeSettings
) -> None:
    measure = Scripted(3, 2, 1)
    kinds = np.arange(100) % 3
    settings = make_settings(precision="float32", evaluate_every_kimg=0.1, condition={"name": "class"})
    ticks = run(images, settings, measure, conditions=Conditions("class", ("a", "b", "c"), kinds))
    assert [tick.images for tick in ticks if tick.images in measured(ticks)] == [160, 240, 320]
    for tick, seen in zip(ticks[2:], measure.seen, strict=True):
        expected = TrainedGenerator(tick.networks.generator).sample(5, 3)
        assert seen.dtype == np.uint8
        assert np.abs(seen.astype(int) - expected).max() <= 1  # batches of another size round otherwise
    assert not np.array_equal(measure.seen[0], measure.seen[-1])


def test_stopped_run_is_measured_at_the_same_places(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """The tick saved on the way out is not measured, although it lies behind a multiple."""
    settings = make_settings(evaluate_every_kimg=0.1)
    undisturbed = run(images, settings, Scripted(5, 6, 4))

    def interrupt(shown: int, total: int) -> None:
        if shown == 120:
            os.kill(os.getpid(), signal.SIGINT)

    stopped: list[Tick] = []
    with pytest.raises(KeyboardInterrupt):
        for tick in train(images, settings, None, interrupt, None, Scripted()):
            stopped.append(replace(tick, snapshot=copy.deepcopy(tick.snapshot)))
    assert (stopped[-1].images, measured(stopped)) == (120, {})
    resumed = run(images, settings, Scripted(5, 6, 4), through_disk(stopped[-1].snapshot, tmp_path))
    assert measured(resumed) == measured(undisturbed) == {160: 5, 240: 6, 320: 4}
    assert resumed[-1].snapshot.card.best == undisturbed[-1].snapshot.card.best


@pytest.mark.parametrize("at", [1, 2, 3])
def test_best_tick_is_in_every_card_and_outlives_a_restart(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, at: int
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    values = [7.0, 5.0, float("nan"), 6.0]
    ticks = run(images, settings, Scripted(*values))
    first = BestTick(metric=METRIC, evaluate_images=256, value=7.0, images=80)
    second = BestTick(metric=METRIC, evaluate_images=256, value=5.0, images=160)
    assert [tick.snapshot.card.best for tick in ticks] == [None, first, second, second, second]
    assert all(tick.networks.generator.card.best == tick.snapshot.card.best for tick in ticks)
    assert measured(ticks) == {80: 7, 160: 5, 320: 6}  # what is not finite has no place in a row
    resumed = run(images, settings, Scripted(*values[at:]), through_disk(ticks[at].snapshot, tmp_path))
    assert [tick.snapshot.card.best for tick in resumed] == [tick.snapshot.card.best for tick in ticks[at + 1 :]]


def test_values_measured_in_another_way_are_not_compared(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(evaluate_every_kimg=0.16)
    state = through_disk(run(images, settings, Scripted(1, 2))[2].snapshot, tmp_path)
    with caplog.at_level(logging.WARNING):
        last = run(images, settings.model_copy(update={"evaluate_images": 64}), Scripted(9), state)[-1]
    assert last.snapshot.card.best == BestTick(metric=METRIC, evaluate_images=64, value=9.0, images=320)
    assert "train.evaluate_images was 256, and is 64 now" in caplog.text
    off = run(images, settings.model_copy(update={"evaluate_every_kimg": None, "evaluate_images": 64}), None, state)
    assert off[-1].snapshot.card.best == state.card.best  # nothing is measured, so nothing else was better


def test_finished_training_run_again_measures_nothing(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings(evaluate_every_kimg=0.2)
    last = run(images, settings, Scripted(2, 1))[-1]
    (again,) = run(images, settings, Scripted(), through_disk(last.snapshot, tmp_path))
    assert again.snapshot.card == last.snapshot.card
    other = make_settings(evaluate_every_kimg=0.2, evaluate_images=16)  # a value of another count does not compare
    (again,) = run(images, other, Scripted(), through_disk(last.snapshot, tmp_path))
    assert again.snapshot.card.best == last.snapshot.card.best is not None


def test_keeping_the_best_needs_a_measurement(make_settings: MakeSettings) -> None:
    with pytest.raises(ValueError, match="keep_best needs evaluate_every_kimg"):
        make_settings(keep_best=True, evaluate_every_kimg=None)


@pytest.mark.parametrize("values", [[3.0, 2.0, 2.0, 5.0, 1.0], [float("inf"), float("nan"), 4.0], [float("nan")]])
def test_best_is_the_first_of_the_lowest_finite_values(values: list[float]) -> None:
    best = Best(64, None, measured=True)
    for number, value in enumerate(values):
        best.compare({METRIC: value, "floor": -1.0}, images=number)
    finite = [(value, number) for number, value in enumerate(values) if np.isfinite(value)]
    expected = min(finite, default=None)
    assert (None if best.card is None else (best.card.value, best.card.images)) == expected
