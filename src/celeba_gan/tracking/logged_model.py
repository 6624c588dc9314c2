"""A trained generator as an MLflow logged model: code, weights and signature, no pickle."""

import importlib.metadata
import shutil
import tempfile
from pathlib import Path

from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.tracking.store import TRAINING_ID, Store

_HERE = Path(__file__).parent
_REQUIRED = ("numpy", "pydantic", "safetensors", "torch")


def log_model(store: Store, run_id: str, name: str, checkpoint: Checkpoint) -> str:
    """Uploads a generator as a model of a run. Returns the model's id."""
    card = checkpoint.card
    model = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={TRAINING_ID: card["id"]},
        params={
            "images": str(card["images"]),
            "size": str(card["size"]),
            "training_id": card["id"],
            "finished": str(card["finished"]).lower(),
            "network": card["network"]["name"],
            "latent_size": str(card["latent"]["size"]),
        },
    )
    model_id: str = model.model_id
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = _build(Path(temporary), name, checkpoint, model_id, run_id)
            store.client.log_model_artifacts(model_id, str(folder))
    except BaseException:
        store.client.finalize_logged_model(model_id, "FAILED")
        raise
    store.client.finalize_logged_model(model_id, "READY")
    return model_id


def _build(folder: Path, name: str, checkpoint: Checkpoint, model_id: str, run_id: str) -> Path:
    """Makes the model's folder as `mlflow.pyfunc.load_model` reads it."""
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ParamSchema, ParamSpec, Schema, TensorSpec

    from celeba_gan.gan.inputs.randomness import draw_latents, random_generator
    from celeba_gan.gan.networks.config import LatentSettings

    card = checkpoint.card
    latent, size = LatentSettings.model_validate(card["latent"]), card["size"]
    weights = folder / "generator.safetensors"
    checkpoint.save(weights)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=_HERE / "pyfunc_model.py",
        artifacts={"weights": str(weights), "python": str(_copy_sources(folder / "python"))},
        signature=ModelSignature(
            Schema([TensorSpec(np.dtype("float32"), (-1, latent.size))]),
            Schema([TensorSpec(np.dtype("uint8"), (-1, size, size, 3))]),
            params=ParamSchema([ParamSpec("labels", "string", "")]) if card.get("condition") else None,
        ),
        input_example=draw_latents(latent, 1, random_generator(0, "example", 0)).numpy(),
        # Without a local version such as +cu128, which the package index does not have.
        pip_requirements=[f"{one}=={importlib.metadata.version(one).split('+')[0]}" for one in _REQUIRED],
        mlflow_model=Model(artifact_path=name, run_id=run_id, model_id=model_id),
    )
    return folder / "model"


def _copy_sources(folder: Path) -> Path:
    """Copies `celeba_gan.gan`, which needs nothing else of celeba_gan."""
    source, package = _HERE.parent, folder / "celeba_gan"
    for room in ("foundation", "gan"):
        shutil.copytree(source / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__init__.py", package)
    return folder
