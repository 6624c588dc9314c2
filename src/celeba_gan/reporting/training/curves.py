"""Training curves."""

from typing import TYPE_CHECKING, Any

from celeba_gan.reporting.chart_style import FAINT, finish

if TYPE_CHECKING:
    import pandas as pd

# Four panels, two by two: kedro-viz shows figures in a frame of its own size, where more would be cramped.
PANELS = {
    "Losses": {"discriminator_loss": "#4f9ddb", "generator_loss": "#ee6677"},
    "Mean scores": {"score_real": "#3aa655", "score_fake": "#d1a400"},
    "Penalty": {"penalty": "#aa3377", "gradient_norm": "#44bbcc"},
    "Distance to valid images": {"swd_absolute_valid": "#ee8866", "swd_absolute_valid_floor": "#999999"},
}


def plot_curves(rows: "pd.DataFrame") -> Any:
    """Draws every curve over thousand images seen: a plotly figure with a panel per kind of curve.

    The metric rows have the column `images` and any of those in `PANELS`.
    """
    from plotly.subplots import make_subplots

    panels = {title: curves for title, curves in PANELS.items() if any(name in rows for name in curves)}
    if len(panels) < len(PANELS):
        panels |= {"Images per second": {"images_per_second": "#999999"}}  # a panel had nothing to show
    figure = make_subplots(rows=2, cols=2, subplot_titles=list(panels), vertical_spacing=0.25, horizontal_spacing=0.1)
    for panel, curves in enumerate(panels.values()):
        for name, colour in curves.items():
            if name in rows:
                known = rows[rows[name].notna()]  # not every row has everything: a distance is measured now and then
                figure.add_scatter(
                    x=(known["images"] / 1000).tolist(),
                    y=known[name].tolist(),
                    name=name.replace("_", " "),
                    mode="lines" if len(known) == len(rows) else "lines+markers",
                    line={"color": colour, "width": 2},
                    row=panel // 2 + 1,
                    col=panel % 2 + 1,
                )
    figure.update_xaxes(gridcolor=FAINT, zerolinecolor=FAINT, matches="x")  # one clock, also where points are few
    figure.update_xaxes(title_text="kimg", row=2)
    figure.update_yaxes(gridcolor=FAINT, zerolinecolor=FAINT)
    legend, margin = {"orientation": "h", "y": -0.2}, {"l": 45, "r": 15, "t": 30, "b": 45}
    return finish(figure, legend=legend, margin=margin, hovermode="x unified")
