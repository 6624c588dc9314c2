"""Pages that need no network and no other file: their style, pictures and charts are inside."""

import base64
import json
from io import BytesIO
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from celeba_gan.foundation.safety.secrets import mask_secrets

_WIDE: Final = 1.6  # width over height, from which on a picture gets the page's whole width
_SMALL: Final = 360  # pixels; smaller pictures are enlarged without smoothing
_LEAST_WIDTH: Final = 620  # pixels; a wide picture is scrolled in a narrower window


class _Picture(NamedTuple):
    title: str
    source: str  # a data URI
    width: int
    height: int
    style: str
    wide: bool


class _Chart(NamedTuple):
    name: str
    title: str
    description: str
    figure: str  # JSON that is safe in a script element
    height: int  # pixels
    stacked: int  # pixels of each of its parts, where they are one below the other in a narrow window


def render(template: str, **values: Any) -> str:
    """Fills in the template of that name, and adds plotly if a value is a chart. Text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("celeba_gan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        # a number and its percent sign stay in one line, secrets do not get out; scripts stay as they are
        finalize=lambda value: mask_secrets(value.replace(" %", "\u00a0%")) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plotly = get_plotlyjs() if any(isinstance(value, _Chart) for value in values.values()) else None
    return environment.get_template(f"{template}.html.jinja").render(values, plotly=plotly)


def embed_picture(title: str, pixels: NDArray[np.uint8]) -> _Picture:
    """Embeds a picture, uint8 (height, width, 3), as PNG."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    height, width = pixels.shape[:2]
    style, wide = "", width > _WIDE * height
    if width < _SMALL:
        style = f"width: {(_SMALL // width + 1) * width}px; image-rendering: pixelated"
    elif wide:
        style = f"min-width: {min(width, _LEAST_WIDTH)}px"
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return _Picture(title, source, width, height, style, wide)


def embed_chart(name: str, figure: Any, *, stacked: int, title: str = "") -> _Chart | None:
    """Embeds a figure, as high as its rows need, without its title, which the page writes; None gives None."""
    if figure is None:
        return None
    content = json.loads(figure.to_json())
    heading = (content["layout"].pop("title", None) or {}).get("text", "")
    content["layout"].pop("template", None)  # plotly's own colours, which are for light pages
    content["layout"]["margin"] = {**content["layout"].get("margin", {}), "t": 30}
    axes = [axis for key, axis in content["layout"].items() if key.startswith("yaxis")]
    rows = max((len(axis.get("tickvals", ())) for axis in axes), default=0)
    series = dict.fromkeys(trace["name"] for trace in content["data"] if trace.get("name"))
    description = f"{title or heading}. It shows {', '.join(series) or 'no lines'}."
    text = json.dumps(content).replace("<", "\\u003c")
    heights = (25 * rows + 110, 25 * rows + 40) if rows else (520, stacked)
    return _Chart(name, title or heading, description, text, *heights)
