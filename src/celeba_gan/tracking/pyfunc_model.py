"""The logged generator as MLflow loads it: this file is copied into the model and run by `mlflow.pyfunc.load_model`.

It needs torch, numpy, safetensors and pydantic. Outside the project `celeba_gan.gan` comes from the copy in the model;
MLflow's own `code_paths` would put that copy before an installed celeba_gan and hide its other packages.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray


class GeneratorModel(PythonModel):  # type: ignore[misc]  # mlflow is not typed
    """Latents float32 (batch, latent size) to images uint8 (batch, size, size, 3)."""

    def load_context(self, context: Any) -> None:
        """Rebuilds the generator from its weights and card."""
        if importlib.util.find_spec("celeba_gan") is None:
            sys.path.append(context.artifacts["python"])
        from celeba_gan.gan.runs.checkpoint import Checkpoint
        from celeba_gan.gan.sampling.trained import TrainedGenerator

        self.generator = TrainedGenerator(Checkpoint.load(Path(context.artifacts["weights"]), "generator"))

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # this very annotation is known to MLflow
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.uint8]:
        """Turns latents into images; `params` may name `labels` for a generator that knows any: "Male+Smiling"."""
        import torch

        from celeba_gan.gan.inputs.conditions import named_labels

        asked = (params or {}).get("labels", "")
        if not asked:
            return self.generator.images(torch.from_numpy(model_input))
        label = named_labels(self.generator.condition, asked.split("+"))
        return self.generator.images(torch.from_numpy(model_input), label.expand(len(model_input), -1))


set_model(GeneratorModel())
