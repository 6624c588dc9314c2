"""Which attributes a generator drops and which it makes too often, as a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from celeba_gan.evaluation.documents import Attributes
from celeba_gan.reporting.chart_style import FAINT, TEXT, escape, finish, only_title
from celeba_gan.reporting.evaluation.writing import write_attribute

_ONE_COLUMN: Final = 12  # rows; more are drawn in two columns
_MOST_ROWS: Final = 40
# Distinct by shape, too.
_KINDS: Final = {
    "rarer among samples": {"symbol": "triangle-left", "size": 11, "color": "#dd6b4d"},
    "more frequent among samples": {"symbol": "triangle-right", "size": 11, "color": "#3d8fd1"},
    "about as frequent": {"symbol": "circle", "size": 8, "color": "#999999"},
}
_REALS: Final = {"symbol": "line-ns", "size": 14, "line": {"width": 3, "color": TEXT}}


@dataclass(frozen=True)
class _Share:
    samples: float
    reals: float
    error: float

    @property
    def off(self) -> float:
        return self.samples - self.reals

    @property
    def kind(self) -> str:
        kind = 2 if abs(self.off) <= self.error else 0 if self.off < 0 else 1
        return list(_KINDS)[kind]


def plot_attribute_shares(attributes: Attributes | None) -> Any:
    """Draws the share of samples with each attribute against that of real images, the one that is most off first.

    The bar of a sample's marker is the 0.95 interval of the difference: where it does not reach the mark of the reals,
    the generator drops the attribute or makes it too often.

    Args:
        attributes: None without a classifier.

    Returns:
        A plotly figure of up to forty rows; in two columns from thirteen on.
    """
    from plotly.subplots import make_subplots

    if not attributes or not attributes.names:
        return only_title("No attribute classifier, so the samples’ attributes are unknown")
    shares = {
        name: _Share(attributes.samples[name], attributes.reals[name], attributes.errors[name])
        for name in attributes.names
    }
    names = sorted(shares, key=lambda name: -abs(shares[name].off))[:_MOST_ROWS]
    columns = 1 if len(names) <= _ONE_COLUMN else 2
    length = ceil(len(names) / columns)
    figure = make_subplots(rows=1, cols=columns, horizontal_spacing=0.2)
    shown: set[str] = set()
    for column in range(columns):
        part = {name: shares[name] for name in names[column * length : (column + 1) * length]}
        _add_part(figure, part, column + 1, shown)
        figure.update_yaxes(
            tickvals=list(range(len(part))),
            ticktext=[_axis_text(name) for name in part],
            range=[length - 0.5, -0.5],  # from top to bottom
            gridcolor=FAINT,
            zeroline=False,
            automargin=True,
            tickfont={"size": 11},
            ticks="outside",
            ticklen=6,
            tickcolor="rgba(0, 0, 0, 0)",
            col=column + 1,
        )
        most = max(0.01, *(max(row.reals, row.samples + row.error) for row in part.values()))
        figure.update_xaxes(
            range=[-2 * most, 105 * most],  # markers at 0 are whole
            ticksuffix="%",
            tickangle=0,
            nticks=6,
            gridcolor=FAINT,
            zerolinecolor=FAINT,
            col=column + 1,
        )
    return finish(figure, _title(shares))


def _title(shares: Mapping[str, _Share]) -> str:
    kinds = [row.kind for row in shares.values()]
    rarer, more, _ = (kinds.count(kind) for kind in _KINDS)
    verb = "is" if rarer == 1 else "are"
    title = f"Of {len(shares)} attributes {rarer} {verb} rarer among samples than among reals, {more} more frequent"
    return title if len(shares) <= _MOST_ROWS else f"{title}; the {_MOST_ROWS} furthest off"


def _add_part(figure: Any, part: Mapping[str, _Share], column: int, shown: set[str]) -> None:
    """Markers of the reals and, a trace for each kind, of the samples; a kind is in the legend once."""
    rows, place = list(part.items()), {"row": 1, "col": column}
    lines: list[tuple[list[float | None], list[float | None]]] = []
    for index, (_, row) in enumerate(rows):
        lines.append(([100 * row.reals, 100 * row.samples, None], [index, index, None]))
    figure.add_scatter(
        x=[x for line in lines for x in line[0]],
        y=[y for line in lines for y in line[1]],
        mode="lines",
        line={"color": FAINT, "width": 5},
        hoverinfo="skip",
        showlegend=False,
        **place,
    )
    figure.add_scatter(
        x=[100 * row.reals for _, row in rows],
        y=list(range(len(rows))),
        name="real images",
        legendgroup="real images",
        showlegend="real images" not in shown,
        mode="markers",
        marker=_REALS,
        text=[escape(write_attribute(name)) for name, _ in rows],
        hovertemplate="%{text}: %{x:.1f}% of real images<extra></extra>",
        **place,
    )
    shown.add("real images")
    for kind, marker in _KINDS.items():
        here = [(index, name, row) for index, (name, row) in enumerate(rows) if row.kind == kind]
        if here:
            _add_samples(figure, here, {"name": kind, "marker": marker, "showlegend": kind not in shown}, place)
            shown.add(kind)


def _add_samples(
    figure: Any, here: Sequence[tuple[int, str, _Share]], style: Mapping[str, Any], place: Mapping[str, int]
) -> None:
    figure.add_scatter(
        x=[100 * row.samples for _, _, row in here],
        y=[index for index, _, _ in here],
        error_x={
            "type": "data",
            "array": [100 * row.error for _, _, row in here],
            "color": style["marker"]["color"],
            "thickness": 1.5,
            "width": 3,
        },
        legendgroup=style["name"],
        mode="markers",
        text=[escape(write_attribute(name)) for _, name, _ in here],
        customdata=[[f"{100 * row.off:+.1f}", f"{100 * row.error:.1f}"] for _, _, row in here],
        hovertemplate="%{text}: %{x:.1f}% of samples (%{customdata[0]} ± %{customdata[1]} points)<extra></extra>",
        **style,
        **place,
    )


def _axis_text(name: str) -> str:
    text = write_attribute(name)
    return escape(f"{text[:27]}..." if len(text) > 30 else text)
