"""Penalties against textbook formulas with double backward and against closed forms, in float64."""

from itertools import combinations, product
from typing import Any

import pytest
import torch
from critics import SIZE, gradients, image_batch, smooth_critic
from test_objectives import DISCRIMINATOR
from torch import Tensor, nn

from celeba_gan.gan.losses.config import PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import Terms, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.networks.layers import has_batch_norm

OFF = {"gradient_penalty": {"weight": 0}}
KINDS: dict[str, dict[str, Any]] = {
    "two_sided": {"gradient_penalty": {"weight": 10}},
    "one_sided": {"gradient_penalty": {"weight": 10, "target": 0.05, "one_sided": True}},
    "other_target": {"gradient_penalty": {"weight": 3, "target": 0.3}},
    "r1": {"r1": {"weight": 7}},
    "r2": {"r2": {"weight": 5}},
    "drift": {"drift": {"weight": 0.4}},
}
PAIRS = [
    pair for pair in combinations(KINDS, 2) if not {*pair} <= {"two_sided", "one_sided", "other_target"}
]  # the first three are one penalty


def make(*kinds: str, **more: Any) -> Penalty:
    values = dict(OFF)
    for kind in kinds:
        values |= KINDS[kind]
    return Penalty(PenaltySettings.model_validate(values | more))


def terms_of(kinds: Penalty, critic: Any, real: Tensor, fake: Tensor, epsilon: Tensor, name: str = "wgan") -> Terms:
    return DiscriminatorLoss(make_objective(name), kinds).terms(critic, real, fake, epsilon, penalised=True)


def slopes_at(critic: nn.Module, points: Tensor) -> list[Tensor]:
    """The gradient at each point, by itself."""
    found = []
    for point in points:
        alone = point[None].clone().requires_grad_()
        found.append(torch.autograd.grad(critic(alone).sum(), alone, create_graph=True)[0])
    return found


def textbook(kind: str, critic: nn.Module, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    if kind == "drift":
        return 0.4 * (critic(real) ** 2).mean()
    if kind in ("r1", "r2"):
        slopes = slopes_at(critic, real if kind == "r1" else fake)
        return (7 if kind == "r1" else 5) / 2 * torch.stack([(slope**2).sum() for slope in slopes]).mean()
    mixed = torch.stack([e * r + (1 - e) * f for e, r, f in zip(epsilon, real, fake, strict=True)])
    norms = torch.stack([torch.sqrt((slope**2).sum() + 1e-12) for slope in slopes_at(critic, mixed)])
    if kind == "one_sided":
        return 10 * (torch.maximum(norms - 0.05, 0 * norms) ** 2).mean()
    return 10 * ((norms - 1) ** 2).mean() if kind == "two_sided" else 3 * ((norms - 0.3) ** 2).mean()


def parameters_of(critic: nn.Module) -> list[Tensor]:
    return list(critic.parameters())


@pytest.mark.parametrize("kinds", [(), *((kind,) for kind in KINDS), *PAIRS, ("two_sided", "r1", "r2", "drift")])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_with_every_penalty_equals_the_textbook_double_backward(
    objective: str, kinds: tuple[str, ...]
) -> None:
    critic, (real, fake, epsilon) = smooth_critic(), image_batch()
    terms = terms_of(make(*kinds), critic, real, fake, epsilon, objective)
    ours, theirs = terms["loss"], DISCRIMINATOR[objective](critic(real), critic(fake))
    if kinds:
        ours = ours + terms["penalty"]
        theirs = theirs + sum(textbook(kind, critic, real, fake, epsilon) for kind in kinds)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for our, their in zip(
        gradients(ours, parameters_of(critic)), gradients(theirs, parameters_of(critic)), strict=True
    ):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("target", "one_sided"), [*product([0.0, 1.0, 100.0], [False, True])])
def test_gradient_penalty_of_a_linear_critic_is_its_closed_form(target: float, one_sided: bool) -> None:
    weights = torch.randn(3 * SIZE * SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    real, fake, epsilon = image_batch()
    settings = {"weight": 3, "target": target, "one_sided": one_sided}
    penalty = Penalty(PenaltySettings.model_validate({"gradient_penalty": settings}))
    terms = terms_of(penalty, lambda images: images.flatten(1) @ weights, real, fake, epsilon)
    norm = weights.norm()  # about 14
    free = one_sided and norm < target
    torch.testing.assert_close(terms["penalty"], 3 * (norm - target) ** 2 * (not free))
    torch.testing.assert_close(terms["gradient_norm"], norm)


def test_r1_and_r2_of_a_quadratic_are_their_closed_forms() -> None:
    """D(x) = a |x|^2 / 2 has slope a x."""
    real, fake, epsilon = image_batch()
    terms = terms_of(make("r1", "r2"), lambda x: 1.5 * x.flatten(1).square().sum(1) / 2, real, fake, epsilon)
    torch.testing.assert_close(terms["r1"], 7 / 2 * 1.5**2 * real.flatten(1).square().sum(1).mean())
    torch.testing.assert_close(terms["r2"], 5 / 2 * 1.5**2 * fake.flatten(1).square().sum(1).mean())
    torch.testing.assert_close(terms["penalty"], terms["r1"] + terms["r2"])


@pytest.mark.parametrize("kind", KINDS)
def test_epsilon_and_norm_are_per_sample_and_the_mean_is_over_the_batch(kind: str) -> None:
    critic, (real, fake, epsilon), penalty = smooth_critic(), image_batch(), make(kind)
    whole = terms_of(penalty, critic, real, fake, epsilon)["penalty"]
    alone = [
        terms_of(penalty, critic, *(tensor[i : i + 1] for tensor in (real, fake, epsilon)))["penalty"]
        for i in range(len(real))
    ]
    torch.testing.assert_close(whole, torch.stack(alone).mean(), rtol=1e-10, atol=1e-12)
    assert len({round(float(value.detach()), 9) for value in alone}) == len(real)


def test_slope_of_zero_has_finite_gradients() -> None:
    """At a flat critic the norm's root has no derivative; the epsilon under it gives one."""
    critic, (real, fake, epsilon) = smooth_critic(), image_batch()
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    loss = terms_of(make("two_sided"), critic, real, fake, epsilon)["penalty"]
    assert all(torch.isfinite(gradient).all() for gradient in gradients(loss, parameters_of(critic)))


@pytest.mark.parametrize(
    "kinds",
    [(), ("drift",), ("two_sided",), ("r1",), ("r2",), ("r1", "r2", "drift"), ("two_sided", "r1"), ("two_sided", "r2")],
)
def test_every_image_passes_forward_once(kinds: tuple[str, ...]) -> None:
    critic, (real, fake, epsilon) = smooth_critic(), image_batch()
    passes: list[Tensor] = []
    counted = critic.register_forward_hook(lambda module, given, scores: passes.append(given[0].detach()))
    terms_of(make(*kinds), critic, real, fake, epsilon)
    counted.remove()
    scored = {tuple(image.flatten().tolist()) for images in passes for image in images}
    assert len(scored) == sum(map(len, passes)) == len(real) * (2 + ("two_sided" in kinds))
    assert not any(make().is_due(step) for step in range(4))


@pytest.mark.parametrize("every", [1, 3, 4])
def test_lazy_penalty_is_due_once_in_every_so_many_steps(every: int) -> None:
    penalty = make("r1", every=every)
    assert [step for step in range(24) if penalty.is_due(step)] == list(range(0, 24, every))


def test_fakes_carry_no_gradient_from_the_generator_into_the_penalty() -> None:
    critic, (real, fake, epsilon) = smooth_critic(), image_batch()
    made = fake.clone().requires_grad_()  # as if a generator had made them
    loss = terms_of(make("two_sided", "r2"), critic, real, made.detach(), epsilon)["penalty"]
    assert torch.autograd.grad(loss, made, allow_unused=True) == (None,)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False)])
def test_batch_norm_is_found(norm: nn.Module) -> None:
    assert has_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), norm))
    assert not has_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3), nn.LayerNorm(3)))
