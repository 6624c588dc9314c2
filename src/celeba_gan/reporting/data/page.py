"""The page about the data."""

from typing import Any, Final

import numpy as np
from PIL import Image

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.reporting.data.data_report import ALL, DataReport
from celeba_gan.reporting.page import embed_chart, embed_picture, render

_TABLES: Final = (
    "Rejected images",
    "Unreadable images",
    "Photographs that become the same pixels",
    "Classes with too few training images",
)
_ROWS: Final = 20  # of a table; its file has all


def render_data(
    report: DataReport,
    attribute_chart: Any,
    size_chart: Any,
    contact_sheet: Image.Image,
    mean_image: Image.Image,
    *tables: Any,
) -> str:
    """Writes the page; the tables, DataFrames, are those of `_TABLES`."""
    images, size = report.images, report.recipe.size
    columns = [images.indexed, images.packed, *([images.persons] if images.persons else [])]
    return render(
        "data",
        title=f"{images.packed[ALL]:,} images of {size} × {size} pixels",
        facts=[report.source.source],
        report=report,
        counts=[(split, *(column[split] for column in columns)) for split in (*SPLITS, ALL)],
        files=[(file.name, file.rows, file.rows_without_image, file.verdict or None) for file in report.source.files],
        attributes=embed_chart("attributes", attribute_chart, stacked=560),
        sizes=embed_chart("sizes", size_chart, stacked=520),
        sheet=embed_picture("Training images", np.asarray(contact_sheet)),
        mean=embed_picture("The mean training image", np.asarray(mean_image)),
        tables=[
            (title, len(table), table.columns.tolist(), table.head(_ROWS).to_numpy(object).tolist())
            for title, table in zip(_TABLES, tables, strict=True)
        ],
    )
