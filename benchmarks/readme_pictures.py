"""The README's pictures: drawn portraits, and samples, from what runs left in data/.

They are `make run`, and the command in README's section "The article".
"""

from pathlib import Path

from PIL import Image

from celeba_gan.portraits import draw, sample_portrait

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

    with Image.open(PROJECT / "data/08_reporting/demo/sample_grid.png") as grid:
        tile = 32 * 3 + 2  # the samples' size, enlarged, and the gap
        samples = grid.crop((0, 0, COLUMNS * tile + 2, ROWS * tile + 2))
    samples.resize(sheet.size, Image.Resampling.LANCZOS).save(folder / "samples.png", optimize=True)

    with Image.open(PROJECT / "data/08_reporting/article-narrow/sample_grid.png") as grid:
        tile = 112 + 2
        article = grid.crop((0, 0, COLUMNS * tile + 2, 3 * tile + 2)).quantize(255)
    article.save(folder / "article.png", optimize=True)


if __name__ == "__main__":
    main()
