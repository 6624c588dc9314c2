"""The page that generates in a browser."""

import json
from pathlib import Path
from typing import Any

from celeba_gan.exporting.card_file import CARD_FILE
from celeba_gan.exporting.programs import ONNX_FILE
from celeba_gan.exporting.subject import Subject
from celeba_gan.exporting.web_runtime import PACKAGE, SCRIPT, VERSION, WASM


def write_page(subject: Subject) -> str:
    """`index.html`: it loads `generator.onnx` and onnxruntime-web from its own folder, and nothing else."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        subject=subject,
        card=subject.card,
        card_file=CARD_FILE,
        labels=[name.replace("_", " ") for name in subject.labels],
        runtime=f"{PACKAGE} {VERSION}",
        # In a script element only "<" could end it early.
        model=json.dumps(_model(subject)).replace("<", "\\u003c"),
    )


def _model(subject: Subject) -> dict[str, Any]:
    """What the page's script has to know."""
    card, condition = subject.card, subject.card.condition
    labels = None
    if condition is not None:
        labels = {
            "kind": condition.kind,
            "names": condition.names,
            "sets": condition.sets,
            "counts": condition.counts,
        }
    return {
        "name": subject.name,
        "file": ONNX_FILE,
        "script": f"./{PACKAGE}/{SCRIPT}",
        "wasm": f"./{PACKAGE}/{WASM}",
        "size": card.size,
        "latent": card.latent.model_dump(mode="json"),
        "labels": labels,
    }
