"""Charts of the data: the frequencies of attributes, and the sizes of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Literal

from celeba_gan.foundation.wording import counted
from celeba_gan.reporting.chart_style import FAINT, TEXT, escape, finish, only_title
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
_ONE_COLUMN: Final = 12  # rows; more are drawn in two columns, since kedro-viz fixes the height of figures
_MOST_ROWS: Final = 60
_MOST_BUBBLES: Final = 60  # more sizes are drawn as a histogram


def plot_attributes(report: DataReport) -> Any:
    """Draws the share of images with each attribute, or else label, the most frequent first.

    Args:
        report: The report on the data.

    Returns:
        A plotly figure: per row a marker for each split and, for CelebA's attributes, one for the published share.
    """
    from plotly.subplots import make_subplots

    rows: Mapping[str, Shares] = report.attributes or report.labels
    if not rows:
        return only_title("These images have neither attributes nor labels")
    names = sorted(rows, key=lambda name: -(rows[name].share[ALL] or 0))[:_MOST_ROWS]
    columns = 1 if len(names) <= _ONE_COLUMN else 2
    length = ceil(len(names) / columns)
    figure = make_subplots(rows=1, cols=columns, horizontal_spacing=0.2)
    for column in range(columns):
        part = {name: rows[name] for name in names[column * length : (column + 1) * length]}
        for split, marker in _MARKERS.items():
            _add_shares(figure, part, split, {"marker": marker, "showlegend": not column}, column + 1)
        _add_published(figure, part, report.source.kind, column + 1)
        figure.update_yaxes(
            tickvals=list(range(len(part))),
            ticktext=[_axis_text(name) for name in part],
            range=[length - 0.5, -0.5],  # from top to bottom
            gridcolor=FAINT,
            zeroline=False,
            automargin=True,
            tickfont={"size": 10},
            col=column + 1,
        )
        shares = [share for row in part.values() for share in [*row.share.values(), _published(row)]]
        most = max((share for share in shares if share), default=1)
        figure.update_xaxes(
            range=[0, 105 * most],  # kedro-viz would not begin at 0
            ticksuffix="%",
            tickangle=0,
            nticks=6,
            gridcolor=FAINT,
            zerolinecolor=FAINT,
            col=column + 1,
        )
    what = "attribute" if report.attributes else "label"
    number = "Images with each" if len(names) == len(rows) else f"The {len(names)} most frequent of {len(rows)}:"
    return finish(figure, f"{number} {what}, as share of their split")


def _add_shares(figure: Any, rows: Mapping[str, Shares], split: str, style: Mapping[str, object], column: int) -> None:
    figure.add_scatter(
        x=[None if (share := row.share[split]) is None else 100 * share for row in rows.values()],
        y=list(range(len(rows))),
        name=split,
        legendgroup=split,
        mode="markers",
        text=[escape(name) for name in rows],
        customdata=[counted(row.images[split], "image") for row in rows.values()],
        hovertemplate="%{text}: %{x:.1f}% (%{customdata})",
        row=1,
        col=column,
        **style,
    )


def _add_published(figure: Any, rows: Mapping[str, Shares], kind: str, column: int) -> None:
    known = {
        place: (name, share) for place, (name, row) in enumerate(rows.items()) if (share := _published(row)) is not None
    }
    if known:
        figure.add_scatter(
            x=[100 * share for _, share in known.values()],
            y=list(known),
            name="published for CelebA" if kind == "celeba" else "real CelebA, for comparison",
            legendgroup="published",
            mode="markers",
            marker=_PUBLISHED,
            showlegend=column == 1,
            text=[escape(name) for name, _ in known.values()],
            hovertemplate="%{text}: %{x:.1f}% in all of CelebA",
            row=1,
            col=column,
        )


def _published(row: Shares) -> float | None:
    return row.published if isinstance(row, AttributeShares) else None


def _axis_text(name: str) -> str:
    text = name.replace("_", " ")
    return escape(f"{text[:27]}..." if len(text) > 30 else text)


def plot_sizes(index: DataFrame, crop: int | Literal["none"]) -> Any:
    """Draws the number of photographs of each width and height, and the crop.

    Args:
        index: The image index, with `width` and `height`.
        crop: Side of the centre crop in pixels; none: the largest square.

    Returns:
        A plotly figure. If all photographs have the same size it shows one, with its crop.
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
