"""Layers that several families share."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.gan.networks.layers import FixedLinear, Flatten, FromOnePixel, LeakyReLU, MeanPool, double, leaky_relu
from celeba_gan.gan.networks.r3 import Resample

SPECIAL = torch.tensor([-torch.inf, -1.5, -0.0, 0.0, 2.5, torch.inf, torch.nan])


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_leaky_relu_has_the_values_and_gradients_of_torchs(slope: float, dtype: torch.dtype) -> None:
    found = []
    for function in (lambda x: LeakyReLU(slope)(x), lambda x: F.leaky_relu(x, slope)):
        given = torch.cat([torch.linspace(-2, 2, 33), SPECIAL]).to(dtype).requires_grad_()
        values = function(given)
        (gradient,) = torch.autograd.grad(values, given, torch.linspace(1, 2, len(given)).to(dtype))
        found.append((values.detach(), gradient))
    finite = torch.isfinite(found[1][0])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours[finite], theirs[finite], rtol=0, atol=0)
    assert found[0][0][-1].isnan()  # a value that is not a number stays one


def squared_slopes(activation: Callable[[Tensor], Tensor], images: Tensor, weights: list[Tensor]) -> Tensor:
    """|grad D(x)|^2 of a critic of two layers."""

    def critic(images: Tensor) -> Tensor:
        first, second, last = weights
        return (activation(activation(images @ first) @ second) @ last).sum()

    return torch.func.grad(critic)(images).square().sum()


def test_leaky_relu_twice_differentiated_is_torchs_and_sends_nothing_back_to_its_features() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(5, 7, dtype=torch.float64, generator=draws)
    weights = [torch.randn(7, 7, dtype=torch.float64, generator=draws).requires_grad_() for _ in range(3)]
    ours = torch.autograd.grad(squared_slopes(lambda x: leaky_relu(x, 0.2), images, weights), weights)
    theirs = torch.autograd.grad(squared_slopes(lambda x: F.leaky_relu(x, 0.2), images, weights), weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)

    features = torch.randn(4, dtype=torch.float64, requires_grad=True)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    for function, back in ((leaky_relu, None), (F.leaky_relu, torch.zeros(4, dtype=torch.float64))):
        (slope,) = torch.autograd.grad(function(features, 0.2).sum() * scale, features, create_graph=True)
        (found,) = torch.autograd.grad(slope.sum(), features, allow_unused=True)
        assert (found is None) == (back is None)
        assert back is None or torch.equal(found, back)


@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_of_one_pixel_is_one(bias: bool) -> None:
    torch.manual_seed(0)
    ours, torchs = FromOnePixel(5, 3, 4, bias=bias), nn.ConvTranspose2d(5, 3, 4, bias=bias)
    torchs.load_state_dict(ours.state_dict())
    inputs, found = torch.randn(2, 5, 1, 1, dtype=torch.float64, requires_grad=True), []
    for layer in (ours, torchs):
        layer.double().to(memory_format=torch.channels_last)
        outputs = layer(inputs)
        (slopes,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
        found.append([outputs, slopes, *torch.autograd.grad(slopes.square().sum(), list(layer.parameters()))])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("narrow", [1, 3, 4, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_doubling_is_a_transposed_convolution(narrow: int, bias: bool) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, narrow, 4, 4, dtype=torch.float64, requires_grad=True)
    biases = torch.randn(narrow, dtype=torch.float64, requires_grad=True) if bias else None
    found = []
    for outputs in (double(features, weight, biases), F.conv_transpose2d(features, weight, biases, 2, 1)):
        inputs = [features, weight, *([biases] if biases is not None else [])]
        found.append([outputs, *torch.autograd.grad(outputs.square().sum(), inputs)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (MeanPool(), (5, 8, 8)),
        (Resample(5, up=False), (5, 8, 8)),
        (Resample(5, up=True), (5, 8, 8)),
        (Flatten(), (5, 1, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_transposed_of_a_layer_without_weights_is_its_gradient(layer: FixedLinear, shape: tuple[int, ...]) -> None:
    inputs = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    outputs = layer.double()(inputs)
    slopes = torch.randn_like(outputs)
    (expected,) = torch.autograd.grad(outputs, inputs, slopes)
    torch.testing.assert_close(layer.transposed(slopes), expected, rtol=1e-12, atol=1e-12)
