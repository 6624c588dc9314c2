"""The logged generator as MLflow loads it: this file is copied into the model and run by `mlflow.pyfunc.load_model`.

It needs torch, numpy, safetensors and pydantic, and the copy of this project's code in the model, under a name
of its own. MLflow's `code_paths` would put that copy before an installed celeba_gan and hide its other packages.
"""

import sys
from importlib import import_module
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
        folder = Path(context.artifacts["python"])
        package = next(folder.glob("celeba_gan_*")).name
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        self.conditions = import_module(f"{package}.gan.inputs.conditions")
        trained, run = (import_module(f"{package}.gan.{name}") for name in ("sampling.trained", "runs.run"))
        self.generator = trained.TrainedGenerator(run.read_exported(Path(context.artifacts["weights"])).generator)

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # this very annotation is known to MLflow
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.uint8]:
        """Turns latents into images; `params` may name `labels` for a conditional generator: "Male+Smiling"."""
        import torch

        latents, labels = torch.from_numpy(model_input), None
        if requested := (params or {}).get("labels", ""):
            label = self.conditions.named_labels(self.generator.condition, requested.split("+"))
            labels = label.expand(len(latents), -1)
        images: NDArray[np.uint8] = self.generator.images(latents, labels)
        return images


set_model(GeneratorModel())
