import json
from pathlib import Path

import pytest
import torch
from kedro.io import DatasetError

from celeba_gan.datasets.checkpoints import (
    BestMeasuredDataset,
    BestNetworkDataset,
    ExperimentsDataset,
    NetworkDataset,
    TrainingStateDataset,
)
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.pipelines.train.nodes import choose_best_networks


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


def measured(images: int, best: int, keep: int = 1) -> Checkpoint:
    card = {
        "id": "abc",
        "images": images,
        "finished": False,
        "best": {"metric": "swd_valid", "value": 1.0, "evaluate_images": 8, "images": best},
        "keep": {"states": keep, "best": False},
        "iteration": images,
    }
    tensors = {f"{who}.w": torch.full((3,), float(images)) for who in ("generator", "average", "discriminator")}
    return Checkpoint("training_state", card, tensors)


def test_kept_state_is_read_in_place_of_the_newest_where_that_is_asked_for(tmp_path: Path) -> None:
    for images in (1000, 2500, 4000):
        TrainingStateDataset(str(tmp_path)).save(measured(images, 1000, keep=2))
    dataset = TrainingStateDataset(str(tmp_path), missing_ok=True, resume_from=2.5)
    card, loaded = dataset.card(), dataset.load()
    assert card is not None
    assert loaded is not None
    assert card["images"] == loaded.card["images"] == loaded.tensors["average.w"][0] == 2500
    with pytest.raises(DatasetError, match=r"train.resume_from asks for the state at 1 kimg, .* There are: 2.5, 4 \("):
        TrainingStateDataset(str(tmp_path), missing_ok=True, resume_from=1).load()
    with pytest.raises(DatasetError, match=r"There are: none"):
        TrainingStateDataset(str(tmp_path / "empty"), missing_ok=True, resume_from=1).load()


def test_best_measured_networks_are_read_from_the_states_folder(tmp_path: Path) -> None:
    dataset, states = BestMeasuredDataset(str(tmp_path)), TrainingStateDataset(str(tmp_path))
    assert not dataset.exists()
    assert dataset.load() is None
    states.save(state(5, finished=False))
    assert not dataset.exists()
    assert dataset.load() is None
    states.save(measured(10, 10))
    states.save(measured(20, 10))
    assert dataset.exists()
    best = dataset.load()
    assert best is not None
    assert [(one.kind, one.card["images"], one.tensors["w"].tolist()) for one in best] == [
        ("generator", 10, [10, 10, 10]),
        ("discriminator", 10, [10, 10, 10]),
    ]
    assert "iteration" not in best[0].card
    with pytest.raises(DatasetError, match="saved with their training's state"):
        dataset.save(best)


def test_best_network_exists_as_long_as_the_state_names_it(tmp_path: Path) -> None:
    """Else --only-missing-outputs would leave it standing after a training that went on and was killed too early."""
    states = TrainingStateDataset(str(tmp_path / "training_state"))
    dataset = BestNetworkDataset(str(tmp_path / "best_generator"), str(tmp_path / "training_state"))
    assert not dataset.exists()
    states.save(measured(10, 10))
    best = BestMeasuredDataset(str(tmp_path / "training_state")).load()
    assert best is not None
    dataset.save(best[0])
    states.save(measured(20, 10))
    assert dataset.exists()
    states.save(measured(30, 30))
    assert not dataset.exists()
    dataset.save(Checkpoint("generator", {"id": "abc", "images": 30}, {}))  # the last one
    assert dataset.exists()
    dataset.save(Checkpoint("generator", {"id": "of another training", "images": 30}, {}))
    assert not dataset.exists()


def test_best_networks_are_the_last_ones_where_nothing_was_measured(tmp_path: Path) -> None:
    last = Checkpoint("generator", {"images": 5}, {}), Checkpoint("discriminator", {"images": 5}, {})
    assert choose_best_networks(*last, BestMeasuredDataset(str(tmp_path)).load()) == last
    TrainingStateDataset(str(tmp_path)).save(measured(10, 10))
    best = BestMeasuredDataset(str(tmp_path)).load()
    assert choose_best_networks(*last, best) is best


def test_networks_are_named_by_the_end_of_their_file_name(tmp_path: Path) -> None:
    dataset = NetworkDataset(str(tmp_path / "best_generator"))
    dataset.save(Checkpoint("generator", {"images": 5}, {"w": torch.zeros(2)}))
    assert dataset.load().kind == "generator"
    with pytest.raises(DatasetError, match="is not a discriminator"):
        (tmp_path / "best_generator.safetensors").rename(tmp_path / "best_discriminator.safetensors")
        NetworkDataset(str(tmp_path / "best_discriminator")).load()


def test_experiments_are_read_from_and_never_written_as_a_whole(tmp_path: Path) -> None:
    dataset = ExperimentsDataset(str(tmp_path))
    (tmp_path / "demo").mkdir()
    assert dataset.load().find("demo") == tmp_path / "demo"
    with pytest.raises(DatasetError, match="one by one"):
        dataset.save("demo")
