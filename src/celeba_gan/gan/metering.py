"""Loss terms, kept on the device and read once per tick."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.optim import Optimizer

from celeba_gan.gan.objectives import Terms


@dataclass(frozen=True)
class Broken:
    """The first term that was NaN or infinite."""

    term: str
    value: float
    shown: int
    """Images shown to the discriminator in the whole iterations before it."""


class Meter:
    """Collects the terms of each iteration between two ticks."""

    def __init__(self, generator_optimizer: Optimizer, discriminator_optimizer: Optimizer) -> None:
        self._optimizers = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
        self.start(0)

    def start(self, shown: int) -> None:
        """Begins a tick at this image count."""
        self._shown: list[int] = [shown]
        self._names: list[str] = []
        self._terms: list[torch.Tensor] = []
        self._began = time.perf_counter()

    def add(self, shown: int, terms: Terms) -> None:
        """Notes the scalar terms of the iteration that ended at this image count; nothing is read yet."""
        self._names = list(terms)
        self._shown.append(shown)
        self._terms.append(torch.stack(list(terms.values())))

    def rows(self, count: int) -> tuple[list[dict[str, float]], Broken | None]:
        """Reads the terms: up to `count` rows, each the mean over an equal share of the iterations, and what broke.

        A row has `images` (the clock at its end), the terms by name, `images_per_second` and the learning rates.
        Rows end before the first iteration that was not finite.
        """
        if not self._terms:
            return [], None
        values = torch.stack(self._terms).cpu().double().numpy()  # (iterations, terms)
        seconds = time.perf_counter() - self._began
        speed = (self._shown[-1] - self._shown[0]) / seconds
        rates = {f"learning_rate_{who}": float(opt.param_groups[0]["lr"]) for who, opt in self._optimizers.items()}
        broken = None
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            iteration, term = bad[0]
            broken = Broken(self._names[term], float(values[iteration, term]), self._shown[iteration])
            values = values[:iteration]
        rows = []
        for share in np.array_split(np.arange(len(values)), count):
            if len(share):
                means = dict(zip(self._names, map(float, values[share].mean(axis=0)), strict=True))
                shown = float(self._shown[share[-1] + 1])
                rows.append({"images": shown, **means, "images_per_second": speed, **rates})
        return rows, broken
