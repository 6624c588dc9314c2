"""The model card, after Hugging Face's form: front matter in YAML, then Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.exporting.card_file import SAMPLES_FILE
from celeba_gan.exporting.programs import TOLERANCE
from celeba_gan.exporting.subject import DataKind, Subject
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.params import params_option
from celeba_gan.reporting.evaluation.glossary import describe_detail, is_minor
from celeba_gan.reporting.evaluation.tables import Row, make_sections
from celeba_gan.sources.official import HOME_PAGE

LICENCE_FILE: Final = "LICENSE.md"

_TASK: Final = "unconditional-image-generation"
_DATASETS: Final[dict[DataKind, tuple[str, str]]] = {  # type and name in the model index
    "celeba": ("celeba", "CelebA"),
    "synthetic": ("synthetic-portraits", "celeba_gan's synthetic portraits"),
    "folder": ("folder", "a folder of images"),
    "unknown": ("unknown", "unknown images"),
}
_DETAILS: Final = 12  # labels that are listed by name


def write_card(subject: Subject, files: Sequence[str]) -> str:
    """The card as Markdown; `files` are the names of the others in the folder."""
    evaluation = subject.evaluation
    return _render(
        "card.md.jinja",
        subject=subject,
        card=subject.card,
        files=files,
        samples=SAMPLES_FILE,
        licence_file=LICENCE_FILE,
        celeba=HOME_PAGE,
        tolerance=f"{TOLERANCE:g}",
        front_matter=yaml.safe_dump(_front_matter(subject), sort_keys=False, allow_unicode=True, width=100).strip(),
        settings=_settings(subject),
        sections=[] if evaluation is None else _tables(evaluation),
        measure=f"kedro run --pipelines evaluate {params_option(_measuring(subject))}",
        labels=[name.replace("_", " ") for name in subject.labels[:_DETAILS]],
        left_out=max(0, len(subject.labels) - _DETAILS),
        example_label=repr(next(iter(subject.labels), "")),  # a folder of images may have any name
    )


def write_licence(subject: Subject, files: Sequence[str]) -> str:
    """The terms of code and weights, in Markdown."""
    return _render("licence.md.jinja", subject=subject, files=files, celeba=HOME_PAGE)


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # Markdown for a file, of names that the project's own settings allow
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    return environment.get_template(template).render(values)


def _front_matter(subject: Subject) -> dict[str, Any]:
    card, licence = subject.card, subject.licence
    found: dict[str, Any] = {"license": licence.id}
    if licence.name:
        found |= {"license_name": licence.name, "license_link": LICENCE_FILE}
    found |= {
        "library_name": "celeba_gan",
        **({"pipeline_tag": _TASK} if card.condition is None else {}),  # Hugging Face has none for labels
        "tags": ["gan", card.objective, card.network.name, "faces", "pytorch", "safetensors", "onnx"],
    }
    if subject.evaluation is not None:
        found["metrics"] = sorted({read_name(name).number.name for name in _ranking(subject.evaluation)})
        found["model-index"] = [{"name": subject.name, "results": [_results(subject, subject.evaluation)]}]
    return found


def _ranking(evaluation: Evaluation) -> list[str]:
    """The metrics by which models are compared."""
    return [name for name in evaluation.metrics if read_name(name).direction and not is_minor(name)]


def _results(subject: Subject, evaluation: Evaluation) -> dict[str, Any]:
    kind, name = _DATASETS[subject.data.kind]
    protocol = evaluation.protocol
    return {
        "task": {"type": _TASK, "name": "Face generation"},
        "dataset": {"type": kind, "name": f"{name}, {protocol.size}x{protocol.size} pixels", "split": protocol.split},
        "metrics": [_metric(evaluation, metric) for metric in _ranking(evaluation)],
    }


def _metric(evaluation: Evaluation, name: str) -> dict[str, Any]:
    detail = describe_detail(name)
    return {
        "type": name,
        "name": read_name(name).number.label + (f", {detail}" if detail else ""),
        "value": float(f"{evaluation.metrics[name]:.6g}"),
    }


def _tables(evaluation: Evaluation) -> list[tuple[str, list[Row]]]:
    """The main metrics of each group, in the order of the evaluation's own page."""
    found = [(section.title, list(section.rows)) for section in make_sections(evaluation)]
    return [(title, rows) for title, rows in found if rows]


def _settings(subject: Subject) -> list[tuple[str, str]]:
    """Settings of the training by their full names; those of networks that were not used are left out."""
    if subject.settings is None:
        return []
    flat = flatten({key: value for key, value in subject.settings.items() if value is not None}, "train")
    return [(name, str(value)) for name, value in flat.items() if value is not None]


def _measuring(subject: Subject) -> Mapping[str, Any]:
    named = {"experiment": subject.name}
    return named | ({"evaluate.checkpoint": subject.checkpoint} if subject.checkpoint != "last" else {})
