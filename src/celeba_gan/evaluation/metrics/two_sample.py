"""A classifier two-sample test (Lopez-Paz and Oquab 2017): can a new network tell samples from unseen photographs?

The discriminator of the training would be biased: it was trained against this very generator, on the training images.
So a new one is trained on photographs that the generator never saw and on new samples, and is tested on others.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.evaluation.features.classifier import area_under_curve
from celeba_gan.evaluation.metrics.age import average_generalisation_error
from celeba_gan.evaluation.metrics.metric import Metric, Number
from celeba_gan.foundation.pixels import Images, from_uint8
from celeba_gan.foundation.precision import full_float32

logger = logging.getLogger(__name__)

_BATCH = 64


@dataclass(frozen=True)
class Sides:
    """Photographs and samples, uint8 (n, size, size, 3) each."""

    real: Images
    fake: Images


@full_float32()
def two_sample_test(
    network: nn.Module,
    train: Sides,
    choose: Sides,
    test: Sides,
    *,
    steps: int = 250,
    patience: int = 4,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Trains `network` on `train`, restores the epoch with the least loss on `choose`, and measures it on `test`.

    The network starts from its present weights, on its device, and is changed; it gives a score per image, (batch,)
    from (batch, 3, size, size) in [-1, 1]. Training takes about `steps` optimiser steps of 64 images, whatever the
    number of images: the last epoch is finished, and an epoch has at most `steps` steps, so that there are fewer than
    twice as many. It stops earlier after `patience` epochs without improvement; images are mirrored at random.
    `progress` is called after each step with (steps done, steps to do), and at the end.

    Returns:
        `c2st_accuracy` and `c2st_auc`, one half for chance; `c2st_age` and `c2st_age_mean_square`, the average
        generalisation error by its probabilities, and `c2st_prob_real` and `c2st_prob_fake`, their means. Accuracy and
        AUC also on `train` and `choose`, as `c2st_accuracy_train` and so on: where they are far higher, it overfits.

    Raises:
        ValueError: A side has no images.
    """
    if not all(len(side) for sides in (train, choose, test) for side in (sides.real, sides.fake)):
        raise ValueError("The two-sample test needs photographs and samples to train, to choose and to test on")
    random = torch.Generator().manual_seed(seed)
    device = next(network.parameters()).device
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=1e-2)
    best, kept, waited = np.inf, copy.deepcopy(network.state_dict()), 0
    images = np.concatenate([train.real, train.fake])
    targets = torch.cat([torch.ones(len(train.real)), torch.zeros(len(train.fake))])
    epochs, an_epoch = math.ceil(steps * _BATCH / len(images)), min(steps, math.ceil(len(images) / _BATCH))
    done, began = 0, time.perf_counter()
    for _ in range(epochs):
        network.train()
        for chosen in torch.split(torch.randperm(len(images), generator=random), _BATCH)[:an_epoch]:
            batch = from_uint8(images[chosen.numpy()]).to(device)
            mirrored = (torch.rand(len(batch), generator=random) < 0.5).to(device)
            batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            # Sides of different sizes count the same.
            weight = torch.where(targets[chosen] > 0, len(images) / len(train.real), len(images) / len(train.fake)) / 2
            loss = F.binary_cross_entropy_with_logits(network(batch), targets[chosen].to(device), weight.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            done += 1
            if progress is not None:
                progress(done, epochs * an_epoch)
        real, fake = (_scores(network, side) for side in (choose.real, choose.fake))
        chosen_loss = float(F.softplus(-real).mean() + F.softplus(fake).mean())
        waited = waited + 1 if chosen_loss >= best else 0
        if not waited:
            best, kept = chosen_loss, copy.deepcopy(network.state_dict())
        elif waited == patience:
            break
    logger.info("The new classifier of samples and reals took %d steps, %.1f s", done, time.perf_counter() - began)
    if progress is not None:
        progress(epochs * an_epoch, epochs * an_epoch)
    network.load_state_dict(kept)
    found: dict[str, float] = {}
    for suffix, sides in (("", test), ("_train", train), ("_choose", choose)):
        on_real, on_fake = (_scores(network, side).double().numpy() for side in (sides.real, sides.fake))
        found[f"c2st_accuracy{suffix}"] = float(((on_real > 0).mean() + (on_fake <= 0).mean()) / 2)
        area = area_under_curve(on_real, on_fake)
        assert area is not None  # neither side is empty
        found[f"c2st_auc{suffix}"] = area
        if sides is test:
            age = average_generalisation_error(on_real, on_fake, "sigmoid", 0.0)
            found |= {f"c2st_{name}": value for name, value in age.items()}
    return found


def _scores(network: nn.Module, images: Images) -> Tensor:
    network.eval()
    device = next(network.parameters()).device
    parts = [from_uint8(images[start : start + 256]) for start in range(0, len(images), 256)]
    with torch.inference_mode():
        return torch.cat([network(part.to(device)).float().cpu() for part in parts])


TWO_SAMPLE = Metric(
    needs="new discriminator",
    numbers=(
        Number("c2st_accuracy", "Accuracy of a new classifier", "discriminator", "less",
                "Accuracy of a network trained to tell samples from unseen images; 50 % is chance.", "share",
                ends=(0.5, 1), by_definition=0.5,
                terminal=("Classifier", "accuracy of a new classifier, samples against unseen images; 0.5 is chance")),
        Number("c2st_auc", "AUC of a new classifier", "discriminator", "less",
                "How often it scores a real image above a sample; 0.5 is chance.", ends=(0.5, 1), by_definition=0.5),
        # Above 0.5 the classifier is wrong with confidence, which is no better: neither way is.
        Number("c2st_age", "AGE of a new classifier", "discriminator", None,
                "Its average generalisation error: 0.5 for chance, 0 where it is always right.", target="near 0.5",
                ends=(0, 0.5), by_definition=0.5),
        Number("c2st_age_mean_square", "AGE of a new classifier, mean of squares", "discriminator", None,
                "Another reading of the same formula.", target="near 0.5", ends=(0, 0.5), minor=True),
        Number("c2st_prob_real", "Its probability for reals", "discriminator", None,
                "The mean probability that the new classifier gives real images.", ends=(0, 1), minor=True),
        Number("c2st_prob_fake", "Its probability for samples", "discriminator", None,
                "The mean probability that the new classifier gives samples.", ends=(0, 1), minor=True),
    ),
)  # fmt: skip
