"""The gradients of whole steps, in float64: how a batch is split, how often it is penalised, what flows where."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from celeba_gan.gan.inputs.feed import ImageFeed, TrainingImages
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

MakeSettings = Callable[..., TrainSettings]
EVERY_PENALTY: dict[str, Any] = {
    "gradient_penalty": {"weight": 10},
    "r1": {"weight": 1},
    "r2": {"weight": 1},
    "drift": {"weight": 0.001},
}
NONE: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
STILL = {"learning_rate": 1e-30}  # no weight moves, so that all steps are of the same networks


class Gradients:
    """Runs iterations with weights in float64, and keeps the gradient of every step, one row per step."""

    def __init__(self, images: TrainingImages, settings: TrainSettings) -> None:
        hardware = choose_hardware(settings, None)
        pair = Pair(settings, images.size, hardware)
        self.steps = Steps(settings, hardware, pair)
        self.feed = ImageFeed(settings, images, hardware)
        self.images_per_iteration = settings.images_per_iteration
        self.rows: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
        for network in (pair.generator, pair.average, pair.discriminator):
            network.double().register_forward_pre_hook(_in_float64)
        pair.optimizers["discriminator"].register_step_pre_hook(self._keep("discriminator", pair.discriminator))
        pair.optimizers["generator"].register_step_pre_hook(self._keep("generator", pair.generator))

    def after(self, iterations: int) -> dict[str, Tensor]:
        """(steps, parameters) of each network, of the first iterations."""
        for iteration in range(iterations):
            self.steps.iterate(self.feed, iteration, (iteration + 1) * self.images_per_iteration)
        return {which: torch.stack(rows) for which, rows in self.rows.items()}

    def _keep(self, which: str, network: nn.Module) -> Callable[[Optimizer, Any, Any], None]:
        def keep(optimizer: Optimizer, arguments: Any, keywords: Any) -> None:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
            self.rows[which].append(torch.cat([gradient.flatten() for gradient in gradients]))

        return keep


def _in_float64(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(values.double() for values in inputs)


@pytest.mark.parametrize("augment", ["none", pytest.param("diffaugment", marks=pytest.mark.slow)])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_accumulated_gradients_are_those_of_the_whole_batch(
    images: TrainingImages, make_settings: MakeSettings, objective: str, augment: str
) -> None:
    common: dict[str, Any] = {
        "objective": {"name": objective},
        "penalty": EVERY_PENALTY,
        "augment": {"name": augment},
        "generator_optimizer": STILL,
        "discriminator_optimizer": STILL,
        "precision": "float32",
    }
    whole = Gradients(images, make_settings(**common)).after(1)
    for micro_batch in (4, 2, 1):
        split = Gradients(images, make_settings(**common, micro_batch=micro_batch)).after(1)
        for which, expected in whole.items():
            assert expected.abs().max() > 1e-3
            assert (split[which] - expected).abs().max() <= 1e-10 * expected.abs().max(), which


@pytest.mark.parametrize("changes", [{}, {"micro_batch": 4}], ids=["whole", "in parts"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_passes_give_the_gradients_of_autograd(
    images: TrainingImages, make_settings: MakeSettings, spectral_norm: bool, changes: dict[str, Any]
) -> None:
    settings = make_settings(
        network={"dcgan": {"width": 8}, "spectral_norm": spectral_norm},
        penalty=EVERY_PENALTY,
        generator_optimizer=STILL,
        discriminator_optimizer=STILL,
        precision="float32",
        **changes,
    )
    by_passes, by_autograd = Gradients(images, settings), Gradients(images, settings)
    assert by_passes.steps._passes
    by_autograd.steps._passes = False
    found, expected = by_passes.after(2)["discriminator"], by_autograd.after(2)["discriminator"]
    # Autograd gives slopes the dtype of the images, which is float32.
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("final", [1.0, 0.25], ids=["constant", "scheduled"])
def test_a_lazy_penalty_adds_up_to_the_same(images: TrainingImages, make_settings: MakeSettings, final: float) -> None:
    """One step in four has the penalty four times; the draws of steps being alike, the expectation is the same."""
    schedule = {"name": "linear", "end_kimg": 1e-6, "final": final}  # over before the first step

    def gradients(penalty: dict[str, Any]) -> Tensor:
        settings = make_settings(
            objective={"name": "hinge"}, penalty=penalty, discriminator_optimizer=STILL, generator_optimizer=STILL,
            precision="float32",
        )  # fmt: skip
        return Gradients(images, settings).after(6)["discriminator"]

    without = gradients(NONE)
    each = gradients(EVERY_PENALTY) - without
    lazy = gradients({**EVERY_PENALTY, "every": 4, "schedule": schedule}) - without
    expected = torch.zeros_like(each)
    expected[::4] = 4 * final * each[::4]
    assert len(each) == 12
    assert (each.norm(dim=1) > 1e-3).all()
    torch.testing.assert_close(lazy, expected, rtol=1e-9, atol=1e-9)


def test_fakes_of_the_discriminators_step_are_detached_and_epsilon_is_one_number_per_sample(
    images: TrainingImages, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    good = DiscriminatorLoss.gradients

    def watched(
        self: Any, discriminator: Any, labels: Any, real: Tensor, fake: Tensor, epsilon: Tensor, *more: Any
    ) -> Any:
        seen.append({"real": real, "fake": fake, "epsilon": epsilon})
        return good(self, discriminator, labels, real, fake, epsilon, *more)

    monkeypatch.setattr(DiscriminatorLoss, "gradients", watched)
    settings = make_settings(precision="float32", micro_batch=4)
    hardware = choose_hardware(settings, None)
    steps = Steps(settings, hardware, Pair(settings, 16, hardware))
    feed = ImageFeed(settings, images, hardware)
    steps.step_discriminator(feed, feed.draw(0), 0, 16)
    assert len(seen) == 2
    assert not any(given[name].requires_grad for given in seen for name in ("real", "fake"))
    assert all(parameter.grad is None for parameter in steps.pair.generator.parameters())
    epsilon = torch.cat([given["epsilon"] for given in seen])
    assert epsilon.shape == (8,)
    assert len(set(epsilon.tolist())) == 8
    assert torch.equal(torch.cat([given["real"] for given in seen]), feed.batch(feed.draw(0))[0])
    assert not torch.equal(seen[0]["fake"], seen[1]["fake"])
