import json
from pathlib import Path

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.evaluation import EvaluationDataset


def test_round_trip_and_preview(tmp_path: Path) -> None:
    dataset = EvaluationDataset(str(tmp_path / "e" / "evaluation.json"))
    assert not dataset.exists()
    data = {"metrics": {"age": 0.25}, "floor": {}, "protocol": {"split": "test"}}
    dataset.save(data)
    assert dataset.load() == data == json.loads(dataset.preview())


def test_nan_is_refused_and_the_last_evaluation_kept(tmp_path: Path) -> None:
    dataset = EvaluationDataset(str(tmp_path / "evaluation.json"))
    dataset.save({"metrics": {"age": 0.25}})
    with pytest.raises(DatasetError):
        dataset.save({"metrics": {"age": float("nan")}})
    assert dataset.load() == {"metrics": {"age": 0.25}}
