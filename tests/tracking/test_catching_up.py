"""What a store missed while it was away is logged when it is back: with the next tick, or by the next run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from mlflow.tracking import MlflowClient

from celeba_gan.datasets.runs import RunDataset
from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.reporting.grids import ImageGrid
from celeba_gan.tracking.config import TrackingSettings
from celeba_gan.tracking.recorder import KedroRun, Recorder


def train(previous: Any) -> Any:
    """A node whose outputs the tests save themselves."""


class Training:
    """A training whose ticks are saved and recorded as Kedro and the hook do it."""

    def __init__(self, folder: Path, make_snapshot: Callable[..., Any]) -> None:
        self.folder, self.make_snapshot = folder, make_snapshot
        self.catalog = DataCatalog(
            {
                "metric_rows": MetricRowsDataset(str(folder / "rows"), metadata={"mlflow": {"log": "metrics"}}),
                "training_grids": TrainingGridsDataset(
                    str(folder / "grids"), metadata={"mlflow": {"log": "image", "key": "samples"}}
                ),
                "training_run": RunDataset(str(folder / "run"), metadata={"mlflow": {"commit": True}}),
                "training_run_previous": RunDataset(
                    str(folder / "run"), part="snapshot", metadata={"mlflow": {"resume": True}}
                ),
            }
        )

    def begin(self) -> Recorder:
        """A run of the same command."""
        outputs = ["metric_rows", "training_grids", "training_run"]
        pipeline = Pipeline([Node(train, "training_run_previous", outputs, name="train")])
        recorder = Recorder(TrackingSettings(), KedroRun(self.folder, {}, {}, pipeline, self.catalog, {}))
        recorder.open()
        return recorder

    def tick(self, recorder: Recorder, images: int, *, again: bool = False) -> None:
        rows = [] if again else [{"images": float(images), "loss": 1 / images}]
        outputs = {
            "metric_rows": MetricRows(images, rows, images if again else images - 100),
            "training_grids": ImageGrid(images, np.full((8, 12, 3), images % 256, np.uint8), since=images - 100),
            "training_run": self.make_snapshot(images),
        }
        for name, data in outputs.items():
            self.catalog.save(name, data)
            recorder.saved(name, data)

    def logged(self) -> tuple[list[int], list[int]]:
        """Steps of the loss and of the pictures, of all MLflow runs."""
        client = MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
        experiment = client.get_experiment_by_name("celeba_gan")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        points = client.get_metric_history(run.info.run_id, "train/loss")
        pictures = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "images")]
        return [point.step for point in points], sorted(
            int(name.split("+")[2]) for name in pictures if name.endswith(".png")
        )


@pytest.fixture
def training(tmp_path: Path, make_snapshot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("celeba_gan.tracking.store._PAUSE", 0)
    return Training(tmp_path, make_snapshot)


def take_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every request to the store fail."""

    def gone(self: Any, *arguments: Any, **others: Any) -> None:
        raise OSError("gone")

    for name in ("log_batch", "log_image", "update_run", "set_terminated", "get_run"):
        monkeypatch.setattr(MlflowClient, name, gone)


def test_ticks_are_caught_up_with_once_the_store_is_back(
    training: Training, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = training.begin()
    training.tick(recorder, 100)
    with monkeypatch.context() as patch:
        take_away(patch)
        training.tick(recorder, 200)
        training.tick(recorder, 300)
    assert training.logged() == ([100], [100])
    training.tick(recorder, 400)
    recorder.close("FINISHED")
    assert training.logged() == ([100, 200, 300, 400], [100, 200, 300, 400])
    assert caplog.text.count("failed to log") == 1
    assert "MLflow lacks" not in caplog.text


@pytest.mark.parametrize("further", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_store_that_is_away_until_the_end_is_caught_up_with_by_the_next_run(
    training: Training, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, further: bool
) -> None:
    recorder = training.begin()
    training.tick(recorder, 100)
    with monkeypatch.context() as patch:
        take_away(patch)
        training.tick(recorder, 200)
        training.tick(recorder, 300)
        recorder.close("FINISHED")
    assert "MLflow lacks the dataset metric_rows and the dataset training_grids of the last ticks" in caplog.text
    recorder = training.begin()
    training.tick(recorder, 400 if further else 300, again=not further)
    recorder.close("FINISHED")
    steps = [100, 200, 300, *([400] if further else [])]
    assert training.logged() == (steps, steps)
