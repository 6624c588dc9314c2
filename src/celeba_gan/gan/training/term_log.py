"""Loss terms, kept on the device and read once per tick."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from celeba_gan.gan.losses.objectives import Terms


@dataclass(frozen=True)
class Broken:
    """The first term that was NaN or infinite."""

    term: str
    value: float
    images: int  # seen by the discriminator in the whole iterations before it


class TermLog:
    """Collects the terms of each iteration between two ticks."""

    def __init__(self, learning_rate: Callable[[str, int], float]) -> None:
        """Logs beside the terms the learning rates of both networks, by name, after so many images."""
        self._learning_rate = learning_rate
        self.start(0)

    def start(self, images: int) -> None:
        """Begins a tick at this image count."""
        self._images: list[int] = [images]
        self._names: list[list[str]] = []
        self._terms: list[torch.Tensor] = []
        self._began = time.perf_counter()

    def add(self, images: int, terms: Terms) -> None:
        """Adds the scalar terms of the iteration that ended at this image count; nothing is read yet.

        Not every iteration has the same ones: a lazy penalty is now and then only.
        """
        self._names.append(list(terms))
        self._images.append(images)
        self._terms.append(torch.stack(list(terms.values())))

    def rows(
        self, count: int, average: Callable[[torch.Tensor], None] | None = None
    ) -> tuple[list[dict[str, float]], Broken | None]:
        """Reads the terms: up to `count` rows, each the mean over an equal share of the iterations, and what broke.

        A row has `images` (the clock at its end), the terms by name, `images_per_second` and the learning rates.
        Rows end before the first iteration that was not finite. `average` makes the terms of this rank those of all,
        in place.
        """
        if not self._terms:
            return [], None
        found = torch.cat(self._terms)
        if average is not None:
            average(found)
        flat = iter(found.tolist())  # the only host sync
        values = [{name: next(flat) for name in names} for names in self._names]
        seconds = time.perf_counter() - self._began
        speed = (self._images[-1] - self._images[0]) / seconds
        seen = self._images[-1]
        rates = {f"learning_rate_{who}": self._learning_rate(who, seen) for who in ("generator", "discriminator")}
        broken = None
        for iteration, terms in enumerate(values):
            bad = [name for name, value in terms.items() if not math.isfinite(value)]
            if bad:
                broken = Broken(bad[0], terms[bad[0]], self._images[iteration])
                values = values[:iteration]
                break
        rows = []
        for share in np.array_split(np.arange(len(values)), count):
            if len(share):
                images = float(self._images[share[-1] + 1])
                means = _means([values[iteration] for iteration in share])
                rows.append({"images": images, **means, "images_per_second": speed, **rates})
        return rows, broken


def _means(values: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each term over those iterations that have it."""
    names = dict.fromkeys(name for terms in values for name in terms)
    return {name: float(np.mean([terms[name] for terms in values if name in terms])) for name in names}
