"""The README's pictures: drawn portraits, and samples, from what runs left in data/.

They are `make run`, and the command in README's section "The article".
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import celeba_gan
from celeba_gan.portraits import draw, sample_portrait
from celeba_gan.reporting.grids import make_grid

COLUMNS, ROWS = 8, 4
PROJECT = Path(__file__).parents[1]


def main() -> None:
    folder = PROJECT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Image.new("RGB", (COLUMNS * 66, ROWS * 66), "white")
    for place in range(COLUMNS * ROWS):
        face = draw(sample_portrait(0, place)).crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.LANCZOS)
        sheet.paste(face, (place % COLUMNS * 66 + 1, place // COLUMNS * 66 + 1))
    sheet.save(folder / "portraits.png", optimize=True)

    samples = Image.fromarray(make_grid(samples_of("demo", ROWS), 0, COLUMNS).pixels)
    samples.resize(sheet.size, Image.Resampling.LANCZOS).save(folder / "samples.png", optimize=True)
    article = Image.fromarray(make_grid(samples_of("article-narrow", 3), 0, COLUMNS).pixels)
    article.quantize(255).save(folder / "article.png", optimize=True)


def samples_of(experiment: str, rows: int) -> NDArray[np.uint8]:
    """The first samples."""
    return celeba_gan.load_generator(PROJECT / "data/06_models" / experiment).sample(rows * COLUMNS)


if __name__ == "__main__":
    main()
