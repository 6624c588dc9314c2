"""What a step can be told beside the objective: micro-batches, limits, laziness, spectral norm."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import get_total_norm

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

MakeSettings = Callable[..., TrainSettings]
EVERY_PENALTY: dict[str, Any] = {
    "gradient_penalty": {"weight": 10},
    "r1": {"weight": 1},
    "r2": {"weight": 1},
    "drift": {"weight": 0.001},
}


def first_row(images: TrainingImages, settings: TrainSettings) -> dict[str, float]:
    """The metric row of the first iteration."""
    for tick in train(images, settings):
        if tick.rows:
            return tick.rows[0]
    raise AssertionError("no row")


@pytest.mark.parametrize("objective", ["wgan", "rpgan", "hinge", "lsgan"])
def test_gradients_do_not_depend_on_the_micro_batch(
    images: TrainingImages, make_settings: MakeSettings, objective: str
) -> None:
    common: dict[str, Any] = {
        "precision": "float32",
        "kimg": 0.016,
        "tick_kimg": 0.016,
        "n_critic": 1,
        "objective": {"name": objective},
        "penalty": EVERY_PENALTY,
    }
    whole = first_row(images, make_settings(**common))
    for micro_batch in (4, 2, 1):
        split = first_row(images, make_settings(**common, micro_batch=micro_batch))
        for name in ("discriminator_gradient", "discriminator_loss", "penalty", "generator_loss", "gradient_norm"):
            assert split[name] == pytest.approx(whole[name], rel=2e-4), name


def test_a_lazy_penalty_counts_for_the_steps_without_one(make_settings: MakeSettings) -> None:
    settings = make_settings(penalty={**EVERY_PENALTY, "every": 4, "schedule": {"name": "constant"}})
    hardware = choose_hardware(settings, None)
    steps = Steps(settings, hardware, Pair(settings, 16, hardware))
    due = [step for step in range(12) if steps.penalty.is_due(step)]
    assert due == [0, 4, 8]
    assert steps._penalty_weight(0) == 4


def test_a_lazy_penalty_leaves_rows_whole(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(penalty={**EVERY_PENALTY, "every": 3}, n_critic=1, kimg=0.08, tick_kimg=0.08)
    rows = [row for tick in train(images, settings) for row in tick.rows]
    assert rows
    assert all(torch.isfinite(torch.tensor(value)) for row in rows for value in row.values())
    assert any("penalty" in row for row in rows)


def test_weights_stay_within_their_limit(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(penalty={"gradient_penalty": {"weight": 0}}, weight_clip=0.02)
    *_, last = train(images, settings)
    discriminator = last.networks.discriminator
    assert discriminator is not None
    largest = max(weight.abs().max().item() for weight in discriminator.tensors.values())
    assert largest == pytest.approx(0.02)


@pytest.mark.parametrize(("limit", "norm"), [(0.5, 0.5), (1e6, None)])
def test_gradients_are_cut_to_their_limit(make_settings: MakeSettings, limit: float, norm: float | None) -> None:
    settings = make_settings(clip_gradient_norm=limit)
    pair = Pair(settings, 16, choose_hardware(settings, None))
    seen: list[float] = []

    def look(optimizer: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
        seen.append(get_total_norm([p.grad for p in pair.discriminator.parameters() if p.grad is not None]).item())

    pair.optimizers["discriminator"].register_step_pre_hook(look)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 100
    pair.backward(pair.discriminator(images).square().mean(), pair.discriminator)
    before = pair.step_discriminator().item()
    assert before > 0.5
    assert seen == [pytest.approx(norm if norm is not None else before, rel=1e-5)]


def test_spectral_norm_holds_through_training(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(
        network={"dcgan": {"width": 8}, "spectral_norm": True},
        penalty={"gradient_penalty": {"weight": 0}},
        objective={"name": "hinge"},
        discriminator_optimizer={"learning_rate": 0.01},
        kimg=0.8,
        precision="float32",
    )
    hardware = choose_hardware(settings, None)
    *_, last = train(images, settings)
    pair = Pair(settings, 16, hardware)
    pair.load_state_dict(last.snapshot.tensors)
    norms = [
        torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2).item()
        for module in pair.discriminator.modules()
        if hasattr(module, "parametrizations")
    ]
    assert norms
    assert all(0.7 < norm < 1.3 for norm in norms), norms  # one power iteration a step follows the weights closely
