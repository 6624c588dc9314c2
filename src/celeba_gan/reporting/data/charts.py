"""Charts of the data: the frequencies of attributes, and the sizes of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Literal

from celeba_gan.foundation.wording import counted
from celeba_gan.reporting.chart_style import FAINT, TEXT, add_markers, finish, in_columns, only_title
from celeba_gan.reporting.data.data_report import ALL, AttributeShares, DataReport, Shares

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_BLUE: Final = "#4f9ddb"
# Different shapes, too: for equal splits the markers overlap.
_MARKERS: Final = {
    "train": {"symbol": "circle", "size": 9, "color": _BLUE},
    "valid": {"symbol": "diamond-open", "size": 10, "color": "#ee6677", "line": {"width": 2}},
    "test": {"symbol": "square-open", "size": 9, "color": "#3aa655", "line": {"width": 2}},
}
_PUBLISHED: Final = {"symbol": "line-ns", "size": 15, "line": {"width": 3, "color": "#d1a400"}}
_MOST_ROWS: Final = 60
_MOST_BUBBLES: Final = 60  # more sizes are drawn as a histogram


def plot_attributes(report: DataReport) -> Any:
    """Draws the share of images with each attribute, or else label, the most frequent first.

    A row of the plotly figure has a marker for each split and, for CelebA's attributes, one for the published share.
    """
    rows: Mapping[str, Shares] = report.attributes or report.labels
    if not rows:
        return only_title("These images have neither attributes nor labels")
    names = sorted(rows, key=lambda name: -(rows[name].share[ALL] or 0))[:_MOST_ROWS]
    published = {name: row.published for name, row in rows.items() if isinstance(row, AttributeShares)}

    def add(figure: Any, part: Sequence[str], column: int) -> float:
        first, hover = column == 1, "%{text}: %{x:.1f}%"
        for split, marker in _MARKERS.items():
            points = [(row, name, rows[name].share[split]) for row, name in enumerate(part)]
            style = {"customdata": [counted(rows[name].images[split], "image") for name in part], "marker": marker}
            add_markers(
                figure, column, split, points, showlegend=first, hovertemplate=f"{hover} (%{{customdata}})", **style
            )
        known = [(row, name, share) for row, name in enumerate(part) if (share := published.get(name)) is not None]
        if known:
            what = "published for CelebA" if report.source.kind == "celeba" else "real CelebA, for comparison"
            style = {"name": what, "marker": _PUBLISHED, "hovertemplate": f"{hover} in all of CelebA"}
            add_markers(figure, column, "published", known, showlegend=first, **style)
        drawn = [*(share for name in part for share in rows[name].share.values()), *(share for _, _, share in known)]
        return max((share for share in drawn if share), default=1)

    what = "attribute" if report.attributes else "label"
    number = "Images with each" if len(names) == len(rows) else f"The {len(names)} most frequent of {len(rows)}:"
    figure = in_columns(names, add, 0, tickfont={"size": 10})  # from 0, where kedro-viz would not start
    return finish(figure, f"{number} {what}, as share of their split")


def plot_sizes(index: DataFrame, crop: int | Literal["none"]) -> Any:
    """Draws the number of photographs of each width and height, and the centre crop in pixels; none: largest square.

    `index` has the columns `width` and `height`. If all photographs have one size, the plotly figure shows one of them.
    """
    import plotly.graph_objects as go

    counts = index.groupby(["width", "height"]).size()
    if len(counts) == 1:
        ((width, height),) = counts.index
        return _plot_one_size(int(width), int(height), len(index), crop)
    title = f"{len(index):,} photographs of {len(counts):,} sizes"
    figure = go.Figure(_bubbles(counts) if len(counts) <= _MOST_BUBBLES else _histogram(index))
    if crop != "none":
        longest = max(index["width"].max(), index["height"].max(), crop) * 1.1
        for x, y in (([crop, crop], [crop, longest]), ([crop, longest], [crop, crop])):
            figure.add_scatter(x=x, y=y, mode="lines", line={"color": "#ee6677", "dash": "dot"}, showlegend=False,
                               hovertemplate=f"the crop of {crop} pixels<extra></extra>")  # fmt: skip
        title += f"; those left of the lines or below are smaller than the crop of {crop}"
    figure.update_xaxes(title_text="width in pixels", type="log", gridcolor=FAINT)
    figure.update_yaxes(title_text="height in pixels", type="log", gridcolor=FAINT)
    return finish(figure, title)


def _bubbles(counts: Series[int]) -> Any:
    """A disk for every size, of at most 40 pixels; its area is proportional to the number of photographs."""
    import plotly.graph_objects as go

    sizes = counts.rename("photographs").reset_index()
    number = sizes["photographs"].tolist()
    return go.Scatter(
        x=sizes["width"].tolist(),
        y=sizes["height"].tolist(),
        mode="markers",
        marker={"size": number, "sizemode": "area", "sizeref": max(number) / 40**2, "sizemin": 4, "color": _BLUE},
        customdata=number,
        hovertemplate="%{x}x%{y}: %{customdata:,} photographs<extra></extra>",
        showlegend=False,
    )


def _histogram(index: DataFrame) -> Any:
    """The number of photographs in bins that grow by a tenth."""
    import numpy as np
    import plotly.graph_objects as go

    sides, ends = np.log(index[["width", "height"]].to_numpy(np.float64)), []
    for low, high in zip(sides.min(axis=0), sides.max(axis=0), strict=True):
        ends.append(np.linspace(low, high + 1e-9, ceil((high - low) / np.log(1.1)) + 2))
    counts, (x, y) = np.histogramdd(sides, bins=ends)
    return go.Heatmap(
        x=np.exp(x).tolist(),
        y=np.exp(y).tolist(),
        z=[[count or None for count in row] for row in counts.T.tolist()],  # empty bins are not drawn
        colorscale="Viridis",
        colorbar={"title": {"text": "photographs"}, "outlinewidth": 0},
        hoverongaps=False,
        hovertemplate="about %{x:.0f}x%{y:.0f}: %{z:,} photographs<extra></extra>",
    )


def _plot_one_size(width: int, height: int, number: int, crop: int | Literal["none"]) -> Any:
    """One photograph, with the part of it that is packed."""
    import plotly.graph_objects as go

    side = min(width, height) if crop == "none" else crop
    left, top = (width - side) / 2, (height - side) / 2
    figure = go.Figure()
    # A trace: kedro-viz draws no axes for figures that have only shapes.
    figure.add_scatter(x=[0, width, width, 0, 0], y=[0, 0, height, height, 0], mode="lines",
                       line={"color": TEXT}, name="photograph", hoverinfo="skip")  # fmt: skip
    figure.add_scatter(x=[left, left + side, left + side, left, left], y=[top, top, top + side, top + side, top],
                       mode="lines", fill="toself", line={"color": _BLUE}, name=f"crop of {side}x{side}",
                       hoverinfo="skip")  # fmt: skip
    figure.update_xaxes(title_text="width in pixels", gridcolor=FAINT, constrain="domain")
    figure.update_yaxes(
        title_text="height in pixels", gridcolor=FAINT, autorange="reversed", scaleanchor="x", constrain="domain"
    )
    return finish(figure, f"All {number:,} photographs are {width}x{height}")
