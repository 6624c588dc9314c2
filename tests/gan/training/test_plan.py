"""What is planned is what training then does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.runtime.hardware import HardwareError
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, TrainingError, train
from celeba_gan.gan.training.plan import Plan, plan

Make = Callable[..., TrainSettings]


def quick(settings: TrainSettings, size: int = 16, **known: Any) -> Plan:
    return plan(settings, size, **{"seconds": 0.0, **known})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"kimg": 0.1, "tick_kimg": 0.03},  # neither is whole iterations
        {"kimg": 0.05, "tick_kimg": 0.5},
        {"kimg": 0.16, "tick_kimg": 0.016, "n_critic": 1},
    ],
)
def test_images_and_ticks_are_those_of_the_training(changes: dict[str, Any], make_settings: Make, images: Any) -> None:
    settings = make_settings(**changes)
    ticks = list(train(images, settings))
    schedule = quick(settings, images=images).schedule
    assert schedule.images == schedule.left == ticks[-1].images
    assert schedule.ticks == len(ticks) - 1  # the first one is that of the untrained networks
    assert schedule.iterations == ticks[-1].snapshot.card.iteration
    assert schedule.epochs == pytest.approx(ticks[-1].images / 80)


def first_ticks(images: Any, settings: TrainSettings, count: int) -> Tick:
    stream = train(images, settings)
    ticks = [next(stream) for _ in range(count)]
    stream.close()  # type: ignore[attr-defined]
    return ticks[-1]


def test_a_snapshot_leaves_the_rest_to_be_done(make_settings: Make, images: Any) -> None:
    settings = make_settings()
    tick = first_ticks(images, settings, 2)
    result = quick(settings, images=images, resumed=tick.snapshot.card)
    assert result.schedule.done == tick.images == 80
    assert (result.schedule.left, result.schedule.iterations, result.schedule.ticks) == (240, 15, 3)
    assert result.speed is not None
    assert result.seconds == pytest.approx(240 / result.speed.images_per_second)

    finished = quick(make_settings(kimg=0.08), images=images, resumed=tick.snapshot.card)
    assert (finished.schedule.left, finished.schedule.ticks, finished.speed, finished.seconds) == (0, 0, None, 0.0)


def test_values_are_those_of_the_schedules(make_settings: Make) -> None:
    settings = make_settings(
        kimg=1.6,
        generator_optimizer={
            "learning_rate": 0.01,
            "schedule": {"name": "linear", "warm_up_kimg": 0.032, "end_kimg": 1.6, "final": 0.5},
        },
        penalty={"schedule": {"name": "cosine", "end_kimg": 1.6, "final": 0.1}},
    )
    generator, discriminator, penalty = quick(settings).schedule.values
    assert generator.start == pytest.approx(0.005)  # after one of the two iterations of the warm-up
    assert generator.end == pytest.approx(0.005)
    assert discriminator.start == discriminator.middle == discriminator.end
    assert penalty.start != penalty.end
    assert penalty.middle == pytest.approx(0.55)
    assert penalty.end == pytest.approx(0.1)


def test_networks_are_those_that_training_builds(make_settings: Make, images: Any) -> None:
    settings = make_settings(condition={"name": "class"})
    conditions = Conditions("class", ["a", "b", "c"], torch.arange(100).numpy() % 3)
    (tick,) = [next(train(images, settings, conditions=conditions))]
    result = quick(settings, classes=3)
    assert tick.networks.discriminator is not None
    for table, network in (
        (result.generator, tick.networks.generator),
        (result.discriminator, tick.networks.discriminator),
    ):
        assert table.parameters == sum(tensor.numel() for tensor in network.tensors.values())
    assert result.generator.layers[-1].shape == (3, 16, 16)


@pytest.mark.slow
def test_memory_counts_training_images_only_where_they_stay_on_the_device(make_settings: Make, images: Any) -> None:
    assert quick(make_settings(), images=images).memory.resident == 0
    assert quick(make_settings(data="resident"), images=images).memory.resident == 80 * 16 * 16 * 3
    assert quick(make_settings(data="resident")).memory.resident == 0  # not packed yet


def test_it_fits_where_the_free_memory_holds_all_of_it(make_settings: Make) -> None:
    result = quick(make_settings())
    assert result.free is None
    assert result.fits
    assert replace(result, free=result.memory.total).fits
    assert not replace(result, free=result.memory.total - 1).fits


@pytest.mark.slow
def test_where_time_or_memory_is_short_it_says_what_was_measured(make_settings: Make) -> None:
    settings = make_settings(batch_size=24, tick_kimg=0.1)
    for result in (quick(settings), plan(settings, 16, seconds=60.0, free=1)):
        assert result.speed is not None
        assert result.memory.measured == result.speed.batch_size == 1
    whole = plan(settings, 16, seconds=60.0)
    assert whole.speed is not None
    assert whole.memory.measured == whole.speed.batch_size == 24
    assert whole.seconds == whole.schedule.left / whole.speed.images_per_second


@pytest.mark.slow
def test_hardware_is_that_of_the_training(make_settings: Make, images: Any) -> None:
    settings = make_settings(precision="auto")
    card = first_ticks(images, settings, 1).snapshot.card
    other = card.model_copy(update={"hardware": card.hardware.model_copy(update={"precision": "float32"})})
    for resumed in (None, card, other):
        planned = quick(settings, images=images, resumed=resumed).hardware
        snapshot = None if resumed is None else replace(first_ticks(images, settings, 1).snapshot, card=resumed)
        *_, trained = train(images, settings, snapshot)
        assert planned.card() == trained.snapshot.card.hardware


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"device": "cuda"}, HardwareError), ({"random_crop": 64}, NetworkError), ({"seed": 5}, TrainingError)],
)
def test_what_training_refuses_is_refused_in_the_same_words(
    changes: dict[str, Any], error: type[Exception], make_settings: Make, images: Any
) -> None:
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has it")
    state = first_ticks(images, make_settings(), 1).snapshot
    with pytest.raises(error) as said_by_training:
        next(train(images, make_settings(**changes), state))
    for known in (images, None):
        with pytest.raises(error) as said_by_plan:
            quick(make_settings(**changes), images=known, resumed=state.card)
        assert str(said_by_plan.value) == str(said_by_training.value)


def test_other_images_and_labels_than_the_snapshots_are_refused(
    make_settings: Make, images: Any, images_at: Callable[[int], Any]
) -> None:
    state = first_ticks(images, make_settings(), 1).snapshot
    other = images_at(16)
    other.digest = "of other photographs"
    with pytest.raises(TrainingError, match="packed images: digest"):
        quick(make_settings(), images=other, resumed=state.card)
    with pytest.raises(TrainingError, match="labels: none in the snapshot"):
        quick(make_settings(condition={"name": "class"}), resumed=state.card, classes=2)
    conditions = Conditions("class", ["a", "b"], torch.arange(100).numpy() % 2)
    settings = make_settings(condition={"name": "class"})
    labelled = next(train(images, settings, conditions=conditions)).snapshot
    quick(settings, images=images, resumed=labelled.card, classes=2)
    with pytest.raises(TrainingError, match="labels: a, b in the snapshot, none now"):
        quick(make_settings(), images=images, resumed=labelled.card)
