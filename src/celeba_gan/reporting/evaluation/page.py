"""The page of an evaluation."""

from collections.abc import Mapping
from typing import Any

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
from celeba_gan.reporting.page import embed_chart, embed_picture, render


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
    shown = [embed_picture(name, pixels) for name, pixels in (pictures or {}).items()]
    return render(
        "evaluation",
        title=title,
        number=write,
        facts=_facts(evaluation),
        headlines=choose_headlines(evaluation),
        statements=find_verdict(evaluation),
        comparison=evaluation.comparison,
        compared_rows=_compared_rows(evaluation),
        sections=make_sections(evaluation),
        first_picture=shown[0] if shown else None,
        pictures=shown[1:],
        attributes=embed_chart("attributes", attribute_chart, stacked=560),
        attributes_missing=attributes_missing(evaluation),
        classifier=_classifier(evaluation),
        requested=(evaluation.attributes and evaluation.attributes.requested) or {},
        curves=embed_chart("curves", curves, stacked=250, title="Training curves"),
        protocol=_protocol(evaluation),
    )


def _facts(evaluation: Evaluation) -> list[str]:
    """What was measured, in a line."""
    protocol = evaluation.protocol
    return [
        f"{protocol.size} × {protocol.size} pixels",
        f"{protocol.images:,} images seen in training",
        "the best measured networks, not the last"
        if protocol.checkpoint == "best"
        else f"training {'finished' if protocol.finished else 'unfinished'}",
        f"{protocol.images_per_side:,} samples against as many unseen real images",
    ]


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
