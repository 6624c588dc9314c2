"""Modes that each kind of training learns within a fixed budget of CPU time: how many, how evenly, how cleanly.

Images of a hundred modes (see `mode_images`), ten shapes in ten hues. 2,000 samples of the averaged generator are
judged when a quarter, a half and all of the CPU seconds are spent; judging does not count. The judge knows the modes
from images that no training saw. The first row is the judge's own floor: other real images. With a core to itself it
takes about a quarter of an hour; --only makes single rows.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from machine import describe
from mode_images import Judge, ModeImages, Verdict
from numpy.typing import NDArray

from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train

SECONDS = {16: 40, 32: 90}  # of CPU time, by the images' side: the larger networks exist from 32 on
SAMPLES = 2000


def penalty(**weights: float) -> dict[str, Any]:
    """Settings of exactly these penalties."""
    return {"gradient_penalty": {"weight": 0}} | {name: {"weight": weight} for name, weight in weights.items()}


def adam(learning_rate: float) -> dict[str, Any]:
    """Settings of both optimisers."""
    return {f"{player}_optimizer": {"learning_rate": learning_rate} for player in ("generator", "discriminator")}


R3 = {"name": "r3", "r3": {"width": 8, "max_width": 32, "blocks": 1}}
RESNET = {"name": "resnet", "resnet": {"width": 8, "max_width": 32}}
SPECTRAL = {"dcgan": {"width": 16}, "spectral_norm": True}
PRESETS: dict[str, tuple[int, dict[str, Any]]] = {
    "wgan, gradient penalty": (16, {"penalty": penalty(gradient_penalty=10), "n_critic": 3, **adam(2e-3)}),
    "wgan, weight clip 0.2": (16, {"penalty": penalty(), "weight_clip": 0.2, "n_critic": 3, **adam(2e-3)}),
    "non_saturating, r1": (16, {"objective": {"name": "non_saturating"}, "penalty": penalty(r1=1), **adam(2e-3)}),
    "hinge, spectral norm": (
        16,
        {"objective": {"name": "hinge"}, "penalty": penalty(), "network": SPECTRAL, **adam(1e-3)},
    ),
    "lsgan": (16, {"objective": {"name": "lsgan"}, "penalty": penalty(), **adam(5e-4)}),
    "rpgan, r1 + r2": (16, {"objective": {"name": "rpgan"}, "penalty": penalty(r1=1, r2=1), **adam(2e-3)}),
    "rpgan, r1 + r2, r3": (
        32,
        {"objective": {"name": "rpgan"}, "penalty": penalty(r1=1, r2=1), "network": R3, **adam(1e-3)},
    ),
    "wgan, gradient penalty, resnet": (
        32,
        {"penalty": penalty(gradient_penalty=10), "n_critic": 3, "network": RESNET, **adam(1e-3)},
    ),
}


def settings_of(preset: dict[str, Any]) -> TrainSettings:
    """A run without end whose ticks are short."""
    common = {
        "kimg": 1e6,
        "tick_kimg": 0.96,
        "rows_per_tick": 1,
        "batch_size": 16,
        "n_critic": 1,
        "mirror": False,
        "latent": {"size": 32},
        "network": {"dcgan": {"width": 16}},
        "ema": {"half_life_kimg": 2},
        "grid": {"rows": 1, "columns": 1},
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
    }
    return TrainSettings.model_validate(common | preset)


def samples_of(tick: Tick) -> NDArray[np.uint8]:
    """Samples of the averaged generator, always from the same noise."""
    return TrainedGenerator(tick.networks.generator).sample(SAMPLES, seed=1)


def measure(images: ModeImages, judge: Judge, settings: TrainSettings, seconds: float) -> tuple[int, list[Verdict]]:
    """Trains for so much CPU time. Returns the images shown, and the verdicts at a quarter, a half and all of it."""
    verdicts: list[Verdict] = []
    marks = iter((seconds / 4, seconds / 2, seconds))
    mark, spent, began = next(marks), 0.0, time.process_time()
    for tick in train(images, settings):
        spent += time.process_time() - began
        if spent >= mark:
            verdicts.append(judge(samples_of(tick)))
            if spent >= seconds:
                break
            mark = next(marks)
        began = time.process_time()
    return tick.images, verdicts


def row(name: str, size: int, kimg: str, verdicts: list[Verdict]) -> str:
    """A line of the table; the last verdict is told in full."""
    last = verdicts[-1]
    modes = " / ".join(str(verdict.covered) for verdict in verdicts)
    return f"| {name} | {size} | {kimg} | {modes} | {last.divergence:.2f} | {last.quality:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(PRESETS), choices=list(PRESETS), help="rows to make")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    budgets = ", ".join(f"{seconds} s at {size}x{size}" for size, seconds in SECONDS.items())
    print(f"Modes learnt in CPU time: {budgets} ({describe()})\n")
    print("| training | side | kimg | modes of 100 at 1/4, 1/2, all of it | KL, nats | quality |")
    print("|---|---|---|---|---|---|")
    for size in SECONDS:
        chosen = {name: PRESETS[name][1] for name in arguments.only if PRESETS[name][0] == size}
        if not chosen:
            continue
        judge = Judge(ModeImages(size, 4000, seed=1))
        print(row("other real images", size, "", [judge(ModeImages(size, SAMPLES, seed=2).pixels)]), flush=True)
        images = ModeImages(size, 20000)
        for name, preset in chosen.items():
            settings = settings_of(preset | {"seed": arguments.seed})
            shown, verdicts = measure(images, judge, settings, SECONDS[size])
            print(row(name, size, f"{shown / 1000:.0f}", verdicts), flush=True)


if __name__ == "__main__":
    main()
