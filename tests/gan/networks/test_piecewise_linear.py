"""The passes give what automatic differentiation gives, twice where there is a penalty, in float64."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.inputs.conditions import conditioned
from celeba_gan.gan.losses.config import PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.networks.layers import Discriminator, LeakyReLU, Score
from celeba_gan.gan.networks.piecewise_linear import Passes, _is_product, _products, is_piecewise_linear

COUNT = 4
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "dcgan": ({"width": 4}, 16),
    "resnet": ({"width": 4, "discriminator_norm": "none"}, 32),
    "r3": ({"width": 8, "group_size": 4, "blocks": 1}, 32),
}
OFF = {"gradient_penalty": {"weight": 0}}
PENALTIES: dict[str, dict[str, Any]] = {
    "none": OFF,
    "gradient penalty": {"gradient_penalty": {"weight": 10}},
    "r1": {**OFF, "r1": {"weight": 7}},
    "r2": {**OFF, "r2": {"weight": 5}},
    "r1 and r2": {**OFF, "r1": {"weight": 7}, "r2": {"weight": 5}},
    "drift": {**OFF, "drift": {"weight": 0.4}},
    "gradient penalty and r1": {"gradient_penalty": {"weight": 10}, "r1": {"weight": 7}},
    "all": {"gradient_penalty": {"weight": 10}, "r1": {"weight": 1}, "r2": {"weight": 2}, "drift": {"weight": 0.4}},
}


def network(name: str, classes: int | None = None, **changes: Any) -> Discriminator:
    """With all weights, biases and embeddings away from zero."""
    values, size = NETWORKS[name]
    settings = NetworkSettings.model_validate({"name": name, name: values, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        discriminator = build_discriminator(settings, size, classes).double().to(memory_format=torch.channels_last)
        with torch.no_grad():
            for parameter in discriminator.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    assert isinstance(discriminator, Discriminator)
    return discriminator


def batch(name: str, classes: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Reals, fakes, epsilon and labels."""
    draws = torch.Generator().manual_seed(1)
    size = NETWORKS[name][1]
    real, fake = torch.randn(2, COUNT, 3, size, size, dtype=torch.float64, generator=draws)
    labels = torch.eye(classes, dtype=torch.float64)[torch.arange(COUNT) % classes] if classes else None
    return real, fake, torch.rand(COUNT, dtype=torch.float64, generator=draws), labels


def assert_same(name: str, penalty: str, objective: str, classes: int | None = None) -> None:
    discriminator, (real, fake, epsilon, labels) = network(name, classes), batch(name, classes)
    settings = PenaltySettings.model_validate(PENALTIES[penalty])
    loss = DiscriminatorLoss(make_objective(objective), Penalty(settings))
    critic = conditioned(discriminator, torch.zeros(COUNT, 0) if labels is None else labels)
    theirs = loss.terms(critic, real, fake, epsilon, penalised=True)
    named = dict(discriminator.named_parameters())
    total = theirs["loss"] + 1.7 * theirs.get("penalty", 0)
    expected = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    with torch.no_grad():
        factor = torch.tensor(1.7, dtype=torch.float64)
        ours, found = loss.gradients(discriminator, labels, real, fake, epsilon, factor, True, torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    assert found.keys() == named.keys()
    for key, gradient in zip(named, expected, strict=True):
        exact = torch.zeros_like(named[key]) if gradient is None else gradient
        torch.testing.assert_close(found[key], exact, rtol=1e-10, atol=1e-12, msg=lambda why, key=key: f"{key}: {why}")


@pytest.mark.parametrize(
    ("name", "penalty", "classes"),
    [
        pytest.param(name, penalty, classes, marks=[] if name == "dcgan" or penalty == "all" else pytest.mark.slow)
        for name in NETWORKS
        for penalty in PENALTIES
        for classes in (None, 3)
    ],
)
def test_gradients_of_every_penalty_are_those_of_double_backward(name: str, penalty: str, classes: int | None) -> None:
    assert_same(name, penalty, "rpgan", classes)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_so_they_are_with_every_objective(objective: str) -> None:
    assert_same("dcgan", "all", objective)


@pytest.mark.parametrize(("start", "stop"), [(0, 2), (1, 4), (0, 6), (5, 6)])
def test_passes_are_the_gradient_of_what_they_say(start: int, stop: int) -> None:
    """Of the sum of seeds times scores, and of moves times slopes, for any images that move."""
    discriminator, moved = network("r3"), slice(start, stop)
    draws = torch.Generator().manual_seed(2)
    images = torch.randn(6, 3, 32, 32, dtype=torch.float64, generator=draws).requires_grad_()
    seeds, shares = torch.randn(2, 6, dtype=torch.float64, generator=draws)
    moves = torch.randn(images[moved].shape, dtype=torch.float64, generator=draws)
    scores = discriminator(images)
    (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    weights = seeds.clone()
    weights[moved] = shares[moved]
    total = (weights * scores).sum() + (moves * slopes[moved]).sum()
    expected = torch.autograd.grad(total, list(discriminator.parameters()))
    seeds[moved] = 1
    with torch.no_grad():
        passes = Passes(discriminator, torch.float64)
        torch.testing.assert_close(passes.forward(images, None), scores)
        torch.testing.assert_close(passes.pull(seeds, moved), slopes[moved])
        found = passes.gradients(moves, shares[moved])
    for (name, _), gradient in zip(discriminator.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "changes"), [("resnet", {"resnet": {"width": 8, "discriminator_norm": "layer"}}), ("article", {})]
)
def test_networks_with_other_layers_are_left_to_autograd(name: str, changes: dict[str, Any]) -> None:
    settings = NetworkSettings.model_validate({"name": name, **changes})
    assert not is_piecewise_linear(build_discriminator(settings, 112 if name == "article" else 32))
    assert not is_piecewise_linear(nn.Conv2d(3, 1, 4))


class Own(Discriminator):
    """As a user may write one."""

    classes = projection = None

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), *layers)
        self.score = Score(3 * 8 * 8)

    def path(self) -> list[nn.Module]:
        return list(self.layers)


class Squared(Own):
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(images, labels).square()


def test_what_the_passes_would_get_wrong_is_left_to_autograd_too() -> None:
    twice = nn.Conv2d(3, 3, 3, padding=1)
    assert is_piecewise_linear(Own(nn.Conv2d(3, 3, 3, padding=1), LeakyReLU(0.2)))
    for layers in (
        [twice, twice],
        [nn.Conv2d(3, 3, 3, padding=2, dilation=2)],
        [nn.Conv2d(3, 3, 3, padding="same")],
        [nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")],
        [nn.ReLU(inplace=True)],
    ):
        assert not is_piecewise_linear(Own(*layers))
    assert not is_piecewise_linear(Squared())


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_others_are_not(name: str, spectral_norm: bool) -> None:
    assert is_piecewise_linear(network(name, spectral_norm=spectral_norm))


@pytest.mark.parametrize(("name", "penalised"), [*product(NETWORKS, [True, False])])
def test_bfloat16_points_the_same_way(name: str, penalised: bool) -> None:
    discriminator, (real, fake, epsilon, _) = network(name).float(), batch(name, None)
    drawn = [values.float() for values in (real, fake, epsilon, torch.ones(()))]
    loss = DiscriminatorLoss(make_objective("rpgan"), Penalty(PenaltySettings.model_validate(PENALTIES["all"])))

    def gradient(dtype: torch.dtype) -> Tensor:
        with torch.no_grad():
            terms, found = loss.gradients(discriminator, None, *drawn, penalised, dtype)
        assert {value.dtype for value in terms.values()} == {torch.float32}
        return torch.cat([value.float().flatten() for value in found.values()])

    assert torch.cosine_similarity(gradient(torch.bfloat16), gradient(torch.float32), dim=0) > 0.98


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (3, 2, 0), (1, 1, 0), ((2, 3), (1, 2), (1, 0))]
)
def test_the_gradient_of_weights_as_a_product_is_that_of_the_convolution(
    kernel: Any, stride: Any, padding: Any
) -> None:
    draws = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(5, 512, kernel, stride, padding)
    inputs = torch.randn(3, 5, 8, 7, generator=draws).to(torch.bfloat16, memory_format=torch.channels_last)
    outputs = layer(inputs.float())
    slopes = torch.randn(outputs.shape, generator=draws).to(torch.bfloat16)
    assert _is_product(layer, slopes)
    by_weight, by_bias = _products(layer, slopes, inputs, layer.weight.detach().bfloat16())
    expected = torch.autograd.grad(outputs, [layer.weight, layer.bias], slopes.float())  # type: ignore[list-item]
    for ours, exact in zip((by_weight, by_bias), expected, strict=True):
        assert ours.shape == exact.shape
        assert (ours.float() - exact).abs().max() < 0.01 * exact.abs().max()
