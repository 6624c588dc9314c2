"""Which models are measured: `evaluate.model` and `evaluate.against`."""

import hashlib
import re
from typing import Final

_LONGEST: Final = 100  # characters of a folder's name


def reporting_folder(experiment: object, model: object = None) -> str:
    """The folder of evaluations in data/08_reporting: the experiment's, and for another model one of its own in there.

    The catalog calls it as `${reporting_folder:...}`.

    Args:
        experiment: The experiment's name.
        model: `evaluate.model`, if it is given.
    """
    return str(experiment) if model is None else f"{experiment}/{slug(str(model))}"


def slug(model: str) -> str:
    """A folder's name for a model's: "models:/faces@champion" has its results in models-faces-champion."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.removesuffix(".safetensors")).strip("-.") or "model"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.blake2b(model.encode(), digest_size=4).hexdigest()  # of names that begin alike
    return f"{name[: _LONGEST - 9]}-{digest}"
