"""What Kedro's runner keeps of a training's ticks: hundreds of megabytes each, at high resolutions."""

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from kedro.io import AbstractDataset, DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from numpy.typing import NDArray

from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.pipelines.train.pipeline import create_pipeline
from small_training import SMALL

IMAGES = np.random.default_rng(0).integers(0, 256, (96, 16, 16, 3), np.uint8)
SPLITS = {"train": (0, 64), "valid": (64, 96)}
SETTINGS = SMALL | {"kimg": 0.24, "tick_kimg": 0.04, "n_critic": 1, "evaluate_every_kimg": 0.04, "evaluate_images": 16}


class Images:
    """Noise, 16x16."""

    size, digest, manifest = 16, "noise", SimpleNamespace(count=96)

    def split(self, name: str) -> tuple[int, int]:
        return SPLITS[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return IMAGES[indices]


class Counted(AbstractDataset[Any, Any]):
    """Saves nothing, and counts which of the values that it was given are still alive."""

    def __init__(self) -> None:
        self.given: list[weakref.ref[Any]] = []
        self.alive: list[int] = []

    def save(self, data: Any) -> None:
        self.given.append(weakref.ref(data))
        gc.collect()
        self.alive.append(sum(one() is not None for one in self.given))

    def load(self) -> Any:
        raise DatasetError("nothing is kept to be loaded")

    def _describe(self) -> dict[str, Any]:
        return {}


def test_ticks_are_let_go(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    outputs = {name: Counted() for name in ("metric_rows", "training_grids", "training_run")}
    given = {
        "packed_images": Images(),
        "labels": None,
        "classes": None,
        "params:train": TrainSettings.model_validate(SETTINGS),
        "training_run_previous": None,
        "experiments": Experiments(tmp_path),
    }
    inputs = {name: MemoryDataset(value, copy_mode="assign") for name, value in given.items()}
    pipeline = Pipeline([node for node in create_pipeline().nodes if node.name == "train_gan"])
    gc.freeze()  # the modules and all that other tests have left: else each count takes a second
    try:
        SequentialRunner().run(pipeline, DataCatalog({**inputs, **outputs}))  # type: ignore[arg-type]
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)
    for name, output in outputs.items():
        assert len(output.alive) == 7, name
        assert max(output.alive) <= 3, (name, output.alive)  # the first, the one before this, and this
