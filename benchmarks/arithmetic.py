"""How much arithmetic a training needs, and how much a machine could do."""

import time

import torch

from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.networks.table import tabulate_pair
from celeba_gan.gan.settings import TrainSettings

_ADDED = {"gradient_penalty": 4, "r1": 1, "r2": 1}


def operations(settings: TrainSettings, size: int) -> float:
    """Floating-point operations of one iteration: of convolutions and linear layers, as many as are needed.

    An image whose score counts passes a discriminator three times: forwards, backwards, and once for the weights. A
    penalty on images of its own takes four passes, one on images of the loss one more (see `passes.py`).
    """
    generator, discriminator = (table.macs for table in tabulate_pair(settings.network, settings.latent, size))
    passes = 6 + sum(_ADDED[name] for name in settings.penalty.of_gradients)
    compares = make_objective(settings.objective.name).compares
    steps = settings.n_critic * (generator + passes * discriminator)
    return 2.0 * settings.batch_size * (steps + 3 * generator + (3 if compares else 2) * discriminator)


def product_tflops(device: str, dtype: torch.dtype) -> float:
    """Of one large product of matrices, where nothing else takes time: the best of some."""
    side = 8192 if device == "cuda" else 2048
    first, second = torch.randn(2, side, side, device=device).to(dtype)
    times = []
    for _ in range(12):
        began = time.perf_counter()
        first @ second
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times) / 1e12
