"""The README's pictures: drawn portraits, samples, and a film of a training, from what runs left in data/.

They are `make run`, the command in README's section "The article", and for the film

    kedro run --env modern_demo --params train.tick_kimg=2.5

`--project` is the project that has them; `--only film` makes that one alone.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import celeba_gan
from celeba_gan.datasets.ticks import TrainingGridsDataset
from celeba_gan.portraits import draw, sample_portrait
from celeba_gan.reporting.grids import ImageGrid, animate, make_grid

COLUMNS, ROWS = 8, 4
FOLDER = Path(__file__).parents[1] / "docs" / "images"
FILM_COLUMNS, FILM_ROWS, TILE = 6, 4, 98  # of the sample grid; pixels of a sample with its margin
FILM_WIDTH = 480  # pixels
EARLY = 32_500  # images; until then every tick is shown, afterwards every other one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--only", choices=list(MAKERS))
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in MAKERS.items():
        if arguments.only in (None, name):
            make(arguments.project)


def make_portraits(project: Path) -> None:
    """What `make run` draws, which needs no run."""
    sheet = Image.new("RGB", (COLUMNS * 66, ROWS * 66), "white")
    for place in range(COLUMNS * ROWS):
        face = draw(sample_portrait(0, place)).crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.LANCZOS)
        sheet.paste(face, (place % COLUMNS * 66 + 1, place // COLUMNS * 66 + 1))
    sheet.save(FOLDER / "portraits.png", optimize=True)


def make_samples(project: Path) -> None:
    """Of the demo, as large as the portraits beside them."""
    samples = Image.fromarray(make_grid(samples_of(project, "demo", ROWS), 0, COLUMNS).pixels)
    size = (COLUMNS * 66, ROWS * 66)
    samples.resize(size, Image.Resampling.LANCZOS).save(FOLDER / "samples.png", optimize=True)


def make_article(project: Path) -> None:
    article = Image.fromarray(make_grid(samples_of(project, "article-narrow", 3), 0, COLUMNS).pixels)
    article.quantize(255).save(FOLDER / "article.png", optimize=True)


def samples_of(project: Path, experiment: str, rows: int) -> NDArray[np.uint8]:
    """The first samples."""
    return celeba_gan.load_generator(project / "data/06_models" / experiment).sample(rows * COLUMNS)


def make_film(project: Path) -> None:
    """The sample grids of all ticks: the same latents, from the first weights to the last."""
    grids = TrainingGridsDataset(str(project / "data/07_model_output/modern_demo/training_grids")).load()
    early = sum(grid.images <= EARLY for grid in grids)
    shown = grids[:early] + grids[early - 1 :: 2][1:]
    if shown[-1] is not grids[-1]:
        shown.append(grids[-1])
    cut = [ImageGrid(one.images, one.pixels[: FILM_ROWS * TILE + 2, : FILM_COLUMNS * TILE + 2]) for one in shown]
    first, *others = animate(cut, FILM_WIDTH)
    times = [180] * len(others) + [2500]  # milliseconds
    file = FOLDER / "training.webp"
    first.save(file, "WEBP", save_all=True, append_images=others, duration=times, loop=0, quality=66, method=6)
    print(f"{file.name}: {len(shown)} frames, {first.width}x{first.height} pixels, {file.stat().st_size / 1000:.0f} kB")


MAKERS = {"portraits": make_portraits, "samples": make_samples, "article": make_article, "film": make_film}


if __name__ == "__main__":
    main()
