"""Training curves."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Four panels, two by two: kedro-viz shows figures in a frame of its own size, where more would be cramped.
PANELS = {
    "Losses": ["discriminator_loss", "generator_loss"],
    "Mean scores": ["score_real", "score_fake"],
    "Penalty": ["penalty", "gradient_norm"],
    "Images per second": ["images_per_second"],
}
COLOURS = ["#4f9ddb", "#ee6677"]
FAINT, TEXT = "rgba(128, 128, 128, 0.25)", "#888888"  # to be read on light and on dark


def plot_curves(rows: "pd.DataFrame") -> Any:
    """Draws every curve over thousand images shown.

    Args:
        rows: Metric rows, one per line, with the column `images` and any of those in `PANELS`.

    Returns:
        A plotly figure with a panel per kind of curve.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=2, subplot_titles=list(PANELS), vertical_spacing=0.2, horizontal_spacing=0.1)
    for panel, names in enumerate(PANELS.values()):
        for name, colour in zip(names, COLOURS, strict=False):
            if name in rows:
                figure.add_scatter(
                    x=(rows["images"] / 1000).tolist(),
                    y=rows[name].tolist(),
                    name=name.replace("_", " "),
                    mode="lines",
                    line={"color": colour, "width": 2},
                    row=panel // 2 + 1,
                    col=panel % 2 + 1,
                )
    figure.update_xaxes(gridcolor=FAINT, zerolinecolor=FAINT)
    figure.update_xaxes(title_text="thousand images shown (kimg)", row=2)
    figure.update_yaxes(gridcolor=FAINT, zerolinecolor=FAINT)
    figure.update_layout(
        font={"color": TEXT, "size": 11},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        legend={"orientation": "h", "y": -0.2},
        margin={"l": 45, "r": 15, "t": 30, "b": 45},
        hovermode="x unified",
    )
    return figure
