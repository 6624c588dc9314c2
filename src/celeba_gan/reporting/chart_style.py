"""How charts look: readable on light and on dark pages."""

from typing import Any, Final

FAINT: Final = "rgba(128, 128, 128, 0.25)"
TEXT: Final = "#888888"


def finish(figure: Any, title: str) -> Any:
    """Gives a plotly figure its title and the look of all charts."""
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        font={"color": TEXT, "size": 11},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        legend={"orientation": "h", "y": -0.1},
        margin={"l": 60, "r": 20, "t": 60, "b": 60},
        hovermode="closest",
    )
    return figure


def only_title(title: str) -> Any:
    """A figure with a sentence on why there is nothing to show."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finish(figure, title)


def escape(text: str) -> str:
    """A stranger's text is no markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
