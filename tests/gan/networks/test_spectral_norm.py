import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings
from celeba_gan.gan.networks.spectral_norm import add_spectral_norm, power_iterate


def normalised(name: str, size: int = 32, classes: int | None = None) -> nn.Module:
    network = NetworkSettings.model_validate(
        {
            "name": name,
            "spectral_norm": True,
            "dcgan": {"width": 4},
            "resnet": {"width": 4, "max_width": 8},
            "r3": {"width": 4, "max_width": 8, "group_size": 4},
        }
    )
    torch.manual_seed(0)
    return build_discriminator(network, size, classes)


def layers_of(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


@pytest.mark.parametrize(
    ("name", "size"), [("dcgan", 32), pytest.param("article", 112, marks=pytest.mark.slow), ("resnet", 32), ("r3", 32)]
)
def test_largest_singular_value_is_one_in_every_layer(name: str, size: int) -> None:
    discriminator = normalised(name, size)
    layers = layers_of(discriminator)
    for rounds, tolerance in ((0, 0.1), (200, 0.01)):
        for _ in range(rounds):
            power_iterate(discriminator)
        for layer in layers:
            assert parametrize.is_parametrized(layer, "weight")
            largest = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2))
            # |u W| never exceeds the singular value, so the quotient is never below one.
            assert 1 - 1e-5 < largest < 1 + tolerance, layer


def test_gradient_is_that_of_the_exact_singular_value_once_converged() -> None:
    """d sigma / dW = u v^T with the exact singular vectors, by torch's own singular value decomposition."""
    torch.manual_seed(0)
    layer = nn.Linear(5, 4).double()
    expected = layer.weight.detach().clone().requires_grad_()
    add_spectral_norm(layer)
    for _ in range(500):
        power_iterate(layer)
    weights = torch.randn(4, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad((weights * layer.weight).sum(), layer.parametrizations.weight.original)
    by_svd = expected / torch.linalg.svdvals(expected)[0]
    (expected_gradient,) = torch.autograd.grad((weights * by_svd).sum(), expected)
    torch.testing.assert_close(layer.weight, by_svd, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, expected_gradient, rtol=1e-8, atol=1e-8)


def test_only_power_iterate_moves_u() -> None:
    discriminator = normalised("dcgan")
    images = torch.rand(2, 3, 32, 32)
    before = copy.deepcopy(discriminator.state_dict())
    vectors = {name for name in before if name.endswith(".u")}
    assert len(vectors) == len(layers_of(discriminator)) == 4
    discriminator(images).sum().backward()
    torch.func.grad(lambda x: discriminator(x).sum())(images)
    power_iterate(discriminator, broken=torch.tensor(1.0))
    for name, tensor in discriminator.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for layer in layers_of(discriminator):
        nn.init.normal_(layer.parametrizations.weight.original)
    before = copy.deepcopy(discriminator.state_dict())
    power_iterate(discriminator, broken=torch.tensor(0.0))
    changed = {name for name, tensor in discriminator.state_dict().items() if not torch.equal(tensor, before[name])}
    # The score's only row has u = [1] or [-1].
    assert vectors - changed <= {"layers.6.parametrizations.weight.0.u"}
    assert changed <= vectors


def test_one_power_iteration_is_the_textbooks() -> None:
    torch.manual_seed(0)
    layer = add_spectral_norm(nn.Conv2d(3, 4, 2)).double()
    (parametrization,) = layer.parametrizations.weight
    nn.init.normal_(layer.parametrizations.weight.original)
    matrix: Tensor = layer.parametrizations.weight.original.detach().reshape(4, 12)
    v = matrix.T @ parametrization.u
    u = matrix @ (v / v.norm())
    power_iterate(layer)
    torch.testing.assert_close(parametrization.u, u / u.norm(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        layer.weight.reshape(4, 12), matrix / (parametrization.u @ matrix).norm(), rtol=1e-12, atol=1e-12
    )


def test_state_restores_the_same_function_and_autocast_keeps_the_norm_in_full_precision() -> None:
    discriminator, other = normalised("resnet"), normalised("resnet")
    for layer in layers_of(discriminator):
        nn.init.normal_(layer.parametrizations.weight.original)
    power_iterate(discriminator)
    images = torch.rand(2, 3, 32, 32)
    assert not torch.equal(other(images), discriminator(images))
    other.load_state_dict(discriminator.state_dict())
    assert torch.equal(other(images), discriminator(images))
    expected = [layer.weight for layer in layers_of(discriminator)]
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(layer.weight, w) for layer, w in zip(layers_of(other), expected, strict=True))


def test_class_embeddings_are_left_alone() -> None:
    discriminator = normalised("dcgan", classes=3)
    assert {name for name, _ in discriminator.named_parameters() if "projection" in name} == {
        "projection.embedding.weight"
    }


def test_dcgan_is_lipschitz_in_the_product_of_its_layers_operator_norms() -> None:
    """Each 4x4 kernel of stride 2 covers a pixel four times, so a layer of matrix norm 1 has an operator norm of 2 at
    most: four layers, the last covering each pixel once, stretch by 8 at most."""
    discriminator = normalised("dcgan").double()
    for _ in range(200):
        power_iterate(discriminator)
    first = torch.rand(64, 3, 32, 32, dtype=torch.float64)
    second = first + 1e-3 * torch.randn_like(first)
    slopes = (discriminator(first) - discriminator(second)).abs() / (first - second).flatten(1).norm(dim=1)
    assert 0 < slopes.max() < 8
