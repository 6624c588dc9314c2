"""The gradient of a penalised discriminator's weights without differentiating twice.

For given signs of its leaky ReLUs a discriminator D is affine in its images, and the signs do not change with small
changes of weights or images. With h_l the input of layer l and W_l its weights, four passes give everything:

- forward: the scores s = D(x), and h_l;
- pull, from the scores back to the images: g_l, the slope of the score by the output of layer l, and dD/dx;
- push, along the layers: u_l, how h_l changes when the images move by v, without biases;
- per layer, one product: as v . dD/dx is g_l . (W_l u_l) for every l, the gradient by W_l of sum c s + v . dD/dx is the
  sum over images of g_l times (c h_l + u_l).

With c the loss's derivative by the score, and v the penalty's by the slope, this is the gradient of loss and penalty.
Automatic differentiation would go back through pull and forward one after the other: twelve passes over an image where
its score and its slope count, eight here; its double backward of a convolution, besides, computes the gradient of the
weights with kernels as large as the images. Nothing here needs a graph, so that it is the same eager and compiled.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.foundation.precision import full_precision
from celeba_gan.gan.networks.layers import Branches, Discriminator, FixedLinear, LeakyReLU, double

Path = Sequence[nn.Module]

_CHANNELS_PER_PIXEL: Final = 4
"""From so many output channels per output pixel on, the gradient of a weight is faster as a matrix product on a CPU.

oneDNN's kernel reaches 460 GFLOP/s at 4x4 pixels on an AVX512-BF16 EPYC and 80 on an AMX Xeon, the product of the same
numbers 750 and 540. Where there are fewer channels, copying what each pixel sees costs more than is gained; so does the
product itself in float32, at half the rate of oneDNN's kernel there (benchmarks/convolutions.py).
"""


def is_piecewise_linear(discriminator: nn.Module) -> bool:
    """Whether `Passes` can do what a discriminator does: it knows all layers, each is there once, a convolution first.

    Any other, such as one of a user's own with dilated convolutions, is left to autograd.
    """
    if not isinstance(discriminator, Discriminator) or type(discriminator).forward is not Discriminator.forward:
        return False
    layers = list(_leaves(discriminator.path()))
    return _is_convolution(layers[0]) and len(set(layers)) == len(layers) and all(map(_is_known, layers))


def _leaves(path: Path) -> Iterator[nn.Module]:
    """All layers that are no branches."""
    for layer in path:
        if isinstance(layer, Branches):
            for branch in layer.paths():
                yield from _leaves(branch)
        else:
            yield layer


def _is_known(layer: nn.Module) -> bool:
    return isinstance(layer, (FixedLinear, LeakyReLU)) or _is_convolution(layer)


def _is_convolution(layer: nn.Module) -> bool:
    """Whether a layer is a plain convolution; one with a parametrisation is, too."""
    if not isinstance(layer, nn.Conv2d) or type(layer).forward is not nn.Conv2d.forward:
        return False
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str) and layer.dilation == (1, 1)


class Passes:
    """The passes of one batch through a discriminator; `forward`, then `pull`, then `gradients`, each once."""

    def __init__(self, discriminator: Discriminator, dtype: torch.dtype) -> None:
        """Reads the weights, and converts them to the `dtype` in which layers are computed."""
        self.discriminator = discriminator
        self.path = discriminator.path()
        self.dtype = dtype
        self._names = {layer: name for name, layer in discriminator.named_modules()}
        self._weights: dict[nn.Module, Tensor] = {}
        self._inputs: dict[nn.Module, Tensor] = {}
        self._outputs: dict[nn.Module, Tensor] = {}  # of leaky ReLUs: their signs are those of the inputs
        self._slopes: dict[nn.Module, Tensor] = {}  # by the output of a layer
        self._gradients: dict[str, Tensor] = {}

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images (n, 3, height, width) in [-1, 1] and labels (n, classes) to scores (n,), float32 or float64."""
        self._labels = labels
        self._features = self._forward(self.path, images.to(self.dtype))
        return self.discriminator.score_of(self._features, labels)

    def pull(self, seeds: Tensor, moved: slice) -> Tensor:
        """The slopes of the scores by some of the images, (moved, 3, height, width); with their seeds, times these.

        `seeds` (n,) are the derivatives by the scores of what is differentiated.
        """
        self._seeds, self._moved = seeds, moved
        slopes = self.discriminator.slopes_of_score(self._features, self._labels)
        seeds = seeds.view(-1, *[1] * (slopes.ndim - 1))
        slopes = (seeds * slopes).to(self.dtype)
        if slopes.ndim == 4:  # as all features are: kernels take many times as long where two layouts meet
            slopes = slopes.contiguous(memory_format=torch.channels_last)
        return self._pull(self.path, slopes, to_images=True)

    def gradients(self, moves: Tensor | None = None, shares: Tensor | None = None) -> dict[str, Tensor]:
        """The gradient of the sum of seed_i s_i + move_i . dD/dx_i, by every parameter, by its name.

        Where a layer has a parametrisation, it is that by what this makes of its parameters.

        Args:
            moves: Of the images whose slopes `pull` has given, of their shape, with seeds of 1; None: there are none.
            shares: (moved,), what stands in place of their seeds before their scores; None: 0, and they are the last.
        """
        self._shares = None if shares is None else shares.to(self.dtype)
        moves = self._push(self.path, None if moves is None else moves.to(self.dtype))
        self._differentiate_score(self.discriminator, moves)
        return self._gradients

    # --- forward: inputs and signs -----------------------------------------------------------------------------------

    def _forward(self, path: Path, features: Tensor) -> Tensor:
        for layer in path:
            if isinstance(layer, Branches):
                parts = [self._forward(branch, features) for branch in layer.paths()]
                features = parts[0] + parts[1]
            elif isinstance(layer, LeakyReLU):
                features = self._outputs[layer] = F.leaky_relu(features, layer.slope)
            elif isinstance(layer, FixedLinear):
                features = layer(features)
            else:
                assert isinstance(layer, nn.Conv2d)
                self._inputs[layer] = features
                self._weights[layer] = layer.weight.to(self.dtype)
                features = _affine(layer, features, self._weights[layer], layer.bias)
        return features

    # --- pull: slopes from the scores back ---------------------------------------------------------------------------

    def _pull(self, path: Path, slope: Tensor, to_images: bool = False) -> Tensor:
        for place in reversed(range(len(path))):
            layer = path[place]
            if isinstance(layer, Branches):
                first, second = layer.paths()
                slope = self._pull(first, slope) + self._pull(second, slope)
            elif isinstance(layer, LeakyReLU):
                slope = _rectify(slope, self._outputs[layer], layer.slope)
            elif isinstance(layer, FixedLinear):
                slope = layer.transposed(slope)
            else:
                self._slopes[layer] = slope
                chosen = slice(None)
                if to_images and place == 0:  # nobody asks for the slopes by the other images
                    chosen = self._moved
                    if chosen.start == chosen.stop:
                        return slope[:0]
                slope = _transposed(layer, slope[chosen], self._inputs[layer][chosen], self._weights[layer])
        return slope

    # --- push: moves along the layers, and the gradients -------------------------------------------------------------

    def _push(self, path: Path, moves: Tensor | None) -> Tensor | None:
        for layer in path:
            if isinstance(layer, Branches):
                first, second = (self._push(branch, moves) for branch in layer.paths())
                moves = None if first is None or second is None else first + second
            elif isinstance(layer, LeakyReLU):
                moves = None if moves is None else _rectify(moves, self._outputs[layer][self._moved], layer.slope)
            elif isinstance(layer, FixedLinear):
                moves = None if moves is None else layer(moves)
            else:
                self._differentiate(layer, moves)
                moves = None if moves is None else _affine(layer, moves, self._weights[layer], None)
        return moves

    def _differentiate(self, layer: Any, moves: Tensor | None) -> None:
        inputs, slopes, weight = self._inputs[layer], self._slopes[layer], self._weights[layer]
        if moves is None:
            by_weight, by_bias = _products(layer, slopes, inputs, weight)
        elif self._shares is None:  # they are the last ones: two products take less time than one of both together
            rest = slice(self._moved.start)
            by_weight, by_bias = _products(layer, slopes[rest], inputs[rest], weight)
            by_weight = by_weight + _products(layer, slopes[self._moved], moves, weight)[0]
        else:
            by_weight, _ = _products(layer, slopes, self._moved_inputs(inputs, moves), weight)
            by_bias = self._bias_gradient(slopes.flatten(2).sum(2))
        name = self._names[layer]
        self._gradients[f"{name}.weight"] = by_weight
        if layer.bias is not None:
            self._gradients[f"{name}.bias"] = by_bias

    def _differentiate_score(self, discriminator: Discriminator, moves: Tensor | None) -> None:
        features = full_precision(self._moved_inputs(self._features, moves))
        score, name = discriminator.score, self._names[discriminator.score]
        self._gradients[f"{name}.weight"] = (self._seeds @ features.flatten(1)).view_as(score.weight)
        if score.bias is not None:
            self._gradients[f"{name}.bias"] = self._bias_gradient(self._seeds[:, None])
        if discriminator.projection is not None and self._labels is not None:
            name = self._names[discriminator.projection.embedding]
            summed = features.flatten(2).sum(2) if features.ndim > 2 else features
            self._gradients[f"{name}.weight"] = (self._seeds[:, None] * summed).T @ self._labels

    def _moved_inputs(self, inputs: Tensor, moves: Tensor | None) -> Tensor:
        """What a layer's slopes are multiplied with: its inputs, where images are moved their moves and a share."""
        if moves is None:
            return inputs
        if self._shares is not None:
            shares = self._shares.view(-1, *[1] * (inputs.ndim - 1))
            moves = torch.addcmul(moves, inputs[self._moved], shares)
        if len(moves) == len(inputs):
            return moves
        return torch.cat([inputs[: self._moved.start], moves, inputs[self._moved.stop :]])

    def _bias_gradient(self, slopes: Tensor) -> Tensor:
        """The sum of slopes (n, outputs) over the images; of those that are moved, with their shares."""
        if self._moved.start == self._moved.stop:
            return slopes.sum(0)
        rest = slopes[: self._moved.start].sum(0) + slopes[self._moved.stop :].sum(0)
        return rest if self._shares is None else rest + self._shares.to(slopes.dtype) @ slopes[self._moved]


def _is_product(layer: nn.Conv2d, slopes: Tensor) -> bool:
    """Whether the gradient of a convolution's weights is computed as a matrix product, see `_CHANNELS_PER_PIXEL`."""
    suits = slopes.device.type == "cpu" and slopes.dtype == torch.bfloat16 and layer.groups == 1
    return suits and slopes.shape[1] >= _CHANNELS_PER_PIXEL * slopes[0, 0].numel()


def _patches(inputs: Tensor, layer: nn.Conv2d) -> Tensor:
    """What each output pixel of a convolution sees: (batch x pixels, kernel height x width x channels)."""
    high, wide = layer.kernel_size
    down, right = (int(side) for side in layer.padding)
    seen = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, right, right, down, down))
    seen = seen.unfold(1, high, layer.stride[0]).unfold(2, wide, layer.stride[1])
    return seen.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 2)


_HALVING: Final = ((4, 4), (2, 2), (1, 1), 1)  # the geometry of which `double` is the transposed


def _rectify(values: Tensor, outputs: Tensor, slope: float) -> Tensor:
    """`values` where outputs of a leaky ReLU are positive, `slope` times them elsewhere."""
    rectified: Tensor = torch.ops.aten.leaky_relu_backward(values, outputs, slope, True)
    return rectified


def _affine(layer: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    bias = None if bias is None else bias.to(features.dtype)
    return F.conv2d(features, weight, bias, layer.stride, layer.padding, groups=layer.groups)


def _transposed(layer: Any, slopes: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """The slope by the inputs, given that by the outputs."""
    if (layer.kernel_size, layer.stride, layer.padding, layer.groups) == _HALVING:
        return double(slopes, weight)
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        slopes, inputs, weight, None, *_geometry(layer), [True, False, False]
    )
    return found[0]


def _products(layer: Any, slopes: Tensor, inputs: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The sums over images of the products of slopes by the outputs and inputs, and of the slopes."""
    if _is_product(layer, slopes):
        rows = slopes.permute(0, 2, 3, 1).flatten(0, 2)
        product = rows.T @ _patches(inputs, layer)
        return product.view(len(weight), *layer.kernel_size, -1).permute(0, 3, 1, 2), rows.sum(0)
    sizes = None if layer.bias is None else layer.bias.shape
    _, by_weight, by_bias = torch.ops.aten.convolution_backward(
        slopes, inputs, weight, sizes, *_geometry(layer), [False, True, layer.bias is not None]
    )
    return by_weight, by_bias


def _geometry(layer: Any) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding and groups, as torch takes them."""
    return layer.stride, layer.padding, (1, 1), False, (0, 0), layer.groups
