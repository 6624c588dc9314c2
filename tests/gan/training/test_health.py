import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runtime.hardware import OutOfMemoryError, explained_out_of_memory
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.health import Health, auc, diversity
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.steps import Steps

MakeSettings = Callable[..., TrainSettings]
VARIED = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
ALIKE = np.broadcast_to(VARIED[:1], VARIED.shape)


def rows(**values: float) -> list[dict[str, float]]:
    return [{"images": 1.0, **values}]


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randint(0, 6, (37,), generator=generator).float()
    fake = torch.randint(0, 6, (23,), generator=generator).float()
    pairs = [(1.0 if r > f else 0.5 if r == f else 0.0) for r in real.tolist() for f in fake.tolist()]
    assert auc(real, fake).item() == pytest.approx(sum(pairs) / len(pairs))
    assert auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 1
    assert auc(torch.zeros(5), torch.zeros(3)).item() == 0.5


def test_diversity_of_equal_images_is_none() -> None:
    assert diversity(ALIKE) == 0
    assert diversity(VARIED) == pytest.approx(73.9, rel=0.05)  # of uniform bytes


def test_a_healthy_tick_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(VARIED)
    for images in (10, 20, 30):
        terms = health.examine(images, rows(auc=0.9, penalty=0.3), VARIED)
    assert terms["sample_diversity"] == pytest.approx(1)
    assert not caplog.records


def test_collapse_is_said_once_with_the_place_it_was_better(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(VARIED)
    health.examine(10, rows(), VARIED)
    for images in (20, 30):
        assert health.examine(images, rows(), ALIKE)["sample_diversity"] == 0
    assert len(caplog.records) == 1
    assert "become alike" in caplog.text
    assert "1.00 at 10 images" in caplog.text
    health.examine(40, rows(), VARIED)
    health.examine(50, rows(), ALIKE)
    assert len(caplog.records) == 2


def test_noise_that_becomes_images_is_no_collapse(caplog: pytest.LogCaptureFixture) -> None:
    dim = (VARIED // 4).astype(np.uint8)
    health = Health(dim)
    assert health.examine(10, rows(), VARIED)["sample_diversity"] > 3
    health.examine(20, rows(), dim)
    assert not caplog.records
    health.examine(30, rows(), dim // 3)
    assert "become alike" in caplog.text


def test_a_sure_discriminator_and_an_exploding_penalty_are_said(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(VARIED)
    health.examine(5, rows(auc=1.0), VARIED)
    assert not caplog.records  # at first it is no wonder
    health.examine(10, rows(auc=0.995, penalty=2.0), VARIED)
    assert "AUC 0.9950" in caplog.text
    caplog.clear()
    health.examine(20, rows(auc=0.9, penalty=50.0), VARIED)
    assert "penalty explodes: 50 on average, 2 a tick ago" in caplog.text


def test_what_was_best_survives_a_resume(caplog: pytest.LogCaptureFixture) -> None:
    first = Health(VARIED)
    first.examine(10, rows(penalty=1.0, auc=0.992), VARIED)
    second = Health(VARIED, first.card)
    second.examine(20, rows(penalty=30.0, auc=0.993), ALIKE)
    assert "become alike" in caplog.text
    assert "explodes" in caplog.text
    assert "AUC 0.9930" in caplog.text


def test_training_notes_what_health_looks_at(
    images: TrainingImages, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A critic of a far too large step tells everything apart at once, and the log says so."""
    ticks = list(train(images, make_settings()))
    assert all(0 <= row["auc"] <= 1 for tick in ticks for row in tick.rows)
    assert all("sample_diversity" in tick.rows[-1] for tick in ticks[1:])
    caplog.set_level(logging.WARNING)
    sure: dict[str, Any] = {
        "generator_optimizer": {"learning_rate": 1e-9},
        "discriminator_optimizer": {"learning_rate": 1e-2},
        "objective": {"name": "hinge"},
        "penalty": {"gradient_penalty": {"weight": 0}},
    }
    *_, last = train(images, make_settings(**sure, kimg=1.6, tick_kimg=0.4))
    assert last.rows[-1]["auc"] > 0.99
    assert "almost surely" in caplog.text


@pytest.mark.parametrize(
    ("error", "batch", "micro", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 64, None, "train.micro_batch=32"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 9, None, "train.micro_batch=3"),
        (RuntimeError("MPS backend out of memory (MPS"), 8, 4, "train.micro_batch=2"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 8, 1, "single image"),
    ],
)
def test_out_of_memory_says_what_to_try(
    make_settings: MakeSettings, error: RuntimeError, batch: int, micro: int | None, said: str
) -> None:
    settings = make_settings(batch_size=batch, micro_batch=micro, tick_kimg=1)
    with pytest.raises(OutOfMemoryError, match=said), explained_out_of_memory(settings.smaller_batch()):
        raise error
    assert said in settings.smaller_batch()


def test_a_real_lack_of_memory_is_explained(make_settings: MakeSettings) -> None:
    advice = make_settings().smaller_batch()
    with pytest.raises(OutOfMemoryError, match=r"train\.micro_batch=4"), explained_out_of_memory(advice):
        torch.empty(2**50, dtype=torch.uint8)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes") as caught, explained_out_of_memory("advice"):
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not isinstance(caught.value, OutOfMemoryError)


def test_training_out_of_memory_leaves_the_last_tick(
    images: TrainingImages, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = Steps.iterate, 0

    def hungry(self: Steps, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 6:
            torch.empty(2**50, dtype=torch.uint8)
        return step(self, *arguments)

    monkeypatch.setattr(Steps, "iterate", hungry)
    seen = []
    with pytest.raises(OutOfMemoryError, match=r"train\.micro_batch=4"):
        seen.extend(tick.images for tick in train(images, make_settings()))
    assert seen == [0, 80]
