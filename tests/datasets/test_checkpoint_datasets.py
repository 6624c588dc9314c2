import json
from pathlib import Path

import pytest
import torch
from kedro.io import DatasetError

from celeba_gan.datasets.checkpoints import NetworkDataset, TrainingStateDataset
from celeba_gan.gan.checkpoint import Checkpoint


def state(images: int, *, finished: bool) -> Checkpoint:
    card = {"id": "abc", "images": images, "finished": finished}
    return Checkpoint("training_state", card, {"a": torch.full((3,), float(images))})


def test_network_is_kept_as_weights_and_readable_card(tmp_path: Path) -> None:
    dataset = NetworkDataset(str(tmp_path / "demo" / "generator"))
    assert not dataset.exists()
    assert dataset.card() is None
    with pytest.raises(DatasetError, match=r"no trained generator at .*generator.safetensors"):
        dataset.load()
    network = Checkpoint("generator", {"images": 5, "finished": False}, {"w": torch.randn(2, 2)})
    dataset.save(network)
    assert dataset.exists()
    assert json.loads((tmp_path / "demo" / "generator.json").read_text()) == network.card == dataset.card()
    assert torch.equal(dataset.load().tensors["w"], network.tensors["w"])
    (tmp_path / "demo" / "generator.json").unlink()  # killed between the two files
    assert not dataset.exists()


def test_state_exists_only_when_training_has_finished(tmp_path: Path) -> None:
    dataset = TrainingStateDataset(str(tmp_path / "training_state"))
    assert not dataset.exists()
    dataset.save(state(10, finished=False))
    assert not dataset.exists()
    loaded = dataset.load()
    assert loaded is not None
    assert loaded.card["images"] == 10
    dataset.save(state(20, finished=True))
    assert dataset.exists()


def test_missing_state_is_none_only_where_that_is_asked_for(tmp_path: Path) -> None:
    assert TrainingStateDataset(str(tmp_path / "s"), missing_ok=True).load() is None
    with pytest.raises(DatasetError, match="no training state"):
        TrainingStateDataset(str(tmp_path / "s")).load()


def test_damaged_state_is_an_error_never_a_fresh_start(tmp_path: Path) -> None:
    dataset = TrainingStateDataset(str(tmp_path / "s"), missing_ok=True)
    dataset.save(state(10, finished=False))
    dataset.file.write_bytes(dataset.file.read_bytes()[:100])
    with pytest.raises(DatasetError, match="not a checkpoint"):
        dataset.load()
