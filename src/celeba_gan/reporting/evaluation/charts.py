"""Which attributes a generator drops and which it makes too often, as a chart."""

from collections.abc import Sequence
from typing import Any, Final

from celeba_gan.evaluation.documents import Attributes
from celeba_gan.reporting.chart_style import FAINT, TEXT, Point, add_markers, finish, in_columns, only_title
from celeba_gan.reporting.evaluation.differences import Difference, find_differences
from celeba_gan.reporting.evaluation.writing import write_attribute

_MOST_ROWS: Final = 40
# Distinct by shape, too.
_KINDS: Final = {
    "rarer among samples": {"symbol": "triangle-left", "size": 11, "color": "#dd6b4d"},
    "more frequent among samples": {"symbol": "triangle-right", "size": 11, "color": "#3d8fd1"},
    "about as frequent": {"symbol": "circle", "size": 8, "color": "#999999"},
}
_REALS: Final = {"symbol": "line-ns", "size": 14, "line": {"width": 3, "color": TEXT}}


def _kind(row: Difference) -> str:
    rarer, more, same = _KINDS
    return same if not row.seems_off else rarer if row.off < 0 else more


def plot_attribute_shares(attributes: Attributes | None) -> Any:
    """Draws the share of samples with each attribute against that of real images, the one that is most off first.

    The bar of a sample's marker is the 0.95 interval of the difference: where it does not reach the mark of the reals,
    the generator drops the attribute or makes it too often. Of more than forty attributes, the furthest off are drawn.
    None, for no classifier, gives a plotly figure with a title only.
    """
    if not attributes or not attributes.names:
        return only_title("No attribute classifier, so the samples’ attributes are unknown")
    shares = {row.name: row for row in find_differences(attributes)}
    legend: set[str] = set()

    def add(figure: Any, names: Sequence[str], column: int) -> float:
        rows = [shares[name] for name in names]
        _add(figure, rows, column, legend)
        return max(0.01, *(max(row.reals, row.samples + row.error) for row in rows))

    names = sorted(shares, key=lambda name: -abs(shares[name].off))[:_MOST_ROWS]
    ticks = {"tickfont": {"size": 11}, "ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0, 0, 0, 0)"}
    kinds = [_kind(row) for row in shares.values()]
    rarer, more, _ = (kinds.count(kind) for kind in _KINDS)
    verb = "seems" if rarer == 1 else "seem"
    clear = sum(row.is_clear for row in shares.values())
    title = (
        f"Of {len(shares)} attributes {rarer} {verb} rarer among samples than among real images, {more} more frequent; "
        f"{clear or 'none'} of them clearly"
    )
    cut = f"; the {_MOST_ROWS} furthest off" if len(shares) > _MOST_ROWS else ""
    return finish(in_columns(names, add, -2, **ticks), title + cut)  # from -2: markers at 0 are whole


def _add(figure: Any, rows: Sequence[Difference], column: int, legend: set[str]) -> None:
    """Markers of the reals and of each kind of samples, which `legend` then has; with a line from one to the other."""
    figure.add_scatter(
        x=[x for row in rows for x in (100 * row.reals, 100 * row.samples, None)],
        y=[y for index in range(len(rows)) for y in (index, index, None)],
        mode="lines",
        line={"color": FAINT, "width": 5},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )

    def markers(name: str, points: Sequence[Point], hover: str, **style: Any) -> None:
        hover = f"%{{text}}: %{{x:.1f}}% of {hover}<extra></extra>"
        add_markers(figure, column, name, points, showlegend=name not in legend, hovertemplate=hover, **style)
        legend.add(name)

    reals = [(index, write_attribute(row.name), row.reals) for index, row in enumerate(rows)]
    markers("real images", reals, "real images", marker=_REALS)
    for kind, marker in _KINDS.items():
        if here := {index: row for index, row in enumerate(rows) if _kind(row) == kind}:
            samples = [(index, write_attribute(row.name), row.samples) for index, row in here.items()]
            errors = [100 * row.error for row in here.values()]
            bars = {"type": "data", "array": errors, "color": marker["color"], "thickness": 1.5, "width": 3}
            texts = [[f"{100 * row.off:+.1f}", f"{100 * row.error:.1f}"] for row in here.values()]
            hover = "samples (%{customdata[0]} ± %{customdata[1]} points)"
            markers(kind, samples, hover, marker=marker, error_x=bars, customdata=texts)
