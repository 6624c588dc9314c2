import pickle
from pathlib import Path

import pytest
import torch
from kedro.io import DatasetError

from celeba_gan.datasets.named_models import ComparedNetworksDataset, NamedNetworkDataset
from celeba_gan.gan.runs.checkpoint import Checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "faces.safetensors"
    Checkpoint("generator", {"id": "abc", "images": 5}, {"w": torch.arange(3.0)}).save(path)
    return path


def test_a_named_network_is_read_and_never_written(file: Path) -> None:
    dataset = NamedNetworkDataset(file, "generator")
    before = file.read_bytes()
    assert dataset.exists()
    assert dataset.card() == {"id": "abc", "images": 5}
    loaded = pickle.loads(pickle.dumps(dataset)).load()  # as ParallelRunner has it
    assert loaded.tensors["w"].tolist() == [0, 1, 2]
    with pytest.raises(DatasetError, match="only read"):
        dataset.save(loaded)
    assert file.read_bytes() == before


def test_no_network_is_none(tmp_path: Path) -> None:
    dataset = NamedNetworkDataset(None, "discriminator")
    assert dataset.exists()
    assert dataset.card() is None
    assert dataset.load() is None
    assert not NamedNetworkDataset(tmp_path / "gone.safetensors", "generator").exists()


def test_compared_networks_are_none_or_a_name_and_two_networks(file: Path, tmp_path: Path) -> None:
    assert ComparedNetworksDataset().load() is None
    label, generator, discriminator = ComparedNetworksDataset("faces", file).load()
    assert (label, generator.card["id"], discriminator) == ("faces", "abc", None)
    judge = tmp_path / "judge.safetensors"
    Checkpoint("discriminator", {"id": "abc"}, {}).save(judge)
    assert ComparedNetworksDataset("faces", file, judge).load()[2].kind == "discriminator"
    with pytest.raises(DatasetError, match=r"evaluate\.compare_with"):
        ComparedNetworksDataset().save(generator)
