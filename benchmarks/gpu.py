"""What each step of the fast path is worth on a GPU: images per second, share of the peak, data wait, memory.

Modes, each on the same networks: float32 without TF32 and without compilation, TF32, bfloat16, bfloat16 compiled. All
have channels_last and the fused optimiser. `textbook` is the loop of `training.py` on the GPU: float32, NCHW, plain
Adam, separate forwards; it exists for WGAN-GP only. Images are those shown to the discriminator; the ratio is to the
eager float32 row.

Data wait is the share of an iteration's time that goes away when every step is given the same batch: once with the
images in the GPU's memory, once streamed from the host's. The share of the peak counts the operations of convolutions
and linear layers that the mathematics needs, and takes the GPU's peak from `--peak-tflops`, one figure for every row.

CUDA graphs are not measured: training does not use them (see `gan/runtime/compiling.py`).
"""

import argparse
import gc
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from machine import describe
from training import RandomImages, textbook

from celeba_gan.gan.inputs.feed import Draws, ImageFeed
from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.networks.table import tabulate_pair
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import HardwareError, choose_hardware, is_out_of_memory
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

RPGAN: dict[str, Any] = {
    "objective": {"name": "rpgan"},
    "penalty": {"gradient_penalty": {"weight": 0}, "r1": {"weight": 1}, "r2": {"weight": 1}},
    "n_critic": 1,
}
RECIPES: dict[str, dict[str, Any]] = {
    "wgan-gp, dcgan": {"network": {"name": "dcgan"}},
    "wgan-gp, resnet": {"network": {"name": "resnet"}},
    "rpgan+r1+r2, r3": {**RPGAN, "network": {"name": "r3"}},
}
MODES: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32", "compile": False},
    "tf32": {"precision": "tf32", "compile": False},
    "bfloat16": {"precision": "bfloat16", "compile": False},
    "bfloat16, compiled": {"precision": "bfloat16", "compile": True},
}
TEXTBOOK = "textbook"


@dataclass(frozen=True)
class Measured:
    """Of one mode."""

    images_per_second: float
    tflops: float
    memory_gib: float
    wait_resident: float
    wait_streamed: float


class SameBatch:
    """A feed that gives the same batch for ever."""

    def __init__(self, feed: ImageFeed) -> None:
        self.kept = feed.batch(feed.hardware.send_all(feed.draw(0)))

    def draw(self, step: int) -> Draws:
        """Nothing."""
        return {}

    def batch(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """As `ImageFeed.batch`."""
        return self.kept


def settings_for(recipe: str, batch: int, width: int, device: str, mode: dict[str, Any]) -> TrainSettings:
    length = {"kimg": 1e6, "tick_kimg": 1e3, "threads": 1 if device == "cpu" else None}
    values = RECIPES[recipe] | mode | length | {"batch_size": batch, "device": device}
    family = values["network"]["name"]
    values["network"] = {"name": family, family: {"width": width}}
    return TrainSettings.model_validate(values)


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(run: Callable[[], object], most: int, device: str) -> float:
    """Of one iteration, after a few to warm up: the mean of `most`, or of as many as take a second."""
    for _ in range(min(most, 2)):
        run()
    wait(device)
    began = time.perf_counter()
    run()
    wait(device)
    iterations = max(2, min(most, round(1 / (time.perf_counter() - began))))
    began = time.perf_counter()
    for _ in range(iterations):
        run()
    wait(device)
    return (time.perf_counter() - began) / iterations


def operations(settings: TrainSettings, size: int) -> float:
    """Floating-point operations of one iteration: of convolutions and linear layers, as many as are needed.

    Backwards costs a layer as much as forwards for its inputs, and as much again for its weights. A penalty's place
    takes four: forwards, backwards to the images, that again differentiated by what came in, and by the weights.
    """
    generator, discriminator = (table.macs for table in tabulate_pair(settings.network, settings.latent, size))
    steps = settings.n_critic * (generator + (6 + 4 * len(settings.penalty.of_gradients)) * discriminator)
    compares = make_objective(settings.objective.name).compares
    return 2.0 * settings.batch_size * (steps + 3 * generator + (3 if compares else 2) * discriminator)


def measure(images: RandomImages, settings: TrainSettings, iterations: int) -> Measured:
    """A mode."""
    hardware = choose_hardware(settings, None)
    device = hardware.device
    resident = ImageFeed(settings.model_copy(update={"data": "resident"}), images, hardware)
    streamed = ImageFeed(settings.model_copy(update={"data": "stream"}), images, hardware)
    steps = Steps(settings, hardware, Pair(settings, images.size, hardware))
    shown = itertools.count(settings.images_per_iteration, settings.images_per_iteration)
    number = itertools.count()

    def with_feed(feed: Any) -> Callable[[], object]:
        return lambda: steps.iterate(feed, next(number), next(shown))

    with_feed(resident)()  # compiles
    wait(device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    alone = seconds_of(with_feed(SameBatch(resident)), iterations, device)
    from_memory = seconds_of(with_feed(resident), iterations, device)
    from_host = seconds_of(with_feed(streamed), iterations, device)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return Measured(
        settings.images_per_iteration / from_memory,
        operations(settings, images.size) / from_memory / 1e12,
        memory,
        1 - alone / from_memory,
        1 - alone / from_host,
    )


class Complaints(logging.Handler):
    """Notes whether the compiler gave up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        logging.getLogger("celeba_gan.gan.runtime.compiling").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Notes."""
        self.heard.append(record.getMessage())


def rows(images: RandomImages, recipe: str, batch: int, width: int, arguments: argparse.Namespace) -> Iterator[str]:
    """Of the table, for one network, size and batch."""
    start = f"| {recipe} | {images.size} | {batch} |"
    reference = None
    for name in arguments.modes:
        if name == TEXTBOOK or time.monotonic() > arguments.until:
            continue
        torch._dynamo.reset()
        gc.collect()
        complaints = Complaints()
        try:
            settings = settings_for(recipe, batch, width, arguments.device, MODES[name])
            found = measure(images, settings, arguments.iterations)
        except HardwareError:
            yield f"{start} {name} | not on this device | | | | | |"
            continue
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            yield f"{start} {name} | out of memory | | | | | |"
            continue
        reference = reference or (found.images_per_second if name == "float32" else None)
        peak = f"{found.tflops / arguments.peak_tflops:.0%}" if arguments.peak_tflops else "-"
        shown = f"{name} (failed, ran eagerly)" if complaints.heard else name
        yield (
            f"{start} {shown} | {found.images_per_second:.0f} | {ratio(found.images_per_second, reference)} | "
            f"{found.tflops:.3g} | {peak} | {found.wait_resident:.1%} / {found.wait_streamed:.1%} | "
            f"{found.memory_gib:.2f} |"
        )
        yield from complaints.heard
    if TEXTBOOK in arguments.modes and recipe.startswith("wgan-gp") and time.monotonic() < arguments.until:
        settings = settings_for(recipe, batch, width, arguments.device, MODES["float32"])
        choose_hardware(settings, None)  # TF32 off
        loop = textbook(images.size, settings, arguments.device, iterations=1)
        speed = settings.images_per_iteration / seconds_of(lambda: next(loop), arguments.iterations, arguments.device)
        yield f"{start} {TEXTBOOK} | {speed:.0f} | {ratio(speed, reference)} | | | | |"


def ratio(speed: float, reference: float | None) -> str:
    return f"{speed / reference:.2f}" if reference else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only to try the script itself")
    parser.add_argument("--small", action="store_true", help="tiny networks and batches, to try the script itself")
    parser.add_argument("--iterations", type=int, default=20, help="timed at a time, at most")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU, for the share of the peak")
    parser.add_argument("--sizes", type=int, nargs="+", help="of the images, in pixels")
    parser.add_argument("--batches", type=int, nargs="+", help="images per step")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--modes", nargs="+", default=[*MODES, TEXTBOOK], choices=[*MODES, TEXTBOOK])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no further mode begins")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: not run")
        return
    arguments.until = time.monotonic() + arguments.seconds
    sizes, batches, width = ([32], [4], 8) if arguments.small else ([64, 128], [64, 256], 64)
    if arguments.device == "cpu":
        Compiler.backend = "aot_eager"  # the losses are traced and differentiated by the compiler, and run as they are
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU, not for its figures"
    print(f"Training on {name} ({describe()})")
    print("| recipe | size | batch | mode | images/s | ratio | TFLOP/s | of peak | data wait | memory GiB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for size in arguments.sizes or sizes:
        images = RandomImages(size)
        for batch, recipe in itertools.product(arguments.batches or batches, arguments.recipes):
            for row in rows(images, recipe, batch, width, arguments):
                print(row, flush=True)


if __name__ == "__main__":
    main()
