"""What augmentation costs on CPU: milliseconds per batch of 64 at 64x64, beside a discriminator step of `celeba`.

The step is WGAN-GP's on the preset's discriminator, with the preset's precision on this machine, channels_last and
fused Adam; its fakes are made beforehand. A step augments two batches, reals and fakes. "There" is the way a batch
takes when the discriminator is trained; "and back" adds the gradient in the images, which the generator's step and a
penalty need. Everything is timed in turn, so that ratios hold while the machine's speed drifts; figures are medians
of the process's CPU time per thread over rounds, which neighbours on the machine disturb little.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from machine import describe, matrix_product_ms
from torch import Tensor

from celeba_gan.foundation.precision import computes_bfloat16
from celeba_gan.gan.augment.config import AugmentSettings
from celeba_gan.gan.augment.transforms import augment, draw
from celeba_gan.gan.networks.build import build_discriminator
from celeba_gan.gan.networks.config import NetworkSettings

SIZE, BATCH = 64, 64
COLOURS = ("brightness", "contrast", "luma_flip", "hue", "saturation")
GEOMETRY = ("x_flip", "rotate90", "translation", "scaling", "rotation", "anisotropic_scaling", "fractional_translation")
VARIANTS: dict[str, dict[str, Any]] = {
    "diffaugment": {"name": "diffaugment"},
    "ada": {"name": "ada"},
    "ada, geometry alone": {"name": "ada", "ada": dict.fromkeys(COLOURS, 0)},
    "ada, colour alone": {"name": "ada", "ada": dict.fromkeys(GEOMETRY, 0)},
}


def preset_network() -> NetworkSettings:
    """The networks of conf/celeba: conf/base with the differences laid over it."""
    merged: dict[str, Any] = {}
    for environment in ("base", "celeba"):
        file = Path(__file__).parents[1] / "conf" / environment / "parameters.yml"
        for name, value in yaml.safe_load(file.read_text())["train"].get("network", {}).items():
            merged[name] = merged.get(name, {}) | value if isinstance(value, dict) else value
    return NetworkSettings.model_validate(merged)


def discriminator_step(network: NetworkSettings, precision: str) -> Callable[[], None]:
    """One WGAN-GP step without augmentation."""
    discriminator = build_discriminator(network, SIZE).to(memory_format=torch.channels_last)
    parameters = list(discriminator.parameters())
    adam = torch.optim.Adam(parameters, lr=2e-4, betas=(0.0, 0.9), fused=True)
    real, fake = pictures(), pictures()

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            on_real, on_fake = discriminator(torch.cat([real, fake])).float().chunk(2)
            mixed = torch.lerp(fake, real, torch.rand(BATCH, 1, 1, 1))
            slopes = torch.func.grad(lambda images: discriminator(images).sum())(mixed)
        penalty = 10 * (slopes.float().flatten(1).square().sum(dim=1).add(1e-12).sqrt() - 1).square().mean()
        adam.zero_grad()
        torch.autograd.backward(on_fake.mean() - on_real.mean() + penalty, inputs=parameters)
        adam.step()

    return step


def augmentation(settings: AugmentSettings, back: bool) -> Callable[[], None]:
    """One batch, drawn and augmented at p = 0.5 (DiffAugment: 1), with the gradient in its images or without."""
    images = pictures().requires_grad_(back)
    generator = torch.Generator().manual_seed(0)
    strength = torch.tensor(1.0 if settings.name == "diffaugment" else 0.5)

    def once() -> None:
        changed = augment(images, draw(settings, BATCH, generator), settings, strength)
        if back:
            torch.autograd.grad(changed.sum(), images)

    return once


def pictures() -> Tensor:
    return (torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1).contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    network, precision = preset_network(), "bfloat16" if computes_bfloat16("cpu") else "float32"
    print(f"Augmentation of {BATCH} images at {SIZE}x{SIZE} ({describe()})")
    work = {"step": discriminator_step(network, precision)}
    for name, values in VARIANTS.items():
        settings = AugmentSettings.model_validate(values)
        work |= {name: augmentation(settings, back=False), f"{name} back": augmentation(settings, back=True)}
    seconds: dict[str, list[float]] = defaultdict(list)
    products = []
    for index in range(arguments.rounds + 1):  # the first round warms up
        products.append(matrix_product_ms())
        for name, once in work.items():
            began = time.process_time()
            once()
            if index:
                seconds[name].append((time.process_time() - began) / torch.get_num_threads())
    ms = {name: statistics.median(values) * 1000 for name, values in seconds.items()}
    print(f"discriminator step, {network.name}, {precision}: {ms['step']:.1f} ms")
    for name in VARIANTS:
        share = 2 * ms[name] / ms["step"]
        print(
            f"{name:20} {ms[name]:6.1f} ms there, {ms[f'{name} back']:6.1f} ms and back; two batches {share:.1%} of it"
        )
    print(f"medians of {arguments.rounds} rounds; 1024^3 float32 product {statistics.median(products):.1f} ms")


if __name__ == "__main__":
    main()
