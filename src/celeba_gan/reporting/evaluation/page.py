"""The evaluation as one page that needs no network and no other file."""

import base64
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.documents import ComparedMetric, Evaluation
from celeba_gan.evaluation.metrics.metric import Kind, Number
from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.reporting.evaluation.gaps import attributes_missing
from celeba_gan.reporting.evaluation.glossary import describe_detail
from celeba_gan.reporting.evaluation.tables import choose_headlines, make_sections
from celeba_gan.reporting.evaluation.verdict import find_verdict
from celeba_gan.reporting.evaluation.writing import write, write_attribute, write_range

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


def render_report(
    evaluation: Evaluation,
    *,
    title: str,
    curves: Any = None,
    attribute_chart: Any = None,
    pictures: Mapping[str, NDArray[np.uint8]] | None = None,
) -> str:
    """Writes the page: a verdict in words, the numbers with floors and intervals, charts, pictures and the protocol.

    Whatever is missing is named, with how to get it. All text is escaped. The HTML contains its style, scripts and
    pictures, and plotly if there is a chart.

    Args:
        evaluation: The numbers.
        title: The heading, plain text.
        curves: A plotly figure, see `plot_curves`.
        attribute_chart: A plotly figure, see `plot_attribute_shares`.
        pictures: By title, uint8 (height, width, 3); the first is shown at the top.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("celeba_gan.reporting.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_keep_together,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": write, "words": write_attribute}
    shown = [_picture(name, pixels) for name, pixels in (pictures or {}).items()]
    attributes = _chart("attributes", "", attribute_chart, stacked=560)
    training = _chart("curves", "Training curves", curves, stacked=250)
    return environment.get_template("report.html.jinja").render(
        title=title,
        facts=_facts(evaluation),
        headlines=choose_headlines(evaluation),
        statements=find_verdict(evaluation),
        comparison=evaluation.comparison,
        compared_rows=_compared_rows(evaluation),
        sections=make_sections(evaluation),
        first_picture=shown[0] if shown else None,
        pictures=shown[1:],
        attributes=attributes,
        attributes_missing=attributes_missing(evaluation),
        classifier=_classifier(evaluation),
        requested=(evaluation.attributes and evaluation.attributes.requested) or {},
        curves=training,
        protocol=_protocol(evaluation),
        plotly=get_plotlyjs() if attributes or training else None,
    )


def _keep_together(value: Any) -> Any:
    """Keeps a number and its percent sign in one line; scripts stay as they are."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def _facts(evaluation: Evaluation) -> list[str]:
    """What was measured, in a line."""
    protocol = evaluation.protocol
    return [
        f"{protocol.size} × {protocol.size} pixels",
        f"{protocol.images:,} images seen in training",
        "the best measured networks, not the last"
        if protocol.which == "best"
        else f"training {'finished' if protocol.finished else 'unfinished'}",
        f"{protocol.images_per_side:,} samples against as many unseen real images",
    ]


def _picture(title: str, pixels: NDArray[np.uint8]) -> _Picture:
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


def _chart(name: str, title: str, figure: Any, *, stacked: int) -> _Chart | None:
    """A figure without its title, which the page writes, as high as its rows need."""
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


def _compared_rows(evaluation: Evaluation) -> list[tuple[ComparedMetric, Number, str, str]]:
    """The rows of a comparison with their words, their details and the difference as text; decided ones first."""
    rows = evaluation.comparison.rows if evaluation.comparison else []

    def difference(row: ComparedMetric, kind: Kind) -> str:
        if row.low is None or row.high is None:
            return ""
        return write_range(row.low, row.high, kind).replace("%", "points")

    return [
        (row, number, describe_detail(row.metric), difference(row, number.kind))
        for row in sorted(rows, key=lambda row: row.better == "neither")
        if (number := read_name(row.metric).number)
    ]


def _classifier(evaluation: Evaluation) -> str:
    """How reliable the classifier of attributes is."""
    attributes = evaluation.attributes
    if attributes is None or attributes.mean_accuracy is None:
        return ""
    area = f" and an AUC of {write(attributes.mean_auc)}" if attributes.mean_auc is not None else ""
    return (
        "A classifier finds the attributes of samples and reals alike; on unseen images it has an accuracy of "
        f"{write(attributes.mean_accuracy, 'share')}{area}, on average over {len(attributes.classifier)} attributes."
    )


def _protocol(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names and values; a nested value gets a line of its own."""
    lines: list[tuple[str, str]] = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                add(f"{name} · {key}", inner)
        else:
            plain = ("no", "yes")[value] if isinstance(value, bool) else str(value)
            lines.append((write_attribute(name), "none" if value in (None, {}) else plain))

    for name, value in evaluation.protocol.model_dump(mode="json").items():
        add(name, value)
    for name, interval in evaluation.intervals.items():
        add(f"interval of {name}", interval.method)
    return lines
