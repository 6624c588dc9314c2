"""The page and the chart of `corruptions`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corrupted_images import CORRUPTIONS, Images, Material
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

NOTICED = 3.0  # spreads of the floor
MIDDLE = 3  # of the levels
LESS_IS_WORSE = {"precision", "recall", "density", "coverage", "distance_ratio", "c2st_age"}
VARIANTS = {
    "frechet_infinity",
    "swd_absolute_valid",
    "c2st_accuracy",
    "c2st_age",
}  # say nearly what their relatives say
ORIGINALITY = {"memorised", "distance_ratio", "repeated"}  # not meant to notice worse images
SHOWN = 5  # portraits beside each row of the chart

Row = dict[str, Any]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Responses:
    """What every metric makes of every corruption."""

    metrics: list[str]
    corruptions: list[str]
    levels: list[int]
    floor: Numbers
    """Mean and spread of each metric on unspoilt sets: (2, metrics)."""
    values: Numbers
    """How far from the floor, in its spreads, turned so that more is worse: (corruptions, levels, metrics)."""
    steady: Numbers
    """Rank correlation with the strength: (corruptions, metrics)."""

    @classmethod
    def of(cls, rows: list[Row]) -> "Responses":
        """Reads rows of `corruption`, `level` and `values`; those whose corruption has no name are the floor."""
        metrics = list(rows[0]["values"])
        corruptions = list(dict.fromkeys(row["corruption"] for row in rows if row["corruption"]))
        levels = sorted({row["level"] for row in rows if row["corruption"]})
        numbers = {(row["corruption"], row["level"]): [row["values"][name] for name in metrics] for row in rows}
        floor = np.array([[row["values"][name] for name in metrics] for row in rows if not row["corruption"]])
        mean, spread = floor.mean(0), floor.std(0, ddof=1)
        signs = np.array([-1 if name in LESS_IS_WORSE else 1 for name in metrics])
        # Where all sets of the floor have the same share, one image more or less would still be no sign of anything.
        scale = signs / np.maximum(spread, 1e-3)
        values = np.array([[numbers[name, level] for level in levels] for name in corruptions])
        values = (values - mean) * scale
        unspoilt = np.broadcast_to((floor[0] - mean) * scale, (len(corruptions), 1, len(metrics)))  # those spoilt later
        steady = _rank_correlation(np.concatenate([unspoilt, values], axis=1))
        return cls(metrics, corruptions, levels, np.stack([mean, spread]), values, steady)

    @property
    def middle(self) -> Numbers:
        """Responses at middle strength: (corruptions, metrics)."""
        middle: Numbers = self.values[:, self.levels.index(MIDDLE)]
        return middle

    @property
    def least(self) -> NDArray[np.int64]:
        """The level from which on a metric notices a corruption, 0 where it does not: (corruptions, metrics)."""
        noticed = self.values > NOTICED
        ever_after = np.logical_and.accumulate(noticed[:, ::-1], axis=1)[:, ::-1]
        first = np.array(self.levels)[ever_after.argmax(axis=1)]
        return np.where(ever_after.any(axis=1), first, 0)


def _rank_correlation(values: Numbers) -> Numbers:
    """Spearman's, with the place along axis 1; 0 for constants. Equal values share their ranks."""
    places = np.arange(values.shape[1])
    below = (values[:, :, None] > values[:, None]).sum(axis=2)
    ranks = below + ((values[:, :, None] == values[:, None]).sum(axis=2) - 1) / 2
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    line = (places - places.mean())[:, None]
    root = np.sqrt(np.square(centred).sum(axis=1) * np.square(line).sum())
    result: Numbers = (centred * line).sum(axis=1) / np.maximum(root, 1e-12)
    return result


# --- the page -------------------------------------------------------------------------------------------------------


def write(rows: list[Row], images: int, material: Material, page: Path, chart: Path) -> None:
    """Writes page and chart from rows of so many images a side."""
    found = Responses.of(rows)
    chart.parent.mkdir(parents=True, exist_ok=True)
    draw(found, material).savefig(chart, dpi=100)
    bold = (found.least > 0) & (found.least <= MIDDLE)
    middle = [
        [f"**{short(value)}**" if strong else short(value) for value, strong in zip(values, marks, strict=True)]
        for values, marks in zip(found.middle, bold, strict=True)
    ]
    levels = [
        [f"{level or '·'} ({steady:.1f})".replace("-0.0", "0.0") for level, steady in zip(some, ranks, strict=True)]
        for some, ranks in zip(found.least, found.steady, strict=True)
    ]
    strengths = [
        f"| {name} | {' | '.join(CORRUPTIONS[name].says(strength) for strength in CORRUPTIONS[name].strengths)} |"
        for name in found.corruptions
    ]
    page.write_text(
        PAGE.format(
            images=images,
            machine=rows[-1]["machine"].replace("1 threads", "1 thread a process"),
            minutes=sum(row["seconds"] for row in rows) / 60,
            picture=Path(os.path.relpath(chart.resolve(), page.resolve().parent)).as_posix(),
            middle=table(found, middle),
            levels=table(found, levels),
            strengths="\n".join(strengths),
            sentences="\n".join(sentence(found, name) for name in found.corruptions),
        )
    )


def short(value: float) -> str:
    """A response in few digits."""
    return f"{value / 1000:.0f}k" if abs(value) >= 1000 else f"{round(value)}"


def table(found: Responses, cells: list[list[str]]) -> str:
    """A row per metric, with mean and spread of its floor, and a column per corruption."""
    heads = ["metric", "floor", *found.corruptions]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for metric, mean, spread, *row in zip(found.metrics, *found.floor, *cells, strict=True):
        lines.append("| " + " | ".join([f"`{metric}`", f"{mean:.3g} ± {spread:.2g}", *row]) + " |")
    return "\n".join(lines)


def listing(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def sentence(found: Responses, name: str) -> str:
    """From which strength on which metrics notice a corruption, which never do, and which are fooled by it."""
    row, corruption = found.corruptions.index(name), CORRUPTIONS[name]
    told = [metric not in VARIANTS for metric in found.metrics]
    metrics, least, middle = np.array(found.metrics)[told], found.least[row][told], found.middle[row][told]
    order = np.argsort(-middle)
    by_level = {level: code(metrics[order][least[order] == level]) for level in found.levels}
    noticed = [
        f"from {corruption.says(corruption.strengths[level - 1])} on by {listing(names)}"
        for level, names in by_level.items()
        if names
    ]
    meant = np.array([metric not in ORIGINALITY for metric in metrics])
    parts = [f"- **{name}**{' (harmless)' * corruption.harmless}: {'; '.join(noticed) or 'noticed by none'}."]
    if not corruption.harmless and (meant & (least == 0)).any():
        parts.append(f"Never by {listing(code(metrics[meant & (least == 0)]))}.")
    if (meant & (middle < -NOTICED)).any():
        parts.append(f"At middle strength better than real to {listing(code(metrics[meant & (middle < -NOTICED)]))}.")
    return " ".join(parts)


def code(names: NDArray[np.str_]) -> list[str]:
    """`Each` in backticks."""
    return [f"`{name}`" for name in names]


# --- the chart ------------------------------------------------------------------------------------------------------


def draw(found: Responses, material: Material) -> Figure:
    """A row per corruption: some of its portraits, and each metric's response, bold where it counts as noticed."""
    rows, columns = found.middle.shape
    figure = Figure(figsize=(16, 1.9 + 0.5 * rows), layout="constrained", facecolor="#fafafa")
    pictures, heat = figure.subplots(1, 2, width_ratios=[SHOWN, 0.9 * columns])
    _draw_pictures(pictures, found.corruptions, material)
    colours = LinearSegmentedColormap.from_list("", ["#2b6cb0", "#9cc3e6", "#f1f1f1", "#f5b183", "#b83227"])
    norm = SymLogNorm(linthresh=NOTICED, linscale=0.6, vmin=-300, vmax=300, base=10)
    mesh = heat.imshow(found.middle, cmap=colours, norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(found.middle):
        heat.text(
            column,
            row,
            short(value),
            ha="center",
            va="center",
            fontsize=10,
            color="white" if abs(value) > 60 else "#222222",
            weight="bold" if 0 < found.least[row, column] <= MIDDLE else "normal",
        )
    heat.xaxis.tick_top()
    heat.set_xticks(range(columns), found.metrics, rotation=40, ha="left", rotation_mode="anchor", fontsize=11)
    heat.set_yticks(range(rows), [""] * rows)
    heat.set_xticks(np.arange(-0.5, columns), minor=True)
    heat.set_yticks(np.arange(-0.5, rows), minor=True)
    heat.grid(which="minor", color="#fafafa", linewidth=1.5)
    heat.tick_params(which="both", length=0)
    for axes in (heat, pictures):
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=heat, location="bottom", fraction=0.03, pad=0.02, aspect=60)
    bar.set_ticks([-100, -10, -3, 0, 3, 10, 100], labels=["-100", "-10", "-3", "0", "3", "10", "100"])
    bar.set_label(
        "response at middle strength, in spreads of the floor. Red: worse than unspoilt portraits; blue: seemingly "
        "better; bold: noticed",
        fontsize=11,
    )
    return figure


def _draw_pictures(axes: Axes, names: list[str], material: Material) -> None:
    """A row per corruption, at its middle strength: portraits that it changed."""
    strips = []
    for name in names:
        images = CORRUPTIONS[name].spoil(material, CORRUPTIONS[name].strengths[MIDDLE - 1])
        changed = np.flatnonzero((images != material.images).any((1, 2, 3)))
        strips.append(_framed(images[changed[:SHOWN]]))
    axes.imshow(np.concatenate(strips), aspect="auto", interpolation="nearest")
    height = len(strips[0])
    labels = [f"{name}\n{CORRUPTIONS[name].says(CORRUPTIONS[name].strengths[MIDDLE - 1])}" for name in names]
    axes.set_yticks([height * (row + 0.5) for row in range(len(names))], labels, fontsize=10)
    axes.set_xticks([])
    axes.tick_params(length=0)


def _framed(images: Images) -> Images:
    """Side by side, a light pixel around each."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=250)
    return np.concatenate(list(padded), axis=1)


PAGE = """# Which metric notices what

{machine}; {minutes:.0f} minutes of CPU time for the numbers. Written by

    python benchmarks/corruptions.py

{images:,} portraits at 32x32 are compared with {images:,} others, which are spoilt in one known way: images that are
worse, or sets that are worse although every image in them is good. Features are those of the attribute classifier,
trained on 4 x {images:,} further portraits; these are also the training images. Sliced Wasserstein distances (`swd`,
and of its scales) with 128 directions and 16 patches per image and scale; `swd_absolute_valid` is the cheap one that
training is watched by, on half of the images. `attribute_shares` is the mean difference of how often samples and reals
have an attribute, in the classifier's eyes. `c2st_*`: a fresh small discriminator learns from two fifths of both sides,
and is measured on half of them. Inception features are not in it: nothing here downloads weights.

The floor is ten sets of as many other portraits in the samples' place: mean ± standard deviation, a spread below. A
response is the difference from the floor in spreads, turned so that more is worse. A metric *notices* a corruption
from a strength on, if there, and at every greater one, it is more than 3 spreads worse than the floor; of a hundred
sets that are no worse than the floor about one passes by chance.

![responses at middle strength]({picture})

## Response at middle strength

In spreads of the floor; bold: noticed.

{middle}

## The least strength that is noticed

1 to 5, · for none; in brackets the rank correlation with the strength, unspoilt portraits included.

{levels}

The strengths:

| | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|
{strengths}

## What it says

The variants (`frechet_infinity`, `swd_absolute_valid`, `c2st_accuracy`, `c2st_age`) are left out: they say what their
relatives do. Who notices is in the order of the response at middle strength.

{sentences}

Why:

- The sliced Wasserstein distance brings both sets of patches to mean 0 and deviation 1 in each colour, by the paper's
  definition. So it cannot see what scales a colour, or all of them, in every image alike, until colours are clipped.
  `swd_absolute`, and with it `swd_absolute_valid`, brings samples to what the reals need, and sees it.
- Features of an attribute classifier know what tells attributes apart. They see a missing kind of person first, and
  look past what no attribute depends on: noise, contrast (its group norm divides most of it out), small squares, and
  images that are no faces, which land in the midst of the faces: `precision` hardly falls.
- The two-sample test sees small shifts of colour and shape, which the others miss. With so few images to learn from it
  is late where noise, squares or missing images are to be seen.
- `memorised` is the share of copies, mirrored or not. `distance_ratio` grows with any damage, so it is read beside a
  distance.
- MS-SSIM rises by about the inverse of the number of different images: only a nearly complete collapse shows. Noise
  lowers it.
"""
