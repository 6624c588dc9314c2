"""Augmentation in the loop: exact on resume, whatever the micro-batch, and steered."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.gan.inputs.feed import FeedError, TrainingImages
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, TrainingError, train

MakeSettings = Callable[..., TrainSettings]
ADA: dict[str, Any] = {"name": "ada", "ada": {"interval": 2, "speed_kimg": 0.1}}
VARIANTS: dict[str, dict[str, Any]] = {
    "diffaugment": {"augment": {"name": "diffaugment"}},
    "ada of fixed p": {"augment": {"name": "ada", "ada": {"p": 0.5}}},
    "steered ada": {"augment": ADA, "objective": {"name": "non_saturating"}},
    "ada steered by valid": {"augment": ADA, "objective": {"name": "wgan"}},
}


def run(images: TrainingImages, settings: TrainSettings, resumed: Snapshot | None = None) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    return [replace(tick, snapshot=copy.deepcopy(tick.snapshot)) for tick in train(images, settings, resumed)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_run_is_bit_identical(images: TrainingImages, make_settings: MakeSettings, variant: str) -> None:
    settings = make_settings(**VARIANTS[variant])
    whole = run(images, settings)
    resumed = run(images, settings, copy.deepcopy(whole[2].snapshot))
    assert whole[-1].snapshot.tensors.keys() == resumed[-1].snapshot.tensors.keys()
    for name, tensor in whole[-1].snapshot.tensors.items():
        assert torch.equal(tensor, resumed[-1].snapshot.tensors[name]), name


def test_what_is_augmented_trains_to_other_weights(images: TrainingImages, make_settings: MakeSettings) -> None:
    plain = run(images, make_settings(kimg=0.08))[-1].snapshot.tensors
    for variant in ("diffaugment", "ada of fixed p"):
        changed = run(images, make_settings(kimg=0.08, **VARIANTS[variant]))[-1].snapshot.tensors
        same = [torch.equal(plain[name], changed[name]) for name in plain if name.startswith("discriminator.")]
        assert not all(same)


def test_augmentation_does_not_depend_on_the_micro_batch(images: TrainingImages, make_settings: MakeSettings) -> None:
    common: dict[str, Any] = {"precision": "float32", "n_critic": 1, "kimg": 0.008, "tick_kimg": 0.008}
    for variant in ("diffaugment", "ada of fixed p"):
        whole, split = (
            run(images, make_settings(**common, **VARIANTS[variant], micro_batch=size))[-1].rows[0] for size in (8, 2)
        )
        for name in ("discriminator_gradient", "discriminator_loss", "generator_loss", "penalty"):
            assert split[name] == pytest.approx(whole[name], rel=2e-4), name


@pytest.mark.slow
def test_p_is_steered_and_logged(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(**VARIANTS["steered ada"], discriminator_optimizer={"learning_rate": 0.002}, kimg=1.6)
    ticks = run(images, settings)
    values = [row["augment_p"] for tick in ticks for row in tick.rows]
    assert values[0] < 0.5
    assert max(values) > 0  # the discriminator soon knows eighty images
    assert ticks[-1].snapshot.tensors["augment.p"].item() <= settings.augment.ada.limit


def test_few_images_warn_before_the_first_tick(
    images: TrainingImages, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    state = next(train(images, make_settings())).snapshot
    assert "only 80 images" in caplog.text
    assert "--params train.augment.name=diffaugment" in caplog.text
    caplog.clear()
    next(train(images, make_settings(**VARIANTS["diffaugment"])))
    next(train(images, make_settings(), state))  # was warned when it began
    assert "memorises" not in caplog.text


def test_other_augmentation_is_another_run(images: TrainingImages, make_settings: MakeSettings) -> None:
    state = run(images, make_settings())[1].snapshot
    with pytest.raises(TrainingError, match=r"augment\.name: none in the snapshot, diffaugment now"):
        next(train(images, make_settings(**VARIANTS["diffaugment"]), state))


@pytest.mark.parametrize(
    "objective", ["wgan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lsgan", "rpgan"))]
)
def test_without_a_zero_the_valid_split_steers(
    images: TrainingImages, make_settings: MakeSettings, objective: str
) -> None:
    """Exactly resumable, in the middle of two moves of p."""
    ada = {"name": "ada", "ada": {"interval": 3, "speed_kimg": 0.1}}
    settings = make_settings(augment=ada, objective={"name": objective}, kimg=0.32, tick_kimg=0.16)
    whole = run(images, settings)
    resumed = run(images, settings, whole[1].snapshot)
    for name, tensor in whole[-1].snapshot.tensors.items():
        assert torch.equal(tensor, resumed[-1].snapshot.tensors[name]), name
    assert any("augment_p" in row for tick in whole for row in tick.rows)
    # 20 iterations: two since the last move, each with a batch of the valid split.
    assert whole[-1].snapshot.tensors["augment.sums"][2, 1] == 16


@pytest.mark.slow
def test_scores_of_an_overfitted_critic_raise_p(images: TrainingImages, make_settings: MakeSettings) -> None:
    """Black valid images: the critic rates them as fakes, so it must know the others by heart."""

    class Foreign:
        size, digest = 16, "foreign"

        def split(self, name: str) -> tuple[int, int]:
            return images.split(name)

        def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            pixels = images.gather(indices).copy()
            pixels[indices >= 80] = 0
            return pixels

    settings = make_settings(augment=ADA, kimg=0.8, tick_kimg=0.8)
    assert run(Foreign(), settings)[-1].snapshot.tensors["augment.p"] > 0.3
    assert run(images, settings)[-1].snapshot.tensors["augment.p"] < 0.1


def test_steering_by_an_empty_valid_split_is_refused(images: TrainingImages, make_settings: MakeSettings) -> None:
    class NoValid:
        size, digest = 16, "no valid"

        def split(self, name: str) -> tuple[int, int]:
            return (80, 80) if name == "valid" else images.split(name)

        def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            return images.gather(indices)

    with pytest.raises(FeedError, match=r"valid split has no images[\s\S]*ada\.p"):
        run(NoValid(), make_settings(augment=ADA))
