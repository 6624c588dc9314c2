"""A trained generator as an MLflow logged model: code, weights and signature, no pickle."""

import hashlib
import importlib.metadata
import re
import tempfile
from pathlib import Path
from typing import Any

from celeba_gan.gan.runs.snapshot import Network, Networks
from celeba_gan.tracking.description import DESCRIPTION
from celeba_gan.tracking.store import TRAINING_ID, Store, as_text

_HERE = Path(__file__).parent
_REQUIRED = ("numpy", "pillow", "pydantic", "safetensors", "torch")
_ROOMS = ("foundation", "ranks", "gan", "serving")  # what a generator needs of this package


def log_model(store: Store, run_id: str, name: str, networks: Networks, description: str) -> str:
    """Uploads a generator as a model of a run, with a description in Markdown. Returns the model's id.

    Its discriminator is uploaded with it: a training that starts from the model needs both.
    """
    card = networks.generator.card
    model = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={TRAINING_ID: card.id, DESCRIPTION: as_text(description)},
        params={
            "images": str(card.images),
            "size": str(card.size),
            "training_id": card.id,
            "finished": str(card.finished).lower(),
            "network": card.network.name,
            "latent_size": str(card.latent.size),
        },
    )
    model_id: str = model.model_id
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = _build(Path(temporary), name, networks, model_id, run_id)
            store.client.log_model_artifacts(model_id, str(folder))
    except BaseException:
        store.client.finalize_logged_model(model_id, "FAILED")
        raise
    store.client.finalize_logged_model(model_id, "READY")
    return model_id


def _build(folder: Path, name: str, networks: Networks, model_id: str, run_id: str) -> Path:
    """Makes the model's folder as `mlflow.pyfunc.load_model` reads it."""
    import mlflow.pyfunc
    from mlflow.models import Model

    files = {"weights": folder / "generator.safetensors", "python": _copy_sources(folder / "python")}
    networks.generator.save(files["weights"])
    if networks.discriminator is not None:
        files["discriminator"] = folder / "discriminator.safetensors"
        networks.discriminator.save(files["discriminator"])
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=_HERE / "pyfunc_model.py",
        artifacts={name: str(file) for name, file in files.items()},
        signature=_signature(),
        input_example=_example(networks.generator),
        # Without a local version such as +cu128, which the package index does not have.
        pip_requirements=[f"{one}=={importlib.metadata.version(one).split('+')[0]}" for one in _REQUIRED],
        mlflow_model=Model(artifact_path=name, run_id=run_id, model_id=model_id),
    )
    return folder / "model"


def _signature() -> Any:
    """The columns of rows and of answers, and the parameters, as MLflow shows and enforces them."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    from celeba_gan.serving.rows import COLUMNS, DEFAULTS

    types = {"seed": DataType.long, "number": DataType.long, "truncation": DataType.double}
    types |= dict.fromkeys(("labels", "format", "image"), DataType.string)
    types |= {"latents": Array(DataType.double)}
    return ModelSignature(
        Schema([ColSpec(types[name], name, required=False) for name in COLUMNS]),
        Schema([ColSpec(types[name], name, required=name not in ("seed", "number")) for name in ("image", *COLUMNS)]),
        params=ParamSchema([ParamSpec(name, types[name], default) for name, default in DEFAULTS.items()]),
    )


def _example(generator: Network) -> list[dict[str, Any]]:
    """A request for one picture."""
    condition = generator.card.condition
    labels = condition.names[0] if condition else ""
    return [{"seed": 5, "number": 0, "truncation": 0.7, "labels": labels, "format": "png"}]


def _copy_sources(folder: Path) -> Path:
    """Copies what a generator needs of this package, as a package of its own name.

    The name ends with a digest of the code: a model runs the code that it was logged with, whichever version of
    celeba_gan is installed where it is loaded, and beside models that were logged with other versions.
    """
    source = _HERE.parent
    files = [source / "__init__.py", *(file for room in _ROOMS for file in sorted((source / room).rglob("*.py")))]
    texts = {file.relative_to(source): file.read_text(encoding="utf-8") for file in files}
    digest = hashlib.sha256("".join(f"{file}{text}" for file, text in texts.items()).encode()).hexdigest()[:12]
    package = f"{source.name}_{digest}"
    for file, text in texts.items():
        copy = folder / package / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(rf"\b{source.name}\.(?={'|'.join(_ROOMS)})", f"{package}.", text), encoding="utf-8")
    return folder
