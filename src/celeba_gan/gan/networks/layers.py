"""Layers that several families share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import is_autocast_available

from celeba_gan.foundation.precision import full_precision
from celeba_gan.gan.networks.config import NetworkError


def leaky_relu(features: Tensor, slope: float) -> Tensor:
    """`features` where they are positive, `slope` times them elsewhere; made to be differentiated twice by a penalty.

    The slope of a leaky ReLU does not change with x. torch's own returns a tensor of zeros for it, which then goes back
    through every layer below: 4 of the 14 backward convolutions of a WGAN-GP critic's step multiply by zero. Here the
    sign is taken from detached features, so that nothing goes back. Values and gradients are the same.

    ONNX has no such operation, and a program that only runs forwards needs none: while it is exported, this is torch's
    own.
    """
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return F.leaky_relu(features, slope)
    # What takes gradients back, for given signs, is the same function of the features themselves.
    rectified: Tensor = torch.ops.aten.leaky_relu_backward(features, features.detach(), slope, False)
    return rectified


class LeakyReLU(nn.Module):
    """`leaky_relu` as a layer; with slope 0 a ReLU."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, features: Tensor) -> Tensor:
        """Any shape and floating dtype to the same."""
        return leaky_relu(features, self.slope)


class FromOnePixel(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, computed as the matrix product that it is.

    cuDNN lays the gradients of such convolutions out otherwise than torch.compile expects of it, and what is compiled
    stops there (torch 2.11 on an H200).
    """

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Features (batch, channels, 1, 1) to (batch, out channels, *kernel size)."""
        shape = self.weight.shape[1:]
        bias = None if self.bias is None else self.bias[:, None].expand(-1, shape[1:].numel()).flatten()
        pixels = F.linear(features.flatten(1), self.weight.flatten(1).T, bias)
        return pixels.view(-1, *shape)


_FEW: Final = 4  # channels
_TAPS: Final = ((3, 1, 4), (4, 2, 0))  # of a 4x4 kernel, for each of two output pixels and three inputs; 4: none


def double(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A transposed convolution by 4x4 kernels with stride 2 and padding 1: (batch, in, h, w) to (batch, out, 2 h, 2 w).

    On a CPU with few output channels it is computed as a 3x3 convolution to four pixels at once, in half the time: a
    kernel that makes only three numbers reaches a tenth of what others do (benchmarks/convolutions.py).

    Args:
        features: Of any floating dtype.
        weight: (in, out, 4, 4).
        bias: (out,).
    """
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    if exporting or features.device.type != "cpu" or weight.shape[1] > _FEW:
        return F.conv_transpose2d(features, weight, bias, stride=2, padding=1)
    taps = torch.tensor(_TAPS)
    padded = F.pad(weight, (0, 1, 0, 1))[:, :, taps[:, :, None, None], taps]  # (in, out, 2, 3, 2, 3)
    kernels = padded.permute(1, 2, 4, 0, 3, 5).flatten(0, 2).contiguous(memory_format=torch.channels_last)
    four = None if bias is None else bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(features, kernels, four, padding=1), 2)


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution by 4x4 kernels with stride 2 and padding 1, see `double`."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__(wide, narrow, 4, stride=2, padding=1)

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Features (batch, wide, height, width) to (batch, narrow, 2 height, 2 width)."""
        return double(features, self.weight, self.bias)


class FixedLinear(nn.Module, ABC):
    """A linear layer without weights."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, ...) to others."""

    @abstractmethod
    def transposed(self, slopes: Tensor) -> Tensor:
        """A slope by the outputs to that by the inputs: the layer's matrix, transposed, times it."""


class MeanPool(FixedLinear):
    """Halves height and width by means of 2x2 pixels."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, height, width) to half the height and width."""
        return F.avg_pool2d(features, 2)

    def transposed(self, slopes: Tensor) -> Tensor:
        """As `FixedLinear.transposed`."""
        return F.interpolate(slopes / 4, scale_factor=2)


class Flatten(FixedLinear):
    """All pixels of one channel, which are one pixel, to one number."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, 1, 1) to (batch, channels)."""
        return features.flatten(1)

    def transposed(self, slopes: Tensor) -> Tensor:
        """As `FixedLinear.transposed`."""
        return slopes[:, :, None, None]


class Branches(nn.Module, ABC):
    """A sum of two paths of layers."""

    @abstractmethod
    def paths(self) -> tuple[Sequence[nn.Module], Sequence[nn.Module]]:
        """The layers of each, in order; of an empty path the output is the input."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, height, width) to others."""
        first, second = (follow(path, features) for path in self.paths())
        return first + second


class LocalResponseNorm(nn.Module):
    """a_c / (bias + alpha * sum over |i - c| <= radius of a_i^2)^beta, over channels (Krizhevsky et al. 2012, 3.3).

    The arguments are TensorFlow's. torch's own layer takes the sum by a 3D average pooling, whose gradients are slow;
    as a 1x1 convolution with a band of ones, a critic's step under WGAN-GP takes a third to a half of the time on a CPU
    (benchmarks/response_norm.py).
    """

    band: Tensor
    bias: Tensor

    def __init__(self, channels: int, radius: int, alpha: float, beta: float, bias: float) -> None:
        super().__init__()
        self.beta = beta
        place = torch.arange(channels)
        near = (place - place[:, None]).abs() <= radius
        self.register_buffer("band", alpha * near[:, :, None, None].float(), persistent=False)
        self.register_buffer("bias", torch.full((channels,), bias), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, height, width) to the same, in float32 or what autocast makes of it."""
        return features * F.conv2d(features.square(), self.band, self.bias).pow(-self.beta)


class PixelNorm(nn.Module):
    """Scales each pixel's feature vector to unit root mean square (Karras et al. 2018, section 4.2).

    It looks at one pixel of one sample only, so unlike batch norm it mixes no samples.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalises `features` (batch, channels, height, width) over the channels."""
        return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-8)


class ClassEmbedding(nn.Module):
    """A vector per class, summed over the classes of an image, without bias.

    It starts at zero and draws nothing, so a conditional network starts as the unconditional one of the same seed.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, classes))

    def forward(self, labels: Tensor) -> Tensor:
        """Labels (batch, classes), one-hot or multi-hot, to vectors (batch, channels)."""
        return F.linear(labels, self.weight)


class ConditionalPixelNorm(nn.Module):
    """Pixel norm, then a gain and a shift of each channel that the classes decide; at first 1 and 0."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = PixelNorm()
        self.gain = ClassEmbedding(classes, channels)
        self.shift = ClassEmbedding(classes, channels)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Normalises `features` (batch, channels, height, width) for `labels` (batch, classes)."""
        gain, shift = self.gain(labels), self.shift(labels)
        modulated: Tensor = self.norm(features) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]
        return modulated


class Generator(nn.Module, ABC):
    """A generator in two parts; between them truncation takes the features of an image towards their mean.

    The first part ends after the first nonlinear layer: before it, features are a linear function of the latents, and
    where pixel norm follows, their length does not matter, so that nothing would change.
    """

    classes: int | None

    @abstractmethod
    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """The first part: latents (batch, latent size) and labels (batch, classes) to features of any shape."""

    @abstractmethod
    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """The rest: what `base` gives, and the same labels, to images (batch, 3, size, size)."""

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (batch, latent size) and labels (batch, classes) to images (batch, 3, size, size)."""
        check_labels(labels, self.classes)
        return self.synthesize(self.base(latents, labels), labels)


class Discriminator(nn.Module, ABC):
    """A discriminator: a path of layers from images to features, and a linear score of these.

    Nothing in it mixes samples, because a gradient penalty is per sample.
    """

    classes: int | None
    score: "Score | ImageScore"
    projection: "Projection | None"

    @abstractmethod
    def path(self) -> Sequence[nn.Module]:
        """The layers from images to features, in order."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (batch, 3, size, size) in [-1, 1] and labels (batch, classes) to scores (batch,)."""
        check_labels(labels, self.classes)
        return self.score_of(follow(self.path(), images), labels)

    def score_of(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features (batch, channels, ...) to scores (batch,), float32 at least."""
        scores: Tensor = self.score(features)
        return scores if self.projection is None else scores + self.projection(full_precision(features), labels)

    def slopes_of_score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """The slopes of `score_of` by the features, of their shape, float32 at least."""
        weight: Tensor = self.score.weight.view(1, *features.shape[1:])
        if self.projection is None:
            return weight.expand_as(features)
        embedded: Tensor = self.projection.embedding(labels)
        return weight + embedded.view(*embedded.shape, *[1] * (features.ndim - 2))


class Score(nn.Linear):
    """One number from all features, computed in float32 at least: in bfloat16 there is nothing between 33 and 33.25."""

    def __init__(self, features: int, bias: bool = True) -> None:
        super().__init__(features, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, ...) to scores (batch,)."""
        return _score(features, self.weight, self.bias)


class ImageScore(nn.Conv2d):
    """As `Score`, as a convolution as large as the features: so its weights are known in snapshots."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__(channels, 1, side)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, side, side) to scores (batch,)."""
        return _score(features, self.weight, self.bias)


def _score(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    device = features.device.type
    with torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext():
        return F.linear(full_precision(features).flatten(1), weight.flatten(1), bias).flatten()


class LabelledSequential(nn.Sequential):
    """A sequence whose conditional norms are given the labels."""

    def forward(
        self, features: Tensor, labels: Tensor | None = None, start: int = 0, stop: int | None = None
    ) -> Tensor:
        """Applies the layers in order: all, or those from number `start` to before number `stop`."""
        for layer in list(self)[start:stop]:
            features = layer(features, labels) if isinstance(layer, ConditionalPixelNorm) else layer(features)
        return features


class Projection(nn.Module):
    """The part of a score that depends on the classes: <embedding of the labels, features> (Miyato and Koyama 2018).

    With one class that every image has, the embedding does no more than add to the weights of the score's own linear
    layer: conditional and unconditional discriminators are then the same functions.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(classes, channels)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (batch, channels), or (batch, channels, height, width) to be summed over space, to (batch,)."""
        vectors: Tensor = features.flatten(2).sum(dim=2) if features.ndim > 2 else features
        scores: Tensor = (self.embedding(labels) * vectors).sum(dim=1)
        return scores


def follow(path: Iterable[nn.Module], features: Tensor) -> Tensor:
    """Applies layers in order."""
    for layer in path:
        features = layer(features)
    return features


def pixel_norm(channels: int, classes: int | None) -> nn.Module:
    """Pixel norm, conditional where there are classes."""
    return PixelNorm() if classes is None else ConditionalPixelNorm(channels, classes)


def check_labels(labels: Tensor | None, classes: int | None) -> None:
    """Raises NetworkError for labels that do not belong to a network of `classes` classes."""
    if classes is None and labels is not None:
        raise NetworkError("this network was built without classes and takes no labels; build it with classes=k")
    if classes is not None and (labels is None or labels.ndim != 2 or labels.shape[1] != classes):
        given = "none" if labels is None else f"shape {tuple(labels.shape)}"
        raise NetworkError(f"this network needs labels of shape (batch, {classes}), one column a class; got {given}")


def widths_down_to_4(width: int, max_width: int, size: int) -> Iterator[int]:
    """Channels at size, size/2, ..., 4 pixels: they double with each halving, up to a limit."""
    while size >= 4:
        yield min(width, max_width)
        width, size = width * 2, size // 2


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a network has a layer that mixes the samples of a batch and stores their statistics."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
