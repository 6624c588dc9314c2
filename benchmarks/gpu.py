"""What each step of the fast path is worth on a GPU: images per second, share of the peak, data wait, memory.

Rows are in order of worth, and each is printed as soon as it is known. Modes, each on the same networks: float32
without TF32 and without compilation, TF32, bfloat16, compiled, and recorded as CUDA graphs. All have channels_last and
the fused optimiser. `textbook` is the loop of `training.py` on the GPU: float32, NCHW, plain Adam, separate forwards;
it exists for WGAN-GP only. Images are those shown to the discriminator.

Data wait is the share of an iteration's time that goes away when every step is given the same batch: once with the
images in the GPU's memory, once streamed from the host's. The share of the peak counts the operations of convolutions
and linear layers that the mathematics needs, and divides by what one large bfloat16 product reaches on this GPU, which
is measured first. `penalised / not` compares a discriminator's steps with and without the penalty.
"""

import argparse
import gc
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from arithmetic import operations, product_tflops
from machine import describe
from training import RandomImages, textbook

from celeba_gan.gan.inputs.feed import Draws, ImageFeed
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import Hardware, HardwareError, choose_hardware, is_out_of_memory
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

R3 = "rpgan+r1+r2, r3"
DCGAN, RESNET = "wgan-gp, dcgan", "wgan-gp, resnet"
RPGAN: dict[str, Any] = {
    "objective": {"name": "rpgan"},
    "penalty": {"gradient_penalty": {"weight": 0}, "r1": {"weight": 1}, "r2": {"weight": 1}},
    "n_critic": 1,
}
RECIPES: dict[str, dict[str, Any]] = {
    DCGAN: {"network": {"name": "dcgan"}},
    RESNET: {"network": {"name": "resnet"}},
    R3: {**RPGAN, "network": {"name": "r3"}},
}
PLAIN: dict[str, Any] = {"precision": "bfloat16", "compile": False, "graphs": False}
BEST = "compiled, graphs"
MODES: dict[str, dict[str, Any]] = {
    BEST: {**PLAIN, "compile": True, "graphs": True},
    "graphs": {**PLAIN, "graphs": True},
    "compiled": {**PLAIN, "compile": True},
    "bfloat16": PLAIN,
    "tf32": {**PLAIN, "precision": "tf32"},
    "float32": {**PLAIN, "precision": "float32"},
}
TEXTBOOK = "textbook"
ROWS = (
    (DCGAN, 32, 32, 32, (BEST, "graphs", "bfloat16", TEXTBOOK)),  # the demo
    (RESNET, 64, 64, 64, (BEST, "compiled", "graphs", "bfloat16")),
    (R3, 64, 64, 64, (BEST, "bfloat16", "float32")),
    (RESNET, 64, 256, 64, (BEST,)),
    (R3, 64, 256, 64, (BEST,)),
    (DCGAN, 32, 256, 32, (BEST,)),
    (DCGAN, 64, 64, 64, (BEST, "graphs", "bfloat16")),
    (RESNET, 64, 128, 64, (BEST,)),
    (RESNET, 64, 512, 64, (BEST,)),
    (DCGAN, 64, 256, 64, (BEST,)),
    (DCGAN, 64, 1024, 64, (BEST,)),
    (R3, 64, 128, 64, (BEST,)),
    (RESNET, 64, 64, 64, (TEXTBOOK, "tf32", "float32")),
    (RESNET, 128, 64, 64, (BEST, "compiled")),
)
"""Networks, pixels, images a step, width of the networks, modes; the most important first."""


@dataclass(frozen=True)
class Measured:
    """Of one mode."""

    images_per_second: float
    tflops: float
    memory_gib: float
    wait_resident: float
    wait_streamed: float
    penalised: float  # a discriminator's step with a penalty, in those without


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
    if steps.graphs.works:
        memory = torch.cuda.max_memory_reserved() / 2**30  # what graphs hold is not allocated between their runs
    return Measured(
        settings.images_per_iteration / from_memory,
        operations(settings, images.size) / from_memory / 1e12,
        memory,
        1 - alone / from_memory,
        1 - alone / from_host,
        penalised(images, settings, hardware, iterations),
    )


def penalised(images: RandomImages, settings: TrainSettings, hardware: Hardware, iterations: int) -> float:
    """The time of a discriminator's step with the penalty, in those of one without."""
    seconds = []
    for every in (1, 2**30):
        penalty = settings.penalty.model_copy(update={"every": every})
        changed = settings.model_copy(update={"penalty": penalty})
        steps = Steps(changed, hardware, Pair(changed, images.size, hardware))
        feed = SameBatch(ImageFeed(changed, images, hardware))

        def step(steps: Steps = steps, feed: SameBatch = feed) -> object:
            return steps.step_discriminator(feed, {}, 1, settings.images_per_iteration)

        for _ in range(3):  # compiles and records
            step()
        seconds.append(seconds_of(step, 5 * iterations, hardware.device))
    return seconds[0] / seconds[1]


class Complaints(logging.Handler):
    """Notes whether the compiler or recording gave up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        for module in ("compiling", "graphs"):
            logging.getLogger(f"celeba_gan.gan.runtime.{module}").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Notes."""
        self.heard.append(record.getMessage())


def row(
    images: RandomImages, recipe: str, batch: int, width: int, mode: str, peak: float, arguments: argparse.Namespace
) -> list[str]:
    """Of the table, and what was said about it."""
    start = f"| {recipe} | {images.size} | {batch} |"
    torch._dynamo.reset()
    gc.collect()
    if mode == TEXTBOOK:
        settings = settings_for(recipe, batch, width, arguments.device, MODES["float32"])
        choose_hardware(settings, None)  # TF32 off
        loop = textbook(images.size, settings, arguments.device, iterations=1)
        speed = settings.images_per_iteration / seconds_of(lambda: next(loop), arguments.iterations, arguments.device)
        return [f"{start} {TEXTBOOK} | {speed:.0f} | | | | | |"]
    complaints = Complaints()
    try:
        if arguments.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        settings = settings_for(recipe, batch, width, arguments.device, MODES[mode])
        found = measure(images, settings, arguments.iterations)
    except HardwareError:
        return [f"{start} {mode} | not on this device | | | | | |"]
    except RuntimeError as error:  # one row must not end the table: the next time with a GPU may be far away
        reason = "out of memory" if is_out_of_memory(error) else f"failed: {str(error).splitlines()[0]}"
        return [f"{start} {mode} | {reason} | | | | | |"]
    shown = f"{mode} (failed)" if complaints.heard else mode
    return [
        f"{start} {shown} | {found.images_per_second:.0f} | {found.tflops:.3g} | {found.tflops / peak:.0%} | "
        f"{found.penalised:.2f} | {found.wait_resident:.1%} / {found.wait_streamed:.1%} | {found.memory_gib:.2f} |",
        *complaints.heard,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only to try the script itself")
    parser.add_argument("--small", action="store_true", help="tiny networks and batches, to try the script itself")
    parser.add_argument("--iterations", type=int, default=20, help="timed at a time, at most")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no further row begins")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: not run")
        return
    until = time.monotonic() + arguments.seconds
    if arguments.device == "cpu":
        Compiler.backend = "aot_eager"  # the losses are traced and differentiated by the compiler, and run as they are
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU, not for its figures"
    peak = product_tflops(arguments.device, torch.bfloat16)
    print(f"Training on {name} ({describe()}); one large bfloat16 product: {peak:.3g} TFLOP/s")
    print("| recipe | size | batch | mode | images/s | TFLOP/s | of peak | penalised / not | data wait | memory GiB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for recipe, size, batch, width, modes in ROWS:
        images = RandomImages(32 if arguments.small else size)
        few, narrow = (4, 8) if arguments.small else (batch, width)
        for mode in modes:
            if time.monotonic() < until:
                for line in row(images, recipe, few, narrow, mode, peak, arguments):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
