"""The grid of samples."""

from collections.abc import Sequence

from celeba_gan.reporting.generation.layout import Pixels, draw_rows


def draw_samples(
    samples: Pixels,
    columns: int,
    images: int,
    seed: int,
    truncation: float,
    names: Sequence[str] | None,
    shared: str | None,
) -> Pixels:
    """Draws samples in rows, so that the number of each can be read: the row's plus the column's.

    With names, each row has the latents of the same samples, and labels of its own.

    Args:
        samples: uint8 (n, size, size, 3), n a multiple of `columns`.
        columns: Samples in a row.
        images: Seen in training.
        seed: Of the samples.
        truncation: Of the samples.
        names: The labels of each row; None: rows differ in their latents.
        shared: The labels of all; None: they have none, or each row has its own.

    Returns:
        uint8 (height, width, 3).
    """
    rows = samples.reshape(-1, columns, *samples.shape[1:])
    facts = [f"seed {seed}", f"after {images / 1000:,.4g} kimg"]
    if truncation < 1:
        facts.append(f"truncation {truncation:g}")
    if shared is not None:
        facts.append(shared)
    if names is None:
        left, above = [[f"{row * columns}"] for row in range(len(rows))], [f"+{column}" for column in range(columns)]
        rule = "a sample's number is that of its row plus that of its column"
    else:
        left, above = [name.split(" + ") for name in names], [f"{column}" for column in range(columns)]
        rule = "columns have the latents of the samples of these numbers, rows have the labels"
    return draw_rows(rows, above, left, [[]] * len(rows), [f"{', '.join(facts)}: {rule}"], tile=96)
