"""Quality per minute: presets trained side by side on the portraits for equal CPU time, and measured on the way.

A preset is a Kedro environment (its `train` parameters) or a YAML file laid over those of conf/base. Each is trained
on the 4,096 portraits of the demo until its process has spent the budget: CPU seconds, since other work on the
machine hardly changes them; 360 are 3 minutes of two cores. Measuring does not count, and reads nothing but copies.

The averaged generator is compared with portraits that nothing was trained on, by two distances: sliced Wasserstein,
and Fréchet's between features of a classifier of the portraits' attributes, which this script trains on further
portraits. The floor is the distance from those to as many others. Portraits, packed images, the classifier and each
preset's measurements are kept below --folder, and found there again.

    python benchmarks/quality.py base modern_demo
"""

import argparse
import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from kedro.config import OmegaConfigLoader
from machine import describe
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor, nn

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.evaluation.metrics.swd import sliced_wasserstein
from celeba_gan.foundation.pixels import from_uint8
from celeba_gan.foundation.precision import computes_bfloat16
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.packed import PackedImages
from celeba_gan.images.packing import pack_images
from celeba_gan.portraits.synthetic import SyntheticCelebA
from celeba_gan.reporting.grids import make_grid
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.index import build_index

PROJECT = Path(__file__).parents[1]
MEASURED, JUDGES = 4096, 8192  # portraits (and samples) per side of a distance; portraits the classifier learns from
POINTS = (0.0, 40.0, 90.0, 180.0, 360.0, 600.0, 900.0, 1200.0)  # CPU seconds at which is measured
COLUMNS = (0.0, 90.0, 180.0, 360.0, 1200.0)  # those in the table; 360 and 1200: 3 and 10 minutes of two cores
TICK_KIMG = 2.0  # the training hands out its generator this often
SHOWN = 40  # samples of each preset in the picture
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")

Images = NDArray[np.uint8]
Distances = dict[str, float]


# --- the portraits --------------------------------------------------------------------------------------------------


def portraits(folder: Path, images: int, seed: int, size: int) -> tuple[PackedImages, pd.DataFrame]:
    """Drawn, indexed and packed as the project does it. Returns the packed images and the index, in image order."""
    drawn = folder / f"portraits-{seed}"
    SyntheticCelebA(images=images, seed=seed).ensure(drawn)
    source = CelebA(drawn)
    index = build_index(source, IngestSettings()).images
    dataset = PackedImagesDataset(str(folder / f"packed-{seed}-{size}"))
    before = dataset.load() if dataset.exists() else None
    for chunk in pack_images(source, index, PreprocessSettings(size=size), before):
        dataset.save(chunk)
    packed = dataset.load()
    assert isinstance(packed, PackedImages)
    return packed, index


# --- the distances --------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut; halves the resolution."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, narrow, height, width) to (batch, wide, height / 2, width / 2)."""
        return F.relu(self.residual(features) + self.shortcut(features))


class Classifier(nn.Module):
    """A small residual network; its features are the means over pixels of the last two resolutions."""

    def __init__(self, size: int, attributes: int, width: int = 32) -> None:
        super().__init__()
        first = nn.Conv2d(3, width, 3, stride=size // 32, padding=1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.ModuleList([Block(width, 2 * width), Block(2 * width, 4 * width), Block(4 * width, 4 * width)])
        self.head = nn.Linear(8 * width, attributes)

    def features(self, images: Tensor) -> Tensor:
        """Images (batch, 3, size, size) in [-1, 1] to (batch, 256)."""
        current, means = self.stem(images), []
        for block in self.blocks:
            current = block(current)
            means.append(current.mean(dim=(2, 3)))
        return torch.cat(means[1:], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 3, size, size) in [-1, 1] to a logit per attribute."""
        logits: Tensor = self.head(self.features(images))
        return logits


def fit_classifier(images: Images, attributes: NDArray[np.float32], epochs: int = 4, batch: int = 64) -> Classifier:
    """Adam with one cycle of learning rates, images mirrored at random; `batch` divides their number."""
    torch.manual_seed(0)
    classifier = Classifier(images.shape[1], attributes.shape[1]).to(memory_format=torch.channels_last)
    steps = epochs * (len(images) // batch)
    adam = torch.optim.Adam(classifier.parameters(), lr=4e-3, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=4e-3, total_steps=steps)
    targets = torch.from_numpy(attributes)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).view(-1, batch):
            pictures = from_uint8(torch.from_numpy(images[chosen.numpy()]))
            if torch.rand(()) < 0.5:
                pictures = pictures.flip(3)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=computes_bfloat16("cpu")):
                logits = classifier(pictures).float()
            adam.zero_grad()
            torch.autograd.backward(F.binary_cross_entropy_with_logits(logits, targets[chosen]))
            adam.step()
            cycle.step()
    return classifier.eval()


class Judge:
    """Both distances to the portraits that nothing was trained on."""

    def __init__(self, folder: Path, size: int) -> None:
        packed, index = portraits(folder, 2 * MEASURED + JUDGES, seed=1, size=size)
        images = packed.gather(np.arange(len(packed)))
        self.reals, self.others, learnt = np.split(images, [MEASURED, 2 * MEASURED])
        table = index.select_dtypes("int8").to_numpy(np.float32)
        table = table[:, (table.mean(0) > 0.01) & (table.mean(0) < 0.99)]
        self.classifier = Classifier(size, table.shape[1])
        weights = folder / f"classifier-{size}.pt"
        if not weights.exists():
            began = time.process_time()
            torch.save(fit_classifier(learnt, table[2 * MEASURED :]).state_dict(), weights)
            print(f"fitting the classifier: {time.process_time() - began:.0f} CPU seconds", flush=True)
        self.classifier.load_state_dict(torch.load(weights, weights_only=True))
        self.classifier.eval().to(memory_format=torch.channels_last)
        self.table = table
        self.moments = moments(self.features(self.reals))

    def accuracy(self) -> tuple[float, float]:
        """Share of attributes that the classifier gets right on the others, and of the more frequent answer alone."""
        with torch.inference_mode():
            logits = self.classifier.head(torch.from_numpy(self.features(self.others)).float()).numpy()
        truth = self.table[MEASURED : 2 * MEASURED]
        often = np.maximum(truth.mean(0), 1 - truth.mean(0)).mean()
        return float(((logits > 0) == truth).mean()), float(often)

    def features(self, images: Images) -> NDArray[np.float64]:
        """Features of images, (n, 256)."""
        with torch.inference_mode():
            parts = [self.classifier.features(from_uint8(part)) for part in torch.split(torch.from_numpy(images), 256)]
        result: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return result

    def __call__(self, images: Images) -> Distances:
        """Distances of as many images."""
        swd = sliced_wasserstein(self.reals, images, projections=512, patches=16, seed=0)
        return {**swd, "frechet": frechet(self.moments, moments(self.features(images)))}


Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def moments(features: NDArray[np.float64]) -> Moments:
    """Mean (d,) and covariance (d, d)."""
    return features.mean(0), np.cov(features, rowvar=False)


def frechet(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017)."""
    roots = np.sqrt(np.linalg.eigvals(first[1] @ second[1]).real.clip(min=0))
    return float(np.square(first[0] - second[0]).sum() + np.trace(first[1] + second[1]) - 2 * roots.sum())


# --- the presets ----------------------------------------------------------------------------------------------------


def settings_of(preset: str, threads: int, seed: int) -> TrainSettings:
    """The `train` parameters of an environment, or of a YAML file laid over conf/base; trained without an end."""
    file = Path(preset) if preset.endswith((".yml", ".yaml")) else None
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"),
        base_env="base",
        default_run_env="base",
        env="base" if file else preset,
        merge_strategy={"parameters": "soft"},
    )
    values: dict[str, Any] = loader["parameters"]["train"]
    if file:
        values = OmegaConf.to_container(OmegaConf.merge(values, OmegaConf.load(file)))  # type: ignore[assignment]
    endless = {"seed": seed, "kimg": 1e6, "tick_kimg": TICK_KIMG, "threads": threads, "device": "cpu"}
    return TrainSettings.model_validate({**values, **endless})


def ticks(settings: TrainSettings, images: PackedImages) -> Iterator[tuple[float, Tick]]:
    """The training's ticks, each with the CPU seconds spent on training until then; what happens between is free."""
    spent, began = 0.0, time.process_time()
    for tick in train(images, settings):
        spent += time.process_time() - began
        yield spent, tick
        began = time.process_time()


def measure(preset: str, folder: Path, size: int, threads: int, seed: int, seconds: float) -> None:
    """Trains one preset for so many CPU seconds; writes its rows (CSV) and some samples (NPY) at each point."""
    name = Path(preset).stem
    settings = settings_of(preset, threads, seed)
    torch.set_num_threads(threads)
    judge = Judge(folder, size)
    images, _ = portraits(folder, SyntheticCelebA().images, seed=0, size=size)
    rows: list[dict[str, Any]] = []
    points = [point for point in POINTS if point < seconds] + [seconds]
    for spent, tick in ticks(settings, images):
        if spent < points[0]:
            continue
        generator = TrainedGenerator(tick.networks.generator)
        samples = generator.sample(MEASURED, seed=1)
        due = points.pop(0)
        place = {"point": due, "cpu_seconds": spent, "kimg": tick.images / 1000}
        rows.append({"preset": name, **place, **judge(samples), "settings": digest(settings)})
        losses = {k: round(v, 3) for k, v in tick.rows[-1].items() if k != "images"} if tick.rows else {}
        print(json.dumps(rows[-1] | losses), flush=True)
        np.save(folder / f"{name}-{size}-{due:g}.npy", samples[:100])
        pd.DataFrame(rows).to_csv(folder / f"{name}-{size}.csv", index=False, float_format="%.4g")
        if not points:
            return


def reached(file: Path, settings: TrainSettings) -> float:
    """CPU seconds of the last measurement in a file; -1 where there is none, or it is of other settings."""
    rows = pd.read_csv(file) if file.exists() else pd.DataFrame({"settings": []})
    return float(rows["point"].max()) if set(rows["settings"]) == {digest(settings)} else -1.0


def digest(settings: TrainSettings) -> str:
    """Identifies settings."""
    return hashlib.blake2b(settings.model_dump_json().encode(), digest_size=8).hexdigest()


# --- the report -----------------------------------------------------------------------------------------------------


def draw(rows: pd.DataFrame, floor: Distances, reals: Images, folder: Path, size: int) -> Figure:
    """Both curves side by side; below, samples of all presets at the last point that they share, and portraits."""
    presets = list(rows["preset"].unique())
    shared = max(set.intersection(*(set(rows["point"][rows["preset"] == name]) for name in presets)))
    strips = [(f"{name}, {shared / 120:g} min", name, shared) for name in presets]
    figure = Figure(figsize=(10, 3.6 + 1.15 * (len(strips) + 1)), layout="constrained")
    grid = figure.add_gridspec(len(strips) + 2, 2, height_ratios=[3.4] + [1.1] * (len(strips) + 1))
    titles = {"swd": "Sliced Wasserstein distance x 1000", "frechet": "Fréchet distance, attribute features"}
    for column, (metric, title) in enumerate(titles.items()):
        axes = figure.add_subplot(grid[0, column])
        for name, colour in zip(presets, COLOURS, strict=False):
            curve = rows[rows["preset"] == name]
            axes.plot(curve["cpu_seconds"] / 120, curve[metric], "o-", color=colour, label=name, markersize=4)
        axes.axhline(floor[metric], color="#888888", linestyle="--", label="floor: other portraits")
        axes.set(yscale="log", xlabel="minutes of two cores", title=title)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    for row, (title, name, at) in enumerate([*strips, ("portraits", "", 0.0)], start=1):
        samples = np.load(folder / f"{name}-{size}-{at:g}.npy") if name else reals
        axes = figure.add_subplot(grid[row, :])
        axes.imshow(make_grid(samples[:SHOWN], 0, SHOWN // 2, tile=64).pixels)
        axes.set_axis_off()
        axes.set_title(title, fontsize=8, loc="left", pad=2)
    return figure


def table(rows: pd.DataFrame, floor: Distances) -> str:
    """A row per preset and distance: at some minutes of two cores, the floor, and the speed."""
    points = [point for point in COLUMNS if (rows["point"] == point).any()]
    heads = ["preset", "distance", *(f"{point / 120:g} min" for point in points), "floor", "kimg per min"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, curve in rows.groupby("preset", sort=False):
        at = curve.set_index("point")
        last = curve.iloc[-1]
        for metric in floor:
            values = [f"{at[metric][point]:.3g}" if point in at.index else "" for point in points]
            speed = f"{last['kimg'] / last['cpu_seconds'] * 120:.0f}"
            lines.append("| " + " | ".join([str(name), metric, *values, f"{floor[metric]:.3g}", speed]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+", help="environments, or YAML files with `train` parameters")
    parser.add_argument("--folder", type=Path, default=PROJECT / "data" / "quality", help="where everything is kept")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--seconds", type=float, default=POINTS[-1], help="CPU seconds of each training")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="also those whose measurements are there")
    parser.add_argument("--picture", type=Path, help="where the chart goes")
    arguments = parser.parse_args()
    folder, size = arguments.folder, arguments.size
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    judge = Judge(folder, size)
    portraits(folder, SyntheticCelebA().images, seed=0, size=size)
    files = {preset: folder / f"{Path(preset).stem}-{size}.csv" for preset in arguments.presets}
    before = {
        preset: reached(file, settings_of(preset, arguments.threads, arguments.seed)) for preset, file in files.items()
    }
    wanted = [preset for preset in files if arguments.again or before[preset] < arguments.seconds]
    run = partial(
        measure, folder=folder, size=size, threads=arguments.threads, seed=arguments.seed, seconds=arguments.seconds
    )
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(run, wanted))
    rows = pd.concat([pd.read_csv(file) for file in files.values()])
    floor = judge(judge.others)
    print(describe())
    print("classifier: {:.1%} of attributes right, {:.1%} by the more frequent answer".format(*judge.accuracy()))
    print(table(rows, floor))
    picture = arguments.picture or folder / f"quality-{size}.png"
    draw(rows, floor, judge.reals, folder, size).savefig(picture, dpi=110)
    print(picture)


if __name__ == "__main__":
    main()
