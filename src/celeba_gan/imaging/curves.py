"""Training curves."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PANELS = {
    "Losses": ["discriminator_loss", "generator_loss"],
    "Mean scores": ["score_real", "score_fake"],
    "Penalty": ["penalty", "gradient_norm"],
    "Gradient norms": ["discriminator_gradient", "generator_gradient"],
    "Images per second": ["images_per_second"],
}
COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44"]


def plot_curves(rows: "pd.DataFrame") -> Any:
    """Draws every curve over thousand images shown.

    Args:
        rows: Metric rows, one per line, with the column `images` and any of those in `PANELS`.

    Returns:
        A plotly figure with one panel per kind of curve that the rows have.
    """
    from plotly.subplots import make_subplots

    panels = {title: [name for name in names if name in rows] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = make_subplots(
        rows=max(1, len(panels)), cols=1, shared_xaxes=True, vertical_spacing=0.05, subplot_titles=list(panels)
    )
    for row, names in enumerate(panels.values(), start=1):
        for name, colour in zip(names, COLOURS, strict=False):
            figure.add_scatter(
                x=(rows["images"] / 1000).tolist(),
                y=rows[name].tolist(),
                name=name.replace("_", " "),
                mode="lines",
                line={"color": colour, "width": 2},
                row=row,
                col=1,
            )
    figure.update_xaxes(title_text="thousand images shown (kimg)", row=max(1, len(panels)))
    figure.update_layout(title="Training curves", height=220 * max(1, len(panels)) + 80, hovermode="x unified")
    return figure
