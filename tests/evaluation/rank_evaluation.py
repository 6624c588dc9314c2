"""An evaluation by several ranks: `python rank_evaluation.py RESULT`, for each."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_evaluation import Colours, brightness, new_discriminator, no_labels

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.evaluate import evaluate
from celeba_gan.evaluation.image_sets import Discriminator, Models, Reals, follow
from celeba_gan.ranks.group import ALONE, Ranks, join

SPLITS = {"train": (0, 700), "valid": (700, 1000), "test": (1000, 1300)}
SETTINGS = EvaluateSettings(swd_projections=16, swd_patches=4, bootstrap=20)


def noise(number: int, mean: float) -> NDArray[np.uint8]:
    return np.clip(np.random.default_rng(number).normal(mean, 20, (16, 16, 3)), 0, 255).astype(np.uint8)


def sample(count: int, seed: int, *, first: int = 0) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    for start in range(first, first + count, 64):
        numbers = range(start, min(start + 64, first + count))
        yield np.stack([noise(10_000 + seed % 1000 + one, 120) for one in numbers]), np.zeros((len(numbers), 0), "f4")


def measure(ranks: Ranks = ALONE) -> dict[str, Any]:
    pixels = np.stack([noise(number, 130) for number in range(1300)])
    reals = Reals(lambda indices: pixels[indices], no_labels, SPLITS, 16, "d", ranks=ranks)
    discriminator = Discriminator(brightness, "centred_sigmoid", "i", 160)
    models = Models(sample, "i", 160, True, 16, "d", discriminator, new_discriminator)
    colours, result = Colours(), None
    if ranks.leads:
        found = evaluate(models, reals, SETTINGS, [colours])
        ranks.announce("")
        result = found.evaluation.to_json() | {"samples": found.samples.tolist(), "labels": found.labels.tolist()}
    else:
        follow(ranks, models, reals, {"colours": colours})
    return {"seen": ranks.gather(colours.seen), "result": result}


if __name__ == "__main__":
    ranks = join()
    found = measure(ranks)
    if ranks.leads:
        Path(sys.argv[1]).write_text(json.dumps(found))
    ranks.finish()
