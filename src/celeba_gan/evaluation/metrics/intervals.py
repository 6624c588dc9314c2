"""How sure a number is: intervals from resampling what it was measured on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Resampled = Callable[[Sequence[NDArray[np.int64]]], float]
"""Indices into each set -> the number measured on those."""


@dataclass(frozen=True)
class Interval:
    """A range that holds the number with a probability of 0.95, and how it was found."""

    low: float
    high: float
    method: str

    def card(self) -> dict[str, float | str]:
        """As JSON."""
        return asdict(self)


def around(value: float, reach: float, method: str) -> Interval:
    """From `reach` below the value to as much above."""
    return Interval(value - reach, value + reach, method)


def bootstrap(measure: Resampled, sizes: Sequence[int], value: float, seed: int, rounds: int = 200) -> Interval:
    """Draws every set anew, with replacement, `rounds` times (Efron 1979).

    A set with repetitions has another expectation than one without (a Fréchet distance grows), so the spread is taken
    from the rounds and laid about the value that was measured.

    Args:
        measure: Gives the number for indices into each set.
        sizes: Of the sets.
        value: The number measured on all.
        seed: Decides the draws.
        rounds: How many.
    """
    random = np.random.default_rng(seed)
    values = [measure([random.integers(0, size, size) for size in sizes]) for _ in range(rounds)]
    low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
    return Interval(value + float(low - middle), value + float(high - middle), f"bootstrap of {rounds}")
