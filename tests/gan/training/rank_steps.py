"""Iterations in float64, by one process or by several ranks: `python rank_steps.py RECIPES RESULTS`, for each rank."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import Draws, ImageFeed
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps
from celeba_gan.ranks.group import ALONE, Ranks, join


class Pictures:
    """100 random images, of which 80 are for training; notes which were read."""

    digest = "random"

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = np.random.default_rng(0).integers(0, 256, (100, size, size, 3), dtype=np.uint8)
        self.read: list[int] = []

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 80), "valid": (80, 100)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.read += indices.tolist()
        return self.pixels[indices]


class Feed64(ImageFeed):
    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        images, labels = super().batch(draws)
        return images, labels.double()


def compute(recipe: dict[str, Any], iterations: int, ranks: Ranks = ALONE) -> dict[str, Tensor]:
    """The gradients of the first iteration's steps, all weights after the last one, p, and the terms' means."""
    settings = TrainSettings.model_validate(recipe)
    pictures = Pictures(32 if settings.network.name == "resnet" else 16)
    hardware = choose_hardware(settings, None)
    labelled = settings.condition.name == "class"
    labels = np.arange(100) % 3
    conditions = Conditions("class", ("a", "b", "c"), labels) if labelled else Conditions.none()
    pair = Pair(settings, pictures.size, hardware, 3 if labelled else None, ranks)
    for network in pair.networks.values():
        network.double().register_forward_pre_hook(_in_float64)
    steps = Steps(settings, hardware, pair, ranks=ranks)
    feed = Feed64(settings, pictures, hardware, conditions, ranks=ranks)
    if steps.augmentation.needs_valid:
        steps.valid = Feed64(settings, pictures, hardware, conditions, "valid", ranks)
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def kept(*_: Any) -> None:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in pair.networks[name].parameters()]
            count = sum(key.startswith(f"gradient {name}") for key in found)
            found[f"gradient {name} {count}"] = torch.cat([gradient.flatten() for gradient in gradients])

        return kept

    hooks = [optimizer.register_step_pre_hook(keep(name)) for name, optimizer in pair.optimizers.items()]
    for iteration in range(iterations):
        images = (iteration + 1) * settings.images_per_iteration
        terms = steps.iterate(feed, iteration, images)
        if iteration == 0:
            for hook in hooks:
                hook.remove()
            rows = ranks.rows(settings.batch_size)
            values = torch.stack(list(terms.values())).double() * (rows.stop - rows.start) / settings.batch_size
            ranks.sum_([values])
            found["terms"] = values[[name != "auc" for name in terms]]  # the mean of the ranks' is another number
    found |= {f"weights {name}": value.clone() for name, value in pair.state_dict().items() if "_optimizer" not in name}
    found |= {"augment.p": steps.augmentation.p, "broken": pair.broken}
    found["read"] = torch.tensor(sorted(pictures.read))
    return found


def _in_float64(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(values.double() for values in inputs)


def main(recipes: Path, results: Path) -> None:
    ranks = join()
    for name, (recipe, iterations) in json.loads(recipes.read_text()).items():
        found = compute(recipe, iterations, ranks)
        save_file({key: value.contiguous() for key, value in found.items()}, results / f"{name}-{ranks.place.rank}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
