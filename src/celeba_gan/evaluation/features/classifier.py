"""The project's own features: a small residual network that classifies the forty attributes of a face.

It is trained on the same images as the generator, so nothing need be downloaded. Its features represent hair, glasses
and smiles, and its last layer finds the attributes of samples. Numbers measured with two classifiers cannot be
compared: the digest of its weights is in the protocol.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from celeba_gan.evaluation.documents import AttributeQuality
from celeba_gan.evaluation.features.card import ClassifierReport
from celeba_gan.foundation.pixels import Images, from_uint8
from celeba_gan.foundation.precision import computes_bfloat16, full_float32

CLASSIFIER_VERSION = 2  # another architecture or way of training makes other features
FEATURES = 128
LEAST_IMAGES = 64  # for training
_BATCH = 16  # larger ones take less time for an image, but learn far less from it (benchmarks/SPEED.md)
_PEAK_RATE = 4e-3


class ClassifierError(ValueError):
    """The classifier cannot be trained on these images; the message says why and what to do."""


class GroupNorm(nn.GroupNorm):
    """In float32 whatever comes in: in bfloat16, torch's own makes a training step on a CPU a quarter longer."""

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, ...) to float32 of the same shape."""
        return super().forward(features.float())


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, with group norm, which is independent of the batch."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            GroupNorm(8, narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False),
            GroupNorm(8, wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
        )
        same = narrow == wide and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(narrow, wide, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, narrow, height, width) to (batch, wide, height / stride, width / stride)."""
        sum_: Tensor = self.residual(features) + self.shortcut(features)
        return sum_


class AttributeNetwork(nn.Module):
    """Images to 128 features, the mean over all places, and from them a logit per attribute."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, padding=1, bias=False),
            Block(32, 32, 1),
            Block(32, 64, 2),
            Block(64, FEATURES, 2),
            GroupNorm(8, FEATURES),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(FEATURES, attributes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (batch, 3, height, width) in [-1, 1] to features (batch, 128) and logits (batch, attributes)."""
        features: Tensor = self.body(images)
        return features, self.head(features)


@dataclass(frozen=True)
class LabelledImages:
    """A set of images with their attributes."""

    gather: Callable[[NDArray[np.int64]], Images]
    """Positions in the set -> uint8 (n, height, width, 3)."""
    attributes: NDArray[np.int_]
    """Zeros and ones (images, attributes)."""


class AttributeClassifier:
    """A trained network with the names of its attributes; its features are named `attributes`."""

    def __init__(self, attributes: Sequence[str], tensors: Mapping[str, Tensor], device: str = "cpu") -> None:
        self.attributes = list(attributes)
        self.device = device
        with torch.device("meta"):  # initial weights would only be overwritten
            self.network = AttributeNetwork(len(attributes))
        self.network.load_state_dict(dict(tensors), assign=True)
        self.network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.digest = digest_of(tensors)
        self.name = "attributes"

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Features (n, 128) of uint8 images (n, side, side, 3)."""
        return self.describe(images)[0]

    def describe(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (n, 128) and probabilities of the attributes (n, attributes) of uint8 images (n, side, side, 3)."""
        features, probabilities = [], []
        with torch.inference_mode(), full_float32():
            for start in range(0, len(images), 256):
                found, logits = self.network(from_uint8(images[start : start + 256]).to(self.device))
                features.append(found.float().cpu())
                probabilities.append(logits.float().sigmoid().cpu())
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that identify these weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@full_float32()
def fit_classifier(
    train: LabelledImages,
    valid: LabelledImages,
    names: Sequence[str],
    *,
    epochs: int,
    seed: int,
    device: str = "cpu",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Tensor], ClassifierReport]:
    """Trains a classifier of the attributes `names` on one set, and measures it on another: weights and report.

    AdamW with a one-cycle learning rate; images are mirrored at random. An attribute that all or none of the valid
    images have is trained like the others, and left out of the mean AUC. The weights are on the CPU. The same seed
    gives the same weights on the same kind of machine, with as many threads.

    `precision` is that of the convolutions, `auto` bfloat16 where the device computes it in hardware; weights, norms,
    loss and measurement are float32. `progress` is called after each step with (images seen, images to see).

    Raises:
        ClassifierError: There are no attributes, or too few images.
    """
    if not names:
        raise ClassifierError("These images have no attributes to train the classifier on")
    if len(train.attributes) < LEAST_IMAGES or len(valid.attributes) < 2:
        raise ClassifierError(
            f"The classifier needs {LEAST_IMAGES} training images and 2 valid images, there are "
            f"{len(train.attributes)} and {len(valid.attributes)}"
        )
    kind = torch.device(device).type
    bfloat16 = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(kind))
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AttributeNetwork(len(names)).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK_RATE, weight_decay=1e-2, fused=True)
    steps = epochs * (len(train.attributes) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_PEAK_RATE, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(train.attributes), generator=random)
        for step, chosen in enumerate(torch.split(order[: len(order) // _BATCH * _BATCH], _BATCH)):
            images = from_uint8(train.gather(chosen.numpy())).to(device)
            mirrored = (torch.rand(len(images), generator=random) < 0.5).to(device)
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
            targets = torch.from_numpy(train.attributes[chosen.numpy()]).float().to(device)
            with torch.autocast(kind, torch.bfloat16, enabled=bfloat16):
                logits = network(images)[1]
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress((epoch * (steps // epochs) + step + 1) * _BATCH, steps * _BATCH)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return tensors, _measure(AttributeClassifier(names, tensors, device), valid)


def _measure(classifier: AttributeClassifier, valid: LabelledImages) -> ClassifierReport:
    _, probabilities = classifier.describe(valid.gather(np.arange(len(valid.attributes))))
    accuracies = ((probabilities > 0.5) == valid.attributes).mean(axis=0)
    areas = [area_under_curve(p[t == 1], p[t == 0]) for p, t in zip(probabilities.T, valid.attributes.T, strict=True)]
    known = [area for area in areas if area is not None]
    attributes = {
        name: AttributeQuality(accuracy=float(accuracy), auc=area)
        for name, accuracy, area in zip(classifier.attributes, accuracies, areas, strict=True)
    }
    mean = float(np.mean(known)) if known else None
    return ClassifierReport(
        accuracy=float(accuracies.mean()), auc=mean, images=len(valid.attributes), attributes=attributes
    )


def area_under_curve(of_ones: NDArray[Any], of_zeros: NDArray[Any]) -> float | None:
    """The probability that a score of the first kind exceeds one of the second, ties half; None without a pair."""
    if not len(of_ones) or not len(of_zeros):
        return None
    zeros = np.sort(of_zeros)
    below = np.searchsorted(zeros, of_ones, "left") + np.searchsorted(zeros, of_ones, "right")
    return float(below.mean() / (2 * len(zeros)))
