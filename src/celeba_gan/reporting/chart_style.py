"""How charts look: readable on light and on dark pages."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final

FAINT: Final = "rgba(128, 128, 128, 0.25)"
TEXT: Final = "#888888"
Point = tuple[int, str, float | None]
"""The row, a text, and the share in [0, 1]."""
_ONE_COLUMN: Final = 12  # rows; more are drawn in two columns, since kedro-viz fixes the height of figures


def finish(figure: Any, title: str | None = None, **layout: Any) -> Any:
    """Gives a plotly figure its title and the look of all charts, but for what `layout` says."""
    look = {
        "title": {"text": title, "font": {"size": 15}},
        "font": {"color": TEXT, "size": 11},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "legend": {"orientation": "h", "y": -0.1},
        "margin": {"l": 60, "r": 20, "t": 60, "b": 60},
        "hovermode": "closest",
    }
    return figure.update_layout(look | layout)


def in_columns(names: Sequence[str], add: Callable[[Any, Sequence[str], int], float], start: float, **axis: Any) -> Any:
    """A plotly figure of shares in percent, a row for each name; in two columns from thirteen rows on.

    Args:
        names: From top to bottom.
        add: Draws some of the names into a column of the figure, and returns the largest share there, in [0, 1].
        start: Where the axis of shares starts, in percent of the largest one.
        axis: More options of the axis of names.
    """
    from plotly.subplots import make_subplots

    columns = 1 if len(names) <= _ONE_COLUMN else 2
    length = ceil(len(names) / columns)
    figure = make_subplots(rows=1, cols=columns, horizontal_spacing=0.2)
    for column in range(1, columns + 1):
        part = names[(column - 1) * length : column * length]
        most = add(figure, part, column)
        texts = [name.replace("_", " ") for name in part]
        figure.update_yaxes(
            tickvals=list(range(len(part))),
            ticktext=[escape(f"{text[:27]}..." if len(text) > 30 else text) for text in texts],
            range=[length - 0.5, -0.5],  # from top to bottom
            gridcolor=FAINT,
            zeroline=False,
            automargin=True,
            col=column,
            **axis,
        )
        figure.update_xaxes(
            range=[start * most, 105 * most],
            ticksuffix="%",
            tickangle=0,
            nticks=6,
            gridcolor=FAINT,
            zerolinecolor=FAINT,
            col=column,
        )
    return figure


def add_markers(figure: Any, column: int, group: str, points: Sequence[Point], **style: Any) -> None:
    """Draws points into a column of a chart by `in_columns`; `group` is their name in the legend."""
    rows, texts, shares = zip(*points, strict=True)
    style = {"name": group, "legendgroup": group, "mode": "markers", "row": 1, "col": column} | style
    x = [None if share is None else 100 * share for share in shares]
    figure.add_scatter(x=x, y=list(rows), text=[escape(text) for text in texts], **style)


def only_title(title: str) -> Any:
    """A figure with a sentence on why there is nothing to show."""
    import plotly.graph_objects as go

    return finish(go.Figure(layout={"xaxis": {"visible": False}, "yaxis": {"visible": False}}), title)


def escape(text: str) -> str:
    """Text from outside, without HTML tags and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
