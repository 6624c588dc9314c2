"""What sampling costs: images per second by network, precision and batch, and what writing them to disk adds.

`throughput`: the generators of the presets `base` (32x32), `celeba_small` and `celeba` (64x64), with torch in float32
and bfloat16, and with onnxruntime. Weights are fresh: the time is the same.
`streaming`: samples of the 64x64 generators, made and thrown away, and written in each format; rounds alternate.
`zip`: 50,000 images of 32x32 into one zip.
`start`: a first picture of a new process, of a file on disk.

Pictures of fresh weights are harder to compress than faces, so that writing costs rather more than it will.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from fresh_models import fresh_generator
from machine import describe
from numpy.typing import NDArray

from celeba_gan.foundation.precision import full_float32
from celeba_gan.gan.runs.run import export
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.samples.recipe import Format, SampleBatch, SampleRecipe
from celeba_gan.samples.writer import SampleWriter

CONF = Path(__file__).parents[1] / "conf"
SIZES = {"base": 32, "celeba_small": 64, "celeba": 64}
FORMATS: tuple[Format, ...] = ("png", "webp", "zip", "packed")


def preset(name: str) -> TrainSettings:
    """Settings of training of a preset: `base`, and what its environment changes (whole sections, as it says them)."""
    values = yaml.safe_load((CONF / "base" / "parameters.yml").read_text())["train"]
    if name != "base":
        values |= yaml.safe_load((CONF / name / "parameters.yml").read_text())["train"]
    return TrainSettings.model_validate(values)


def fresh(name: str) -> TrainedGenerator:
    """The preset's generator with fresh weights."""
    settings = preset(name)
    return TrainedGenerator(fresh_generator(settings.network, settings.latent, SIZES[name]))


def per_second(make: Callable[[], object], images: int, seconds: float) -> float:
    """Images per second: the median of calls within so many seconds, after two that are not counted."""
    make(), make()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 5:
        began = time.perf_counter()
        make()
        times.append(time.perf_counter() - began)
    return images / statistics.median(times)


def onnx_session(generator: TrainedGenerator, folder: Path) -> Callable[[NDArray[np.float32]], object]:
    """The generator in onnxruntime, on all cores."""
    import onnxruntime

    file = folder / "generator.onnx"
    latents = torch.zeros(2, generator.latent.size)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.onnx.export(
        generator.module,
        (latents,),
        file,
        input_names=["latents"],
        dynamic_shapes=None,
        dynamo=False,
        dynamic_axes={"latents": {0: "batch"}},
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the older exporter writes its example's batch beside the dynamic one
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"latents": batch})


def throughput(seconds: float) -> None:
    """Prints a table."""
    print("\n| network | batch | torch float32 | torch bfloat16 | onnxruntime |\n|---|---|---|---|---|")
    for name in SIZES:
        generator = fresh(name)
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), full_float32():
            onnx = onnx_session(generator, Path(folder))
            for batch in (1, 16, 64):
                makers = makers_of(generator.module, onnx, torch.randn(batch, generator.latent.size))
                speeds = [per_second(make, batch, seconds) for make in makers]
                print(f"| {name} | {batch} | " + " | ".join(f"{speed:,.0f}" for speed in speeds) + " |", flush=True)


def makers_of(
    module: torch.nn.Module, onnx: Callable[[NDArray[np.float32]], object], latents: torch.Tensor
) -> list[Callable[[], object]]:
    """One batch in float32, in bfloat16, and in onnxruntime."""
    array = latents.numpy()

    def bfloat16() -> object:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(latents)

    return [lambda: module(latents), bfloat16, lambda: onnx(array)]


def write(generator: TrainedGenerator, folder: Path, count: int, format_: Format | None) -> float:
    """Seconds to make so many samples, and to write them unless the format is None."""
    card = generator.card
    began = time.perf_counter()
    if format_ is None:
        for _ in generator.batches(count):
            pass
        return time.perf_counter() - began
    recipe = SampleRecipe(
        training_id=card.id, images=0, size=card.size, seed=0, truncation=1, labels=(), names=(), format=format_
    )
    writer, first = SampleWriter(folder / "samples", recipe, count), 0
    for images, labels in generator.batches(count):
        writer.add(SampleBatch(recipe, count, first, images, labels))
        first += len(images)
    return time.perf_counter() - began


def streaming(rounds: int) -> None:
    """Prints a table."""
    print("\n| network | samples | bare forward | " + " | ".join(FORMATS) + " |\n|---|---|---|" + "---|" * len(FORMATS))
    for name, count in (("celeba_small", 4096), ("celeba", 512)):
        generator = fresh(name)
        times: dict[Format | None, list[float]] = {format_: [] for format_ in (None, *FORMATS)}
        write(generator, Path(), 256, None)
        for _ in range(rounds):
            for format_, values in times.items():
                with tempfile.TemporaryDirectory() as folder:
                    values.append(write(generator, Path(folder), count, format_))
        bare = statistics.median(times[None])
        more = [f"{statistics.median(times[one]) / bare - 1:+.0%}" for one in FORMATS]
        print(
            f"| {name} | {count:,} | {bare:.1f} s, {count / bare:,.0f} images/s | " + " | ".join(more) + " |",
            flush=True,
        )


def zip_of(count: int) -> None:
    """Prints the minutes, and the peak of memory."""
    import resource

    generator = fresh("base")
    write(generator, Path(), 256, None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        seconds = write(generator, Path(folder), count, "zip")
        size = (Path(folder) / "samples" / "samples.zip").stat().st_size
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"\n{count:,} images of 32x32 into a zip of {size / 2**20:,.0f} MiB: {seconds / 60:.1f} min, "
        f"{more / 1024:,.0f} MiB of memory more than for sampling"
    )


def start(rounds: int) -> None:
    """Prints the seconds."""
    script = "import sys, celeba_gan; celeba_gan.load_generator(sys.argv[1], device='cpu').sample(1)"
    with tempfile.TemporaryDirectory() as folder:
        generator = fresh("base")
        export(Network("generator", generator.card, generator.module.state_dict()), Path(folder) / "generator")
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", script, folder], check=True)
            times.append(time.perf_counter() - began)
    print(
        f"\nA new process's first picture: {statistics.median(times):.2f} s (of {rounds}: "
        f"{min(times):.2f} to {max(times):.2f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["throughput", "streaming", "zip", "start"])
    parser.add_argument("--seconds", type=float, default=3, help="for each number of `throughput`")
    parser.add_argument("--rounds", type=int, default=5, help="of `streaming` and `start`")
    parser.add_argument("--count", type=int, default=50_000, help="images of `zip`")
    arguments = parser.parse_args()
    print(describe())
    for part in arguments.parts:
        {
            "throughput": lambda: throughput(arguments.seconds),
            "streaming": lambda: streaming(arguments.rounds),
            "zip": lambda: zip_of(arguments.count),
            "start": lambda: start(arguments.rounds),
        }[part]()


if __name__ == "__main__":
    main()
