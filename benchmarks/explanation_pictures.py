"""The pictures of docs/explanations/gans.md: what a loss asks for, where it pushes, and what a training makes of it.

    python benchmarks/explanation_pictures.py                # all three
    python benchmarks/explanation_pictures.py losses line    # those that take seconds

`losses` draws the functions of `gan.losses.objectives` and their slopes. `line` trains a small discriminator between
reals and fakes on a line, which do not overlap, while the fakes stand still, and draws the slope that a generator would
follow there. `trainings` trains the demo's networks on the portraits with four objectives that differ in nothing
else: about two minutes of CPU time. Its portraits and measurements are kept below --folder, and found there again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from machine import describe
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from modes import penalty
from numpy.typing import NDArray
from quality import PROJECT, portraits, settings_of
from torch import Tensor, nn

from celeba_gan.evaluation.validation import ValidationDistance, choose_reals
from celeba_gan.gan.losses.config import PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import Objective, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.images.packed import PackedImages
from celeba_gan.reporting.grids import make_grid

PICTURES = PROJECT / "docs" / "images"
GREY = "#8a8a8a"  # text and lines: readable on a light page and on a dark one
COLOURS = {
    "minimax": "#d1495b",
    "non_saturating": "#e8963a",
    "lsgan": "#8f7ae5",
    "hinge": "#3fa7a0",
    "wgan": "#4a90d9",
    "rpgan": "#5aa84f",
}
COSTLESS = {"minimax": 100.0, "non_saturating": 100.0, "lsgan": 1.0, "hinge": 1.0, "wgan": 0.0, "rpgan": 0.0}
"""The score of a real image beside which the discriminator's loss is that of the fake alone."""
DASHED = {"wgan", "rpgan"}  # drawn over a curve that is the same in a chart
Floats = NDArray[np.float64]


def axes_of(figure: Figure, *place: int, **labels: Any) -> Axes:
    """An empty chart that shows on any background."""
    axes = figure.add_subplot(*place)
    axes.patch.set_alpha(0)
    axes.set(**labels)
    axes.grid(color=GREY, alpha=0.25)
    axes.tick_params(colors=GREY)
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(GREY)
    for side in axes.spines.values():
        side.set_color(GREY)
    return axes


def add_legend(figure: Figure, axes: Axes, columns: int) -> None:
    """The names of the lines, below all charts."""
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, labelcolor=GREY, frameon=False
    )


def save(figure: Figure, name: str) -> None:
    """Writes an SVG without date, so that the same curves give the same file."""
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(PICTURES / name, transparent=True, metadata={"Date": None})


# --- losses ---------------------------------------------------------------------------------------------------------


def draw_losses() -> None:
    """Losses of one image by its score; of a relativistic pair by the difference of its scores."""
    scores = torch.linspace(-6, 6, 121, dtype=torch.float64)
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    fake = axes_of(figure, 1, 3, 1, title="discriminator’s loss of a fake", xlabel="score of the fake", ylim=(-2, 6))
    loss = axes_of(figure, 1, 3, 2, title="generator’s loss", xlabel="score of the fake", ylim=(-6, 6))
    slope = axes_of(figure, 1, 3, 3, title="how hard it pushes", xlabel="score of the fake", ylim=(-0.1, 2.1))
    slope.set_ylabel("slope of the generator’s loss")
    for name, colour in COLOURS.items():
        style: dict[str, Any] = {
            "color": colour,
            "label": name,
            "linewidth": 2,
            "linestyle": "--" if name in DASHED else "-",
        }
        objective = make_objective(name)
        fake.plot(scores, curve(objective.discriminator_loss, COSTLESS[name], scores), **style)
        loss.plot(scores, curve(objective.generator_loss, 0.0, scores), **style)
        slope.plot(scores, -slopes_of(objective, scores), **style)
    add_legend(figure, fake, len(COLOURS))
    save(figure, "losses.svg")


def curve(loss: Callable[[Tensor, Tensor], Tensor], on_real: float, scores: Tensor) -> Floats:
    """A loss by the score of a fake, (n,), beside a real image of the same score everywhere."""
    return np.array([float(loss(torch.full((1,), on_real).to(score), score[None])) for score in scores])


def slopes_of(objective: Objective, scores: Tensor) -> Floats:
    """The derivative of the generator's loss by the score of a fake, beside a real that scores 0: (n,)."""
    found = [
        torch.func.grad(lambda d: objective.generator_loss(torch.zeros_like(d), d))(score[None]) for score in scores
    ]
    return torch.cat(found).numpy()


# --- on a line ------------------------------------------------------------------------------------------------------

REAL, FAKE, SPREAD = 2.0, -2.0, 0.4
ON_THE_LINE: dict[str, tuple[str, dict[str, float], float | None]] = {
    "minimax": ("minimax", {}, None),
    "non-saturating": ("non_saturating", {}, None),
    "LSGAN": ("lsgan", {}, None),
    "WGAN, weights within ±0.1": ("wgan", {}, 0.1),
    "WGAN, weights within ±0.01": ("wgan", {}, 0.01),
    "WGAN-GP, λ = 10": ("wgan", {"gradient_penalty": 10}, None),
    "relativistic pairs, R1 + R2, γ = 1": ("rpgan", {"r1": 1, "r2": 1}, None),
}
LINE_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#d1495b"},
    {"color": "#e8963a"},
    {"color": "#8f7ae5"},
    {"color": "#3fa7a0"},
    {"color": "#3fa7a0", "linestyle": "--"},
    {"color": "#4a90d9"},
    {"color": "#5aa84f"},
)


class Critic(nn.Module):
    """Places on a line, as images of one pixel (n, 3, 1, 1) whose first channel counts, to scores (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n,)."""
        scores: Tensor = self.layers(images[:, :1, 0, 0])[:, 0]
        return scores


def on_line(places: Tensor) -> Tensor:
    """Places (n,) as images (n, 3, 1, 1)."""
    return torch.nn.functional.pad(places[:, None, None, None], (0, 0, 0, 0, 0, 2))


def fit_critic(objective: str, weights: dict[str, float], clip: float | None, steps: int = 1500) -> Critic:
    """Trains a critic while reals and fakes stay where they are."""
    torch.manual_seed(0)
    critic = Critic()
    loss = DiscriminatorLoss(make_objective(objective), Penalty(PenaltySettings.model_validate(penalty(**weights))))
    adam = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.99))
    for _ in range(steps):
        real, fake = (on_line(centre + SPREAD * torch.randn(256)) for centre in (REAL, FAKE))
        terms = loss.terms(critic, real, fake, torch.rand(256), penalised=bool(weights))
        adam.zero_grad()
        torch.autograd.backward(terms["loss"] + terms.get("penalty", 0))
        adam.step()
        if clip is not None:
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-clip, clip)
    return critic


def draw_line() -> None:
    """Scores along the line, and the slope of the generator's loss there."""
    places = torch.linspace(-4, 4, 241)
    torch.manual_seed(1)
    reals, fakes = (centre + SPREAD * torch.randn(256) for centre in (REAL, FAKE))
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    scores = axes_of(figure, 1, 2, 1, title="score, from 0 at the fakes to 1 at the reals", ylim=(-0.6, 1.6))
    pushes = axes_of(figure, 1, 2, 2, title="slope of the generator’s loss", yscale="log", ylim=(1e-6, 100))
    for axes in (scores, pushes):
        axes.set_xlabel("place of an image on the line")
        for centre, name in ((FAKE, "fakes"), (REAL, "reals")):
            axes.axvspan(centre - 2 * SPREAD, centre + 2 * SPREAD, color=GREY, alpha=0.2, linewidth=0)
            axes.text(centre, 0.96, name, color=GREY, ha="center", va="top", transform=axes.get_xaxis_transform())
    print("| | slope at the fakes |\n|---|---|")
    for (name, (objective, weights, clip)), style in zip(ON_THE_LINE.items(), LINE_STYLES, strict=True):
        critic = fit_critic(objective, weights, clip)
        on_reals = critic(on_line(reals)).detach()

        def loss(x: Tensor, critic: Critic = critic, on_reals: Tensor = on_reals, name: str = objective) -> Tensor:
            return make_objective(name).generator_loss(on_reals, critic(on_line(x[None])).expand(len(on_reals)))

        steep = torch.vmap(torch.func.grad(loss))(torch.cat([places, fakes])).abs().detach()
        with torch.no_grad():
            low, high = critic(on_line(fakes)).mean(), on_reals.mean()
            along = (critic(on_line(places)) - low) / (high - low)
        scores.plot(places, along, label=name, linewidth=2, **style)
        pushes.plot(places, steep[: len(places)].clamp_min(1e-12), linewidth=2, **style)
        print(f"| {name} | {float(steep[len(places) :].median()):.2g} |")
    add_legend(figure, scores, 4)
    save(figure, "line.svg")


# --- trainings ------------------------------------------------------------------------------------------------------

SHOWN = 40  # samples of each training
TRAININGS: dict[str, dict[str, Any]] = {
    "minimax": {"objective": {"name": "minimax"}, "penalty": penalty()},
    "non-saturating": {"objective": {"name": "non_saturating"}, "penalty": penalty()},
    "WGAN-GP": {"objective": {"name": "wgan"}, "penalty": penalty(gradient_penalty=10)},
    "relativistic pairs, R1 + R2": {"objective": {"name": "rpgan"}, "penalty": penalty(r1=1, r2=1)},
}
TRAINING_COLOURS = ("#d1495b", "#e8963a", "#4a90d9", "#5aa84f")


def settings_for(changes: dict[str, Any], kimg: float) -> TrainSettings:
    """Those of conf/base, with other losses."""
    base = settings_of("base", threads=1, seed=0).model_dump(mode="json")
    length = {"kimg": kimg, "tick_kimg": kimg / 20, "evaluate_every_kimg": kimg / 20, "rows_per_tick": 1}
    return TrainSettings.model_validate(base | length | changes)


def run(name: str, images: PackedImages, kimg: float, folder: Path) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Trains, or reads what an earlier call left: a row for each tick, and the last samples."""
    settings = settings_for(TRAININGS[name], kimg)
    files = [folder / f"explained-{name.replace(' ', '-')}-{kimg:g}{suffix}" for suffix in (".csv", ".npy")]
    if not all(file.exists() for file in files):
        measure = ValidationDistance(choose_reals(images.gather, *images.split("valid"), images.size, 512))
        rows = []
        for tick in train(images, settings, measure=measure):
            rows += tick.rows
        samples = TrainedGenerator(tick.networks.generator).sample(SHOWN, seed=0)
        pd.DataFrame(rows).to_csv(files[0], index=False, float_format="%.5g")
        np.save(files[1], samples)
    return pd.read_csv(files[0]), np.load(files[1])


def draw_trainings(kimg: float, folder: Path) -> None:
    """Three curves of every training, and below them its samples."""
    folder.mkdir(parents=True, exist_ok=True)
    images, _ = portraits(folder, 4096, seed=0, size=32)
    figure = Figure(figsize=(10, 3.4 + 1.3 * len(TRAININGS)), layout="constrained", dpi=100)
    grid = figure.add_gridspec(len(TRAININGS) + 1, 3, height_ratios=[3.2] + [1.25] * len(TRAININGS))
    columns = {
        "swd_absolute_valid": "distance to valid images",
        "auc": "AUC of the discriminator",
        "sample_diversity": "diversity of samples, reals: 1",
    }
    charts = {name: figure.add_subplot(grid[0, place]) for place, name in enumerate(columns)}
    print("| | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for row, (name, colour) in enumerate(zip(TRAININGS, TRAINING_COLOURS, strict=True), start=1):
        rows, samples = run(name, images, kimg, folder)
        for column, axes in charts.items():
            axes.plot(rows["images"] / 1000, rows[column], color=colour, linewidth=2)
        print(f"| {name} | " + " | ".join(f"{rows[column].iloc[-1]:.3g}" for column in columns) + " |", flush=True)
        strip = figure.add_subplot(grid[row, :])
        strip.imshow(make_grid(samples, 0, SHOWN // 2, tile=64).pixels)
        strip.set_axis_off()
        strip.set_title(name, loc="left", fontsize=10, color=colour, pad=2)
    for name, axes in charts.items():
        axes.set(title=columns[name], xlabel="thousand images")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
    floor = rows["swd_absolute_valid_floor"].iloc[-1]
    print(f"| floor | {floor:.3g} | 0.5 | 1 |")
    charts["swd_absolute_valid"].axhline(floor, color=GREY, linestyle="--", label="floor: other real images")
    charts["swd_absolute_valid"].legend(fontsize=8)
    charts["swd_absolute_valid"].set_yscale("log")
    figure.savefig(PICTURES / "trainings.png")
    _shrink(PICTURES / "trainings.png")


def _shrink(path: Path) -> None:
    """Fewer colours, fewer bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(128)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help="losses, line or trainings; all by default")
    parser.add_argument("--kimg", type=float, default=40, help="thousand images of each training")
    parser.add_argument("--folder", type=Path, default=PROJECT / "data" / "quality", help="where measurements are kept")
    chosen = parser.parse_args()
    if unknown := set(chosen.pictures) - {"losses", "line", "trainings"}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}; give losses, line or trainings")
    torch.set_num_threads(1)
    print(describe())
    makers: dict[str, Callable[[], None]] = {
        "losses": draw_losses,
        "line": draw_line,
        "trainings": lambda: draw_trainings(chosen.kimg, chosen.folder),
    }
    for name in chosen.pictures or makers:
        print(f"\n{name}", flush=True)
        makers[name]()


if __name__ == "__main__":
    main()
