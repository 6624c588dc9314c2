"""The evaluation as one page that needs no network and no file beside it."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from celeba_gan.reporting.evaluation.gaps import attributes_missing
from celeba_gan.reporting.evaluation.glossary import describe, name_extractor, read_name
from celeba_gan.reporting.evaluation.tables import choose_headlines, make_sections
from celeba_gan.reporting.evaluation.verdict import judge
from celeba_gan.reporting.evaluation.writing import write, write_attribute, write_interval

_WIDE: Final = 1.6  # width over height, from which on a picture gets the page's whole width
_SMALL: Final = 360  # pixels; smaller pictures are enlarged without smoothing
_LEAST_WIDTH: Final = 620  # pixels; a wide picture is scrolled in a narrower window


@dataclass(frozen=True)
class _Picture:
    title: str
    alt: str
    source: str
    """A data URI."""
    width: int
    height: int
    style: str

    @property
    def wide(self) -> bool:
        return self.width > _WIDE * self.height


@dataclass(frozen=True)
class _Chart:
    name: str
    title: str
    description: str
    figure: str
    """JSON that may stand in a script element."""
    height: int
    """Of the figure, in pixels."""
    stacked: int
    """Of each of its parts where they are put one below the other in a narrow window."""


def render_report(
    evaluation: Mapping[str, Any],
    *,
    title: str,
    curves: Any = None,
    attribute_chart: Any = None,
    pictures: Mapping[str, NDArray[np.uint8]] | None = None,
) -> str:
    """Writes the page: a verdict in words, the numbers with floors and intervals, charts, pictures and the protocol.

    Whatever is not there is named, with how to get it. All text is escaped, wherever it comes from.

    Args:
        evaluation: See `evaluation.json`; of its keys only `metrics` must be there.
        title: The heading, plain text.
        curves: A plotly figure of the training, see `plot_curves`.
        attribute_chart: A plotly figure, see `plot_attribute_shares`.
        pictures: By title, uint8 (height, width, 3), in the order to be shown; the first one stands at the top.

    Returns:
        HTML, with style, scripts and pictures inside. plotly is inside where there is a chart.
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
        statements=judge(evaluation),
        comparison=_comparison(evaluation),
        sections=make_sections(evaluation),
        first_picture=shown[0] if shown else None,
        pictures=shown[1:],
        attributes=attributes,
        attributes_missing=attributes_missing(evaluation),
        classifier=_classifier(evaluation),
        asked=(evaluation.get("attributes") or {}).get("asked") or {},
        curves=training,
        protocol=_protocol(evaluation),
        plotly=get_plotlyjs() if attributes or training else None,
    )


def _keep_together(value: Any) -> Any:
    """A number and its percent sign stay in one line; scripts are left as they are."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def _facts(evaluation: Mapping[str, Any]) -> list[str]:
    """What was measured, in a line."""
    protocol = evaluation.get("protocol", {})
    facts = []
    if "size" in protocol:
        facts.append(f"{protocol['size']} × {protocol['size']} pixels")
    if "images" in protocol:
        facts.append(f"{protocol['images']:,} images shown in training")
    if protocol.get("which") == "best":
        facts.append("the best networks that training measured, not its last")
    elif "finished" in protocol:
        facts.append("training finished" if protocol["finished"] else "training unfinished")
    if "images_per_side" in protocol:
        facts.append(f"{protocol['images_per_side']:,} samples against as many unseen real images")
    return facts


def _picture(title: str, pixels: NDArray[np.uint8]) -> _Picture:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    height, width = pixels.shape[:2]
    style = ""
    if width < _SMALL:
        factor = _SMALL // width + 1
        style = f"width: {factor * width}px; image-rendering: pixelated"
    elif width > _WIDE * height:
        style = f"min-width: {min(width, _LEAST_WIDTH)}px"
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return _Picture(title, f"{title}: a picture of {width} × {height} pixels", source, width, height, style)


def _chart(name: str, title: str, figure: Any, *, stacked: int) -> _Chart | None:
    """A figure whose title is taken out, for the page to write, and as high as its rows need."""
    if figure is None:
        return None
    content = json.loads(figure.to_json())
    heading = (content["layout"].pop("title", None) or {}).get("text", "")
    content["layout"].pop("template", None)  # plotly's own colours, which are for light pages
    content["layout"]["margin"] = {**content["layout"].get("margin", {}), "t": 30}
    rows = max((len(axis.get("tickvals", ())) for key, axis in content["layout"].items() if key.startswith("yaxis")),
               default=0)  # fmt: skip
    series = [trace.get("name", "") for trace in content["data"] if trace.get("name")]
    text = json.dumps(content).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _Chart(
        name=name,
        title=title or heading,
        description=f"{title or heading}. Shown are {', '.join(dict.fromkeys(series)) or 'no lines'}.",
        figure=text,
        height=25 * rows + 110 if rows else 520,
        stacked=25 * rows + 40 if rows else stacked,
    )


def _comparison(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rows of a comparison as text, those that are decided first."""
    comparison = evaluation.get("comparison")
    if comparison is None:
        return None
    names = {"model": comparison["model"], "against": comparison["against"]}
    rows = []
    for row in sorted(comparison["rows"], key=lambda row: row["better"] == "neither"):
        metric, parts = describe(row["metric"]), read_name(row["metric"])
        known = row["low"] is not None and row["high"] is not None
        rows.append(
            {
                "label": metric.label,
                "detail": f"in the features of {name_extractor(parts.features)}" if parts.features else parts.detail,
                "better": metric.better,
                "model": write(row["model"], metric.kind),
                "against": write(row["against"], metric.kind),
                "difference": write_interval(row, metric.kind).replace("%", "points") if known else "",
                "winner": names.get(row["better"], ""),
                "verdict": names.get(row["better"], "neither for sure" if known else "not known"),
                "won": row["better"] == "model",
            }
        )
    return {**names, "rows": rows}


def _classifier(evaluation: Mapping[str, Any]) -> str:
    """How far the classifier of attributes can be believed."""
    found = list(((evaluation.get("attributes") or {}).get("classifier") or {}).values())
    if not found:
        return ""
    accuracy = sum(one["accuracy"] for one in found) / len(found)
    areas = [one["auc"] for one in found if one["auc"] is not None]
    area = f" and an AUC of {write(sum(areas) / len(areas))}" if areas else ""
    return (
        "A classifier says which attributes an image has, for samples and reals alike; on unseen images it has an "
        f"accuracy of {write(accuracy, 'share')}{area}, on average over {len(found)} attributes."
    )


def _protocol(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values; what is nested gets a line for each of its own."""
    lines: list[tuple[str, str]] = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                add(f"{name} · {key}", inner)
        else:
            plain = {None: "none", True: "yes", False: "no"}
            text = plain[value] if value is None or isinstance(value, bool) else str(value)
            lines.append((write_attribute(name), text if not isinstance(value, Mapping) else "none"))

    for name, value in evaluation.get("protocol", {}).items():
        add(name, value)
    for name, interval in evaluation.get("intervals", {}).items():
        add(f"interval of {name}", interval["method"])
    return lines
