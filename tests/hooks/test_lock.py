from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from celeba_gan.datasets.checkpoints import TrainingStateDataset
from celeba_gan.hooks.lock import LockError, RunLock

TRAIN = Pipeline([Node(lambda: None, None, "training_state", name="train_gan")])
EVALUATE = Pipeline([Node(lambda state: state, "training_state", "evaluation", name="evaluate")])


def catalog(folder: Path, experiment: str = "demo") -> DataCatalog:
    return DataCatalog({"training_state": TrainingStateDataset(str(folder / experiment / "training_state"))})


def test_second_training_of_an_experiment_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first, second = RunLock(), RunLock()
    first.before_pipeline_run(TRAIN, catalog(tmp_path))
    with pytest.raises(LockError, match=r"demo.*--params experiment=NAME"):
        second.before_pipeline_run(TRAIN, catalog(tmp_path))
    first.after_pipeline_run()
    second.before_pipeline_run(TRAIN, catalog(tmp_path))
    second.on_pipeline_error(None)
    first.before_pipeline_run(TRAIN, catalog(tmp_path))
    first.after_pipeline_run()


def test_other_experiments_and_readers_are_free(tmp_path: Path) -> None:
    first = RunLock()
    first.before_pipeline_run(TRAIN, catalog(tmp_path))
    RunLock().before_pipeline_run(TRAIN, catalog(tmp_path, "other"))
    RunLock().before_pipeline_run(EVALUATE, catalog(tmp_path))
    first.after_pipeline_run()
