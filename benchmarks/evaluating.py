"""What evaluation costs on the CPU, section by section.

`frechet`: the distance between two sets of 5,000 features of 2,048 dimensions, as of Inception-V3, with its error and
its limit for sets without end. The features are those of a ReLU over a spectrum that falls.
Wall-clock time is what a user waits; CPU time has less of what runs beside.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import describe, matrix_product_ms
from numpy.typing import NDArray

from celeba_gan.evaluation.frechet import Gaussian, frechet_distance, measure_frechet

FEATURES, DIMENSIONS = 5000, 2048
TARGET = 10.0  # seconds


def features(seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """(5000, 2048), at or above 0."""
    random, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    weights = mixing.normal(size=(DIMENSIONS, DIMENSIONS)) * (1 + np.arange(DIMENSIONS)[:, None]) ** -0.5
    values = random.normal(size=(FEATURES, DIMENSIONS)) @ weights * scale + 0.5
    return np.maximum(values, 0).astype(np.float32)


def timed(name: str, measure: Callable[[], object]) -> float:
    """Prints and returns the seconds of one call."""
    began, cpu = time.perf_counter(), time.process_time()
    found = measure()
    seconds = time.perf_counter() - began
    print(f"{name}: {seconds:.1f} s, {time.process_time() - cpu:.1f} CPU s ({found})")
    return seconds


def frechet() -> None:
    first, second = features(0), features(1, scale=1.1)

    def distance() -> str:
        return f"{frechet_distance(Gaussian.of([first]), Gaussian.of([second])):.3f}"

    def everything() -> str:
        found = measure_frechet(first, second)
        return f"{found.value:.3f} +- {found.standard_error():.3f}, without end {found.of_infinite_sets:.3f}"

    timed("the distance alone", distance)
    seconds = timed("with its error and its limit", everything)
    print(f"target, under {TARGET:g} s with all: {'met' if seconds < TARGET else 'missed'}")


SECTIONS: dict[str, Callable[[], None]] = {"frechet": frechet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=f"of {', '.join(SECTIONS)}; default all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}, only {', '.join(SECTIONS)}")
    torch.set_num_threads(arguments.threads)
    print(f"{describe()}; 1024^3 float32 product {matrix_product_ms():.1f} ms")
    for section in arguments.sections:
        SECTIONS[section]()


if __name__ == "__main__":
    main()
