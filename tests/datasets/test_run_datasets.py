import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kedro.io import DatasetError

from celeba_gan.datasets.file_dataset import FolderDataset
from celeba_gan.datasets.runs import ClassifierDataset, RunDataset
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.foundation.documents import VERSION_KEY
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_card
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Snapshot

Make = Callable[..., Snapshot]
EXPORTED = [f"{prefix}{kind}" for prefix in ("", "best_") for kind in ("generator", "discriminator")]


def snapshot_of(folder: Path, resume_from: float | None = None) -> RunDataset:
    return RunDataset(str(folder), part="snapshot", resume_from=resume_from)


def test_a_run_is_loaded_without_its_tensors_and_a_snapshot_with_them(tmp_path: Path, make_snapshot: Make) -> None:
    RunDataset(str(tmp_path)).save(make_snapshot(1000))
    run = RunDataset(str(tmp_path)).load()
    assert isinstance(run, Run)
    assert run.networks().generator.tensors["w"].tolist() == [1000] * 3
    loaded = snapshot_of(tmp_path).load()
    assert isinstance(loaded, Checkpoint)
    assert loaded.card == make_snapshot(1000).card == snapshot_of(tmp_path).card()
    assert loaded.tensors.keys() == make_snapshot(1000).tensors.keys()


def test_networks_are_exported_as_weights_and_readable_cards(tmp_path: Path, make_snapshot: Make) -> None:
    dataset = RunDataset(str(tmp_path))
    assert not dataset.exists()
    run = dataset.load()
    assert isinstance(run, Run)
    with pytest.raises(CheckpointError, match=r"no trained generator at .*generator.safetensors"):
        run.networks()
    dataset.save(make_snapshot(1000, finished=True))
    assert dataset.exists()
    expected = make_snapshot(1000, finished=True).card.of_networks()
    for name in EXPORTED:
        path = tmp_path / f"{name}.safetensors"
        card = json.loads(path.with_suffix(".json").read_text())
        assert VERSION_KEY not in card
        assert card == {key: value for key, value in expected.to_json().items() if key != VERSION_KEY}
        loaded = Checkpoint.load(path, name.removeprefix("best_"), ModelCard)
        assert loaded.card == expected
        assert loaded.tensors["w"].tolist() == [1000] * 3
    assert json.loads(dataset.preview()) == expected.to_json()


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_it_exists_only_with_every_exported_file(tmp_path: Path, make_snapshot: Make, name: str, suffix: str) -> None:
    dataset = RunDataset(str(tmp_path))
    dataset.save(make_snapshot(1000, finished=True))
    (tmp_path / f"{name}.{suffix}").unlink()  # killed between two files
    assert not dataset.exists()
    dataset.save(make_snapshot(1000, finished=True))  # the same training, run again
    assert dataset.exists()


def test_it_exists_only_when_training_has_finished(tmp_path: Path, make_snapshot: Make) -> None:
    dataset = RunDataset(str(tmp_path))
    dataset.save(make_snapshot(1000))
    assert not dataset.exists()
    dataset.save(make_snapshot(2000, finished=True))
    assert dataset.exists()


def test_a_snapshot_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert snapshot_of(tmp_path).load() is None
    assert snapshot_of(tmp_path).card() is None
    assert json.loads(snapshot_of(tmp_path).preview()) == {}


def test_a_damaged_snapshot_is_an_error_never_a_fresh_start(tmp_path: Path, make_snapshot: Make) -> None:
    dataset = snapshot_of(tmp_path)
    dataset.save(make_snapshot(1000))
    file = tmp_path / "training_state/state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DatasetError, match="not a checkpoint"):
        dataset.load()


def test_a_kept_snapshot_is_read_in_place_of_the_newest_where_requested(tmp_path: Path, make_snapshot: Make) -> None:
    for images in (1000, 2500, 4000):
        RunDataset(str(tmp_path)).save(make_snapshot(images, best=1000, keep=2))
    dataset = snapshot_of(tmp_path, resume_from=2.5)
    card, loaded = dataset.card(), dataset.load()
    assert card is not None
    assert isinstance(loaded, Checkpoint)
    assert card.images == loaded.card.images == loaded.tensors["average.w"][0] == 2500
    with pytest.raises(DatasetError, match=r"train.resume_from=1: .* at 1 kimg\. Snapshots: 2.5, 4 \("):
        snapshot_of(tmp_path, resume_from=1).load()
    with pytest.raises(DatasetError, match=r"Snapshots: none"):
        snapshot_of(tmp_path / "empty", resume_from=1).load()


def test_the_best_networks_are_kept_as_long_as_a_snapshot_names_them(tmp_path: Path, make_snapshot: Make) -> None:
    dataset, run = RunDataset(str(tmp_path)), Run(tmp_path)
    assert run.best() is None
    dataset.save(make_snapshot(500))
    assert run.best() is None
    dataset.save(make_snapshot(1000, best=1000))
    dataset.save(make_snapshot(1500, best=1000))
    best = run.networks("best")
    assert best.discriminator is not None
    for network, kind in ((best.generator, "generator"), (best.discriminator, "discriminator")):
        assert (network.kind, network.card.images, network.tensors["w"].tolist()) == (kind, 1000, [1000] * 3)
        assert type(network.card) is ModelCard
    dataset.save(make_snapshot(2000, best=2000))
    assert [path.name for path in run.snapshots.glob("best-*")] == ["best-000000002000.safetensors"]


def test_it_exists_only_while_the_exported_best_is_what_the_snapshot_names(tmp_path: Path, make_snapshot: Make) -> None:
    """Else --only-missing-outputs would leave it standing after a training that went on and was killed too early."""
    dataset = RunDataset(str(tmp_path))
    dataset.save(make_snapshot(1000, best=1000))
    dataset.save(make_snapshot(1500, best=1000, finished=True))
    assert dataset.exists()
    assert read_card(tmp_path / "best_generator.safetensors", "generator", ModelCard).images == 1000
    make_snapshot(2000, best=2000, finished=True).save(tmp_path / "training_state/state.safetensors")
    assert not dataset.exists()
    dataset.save(make_snapshot(2000, best=2000, finished=True))
    assert dataset.exists()
    make_snapshot(2000, best=2000, finished=True, id="other").save(tmp_path / "training_state/state.safetensors")
    assert not dataset.exists()


def test_the_best_networks_are_the_last_ones_where_nothing_was_measured(
    tmp_path: Path, make_snapshot: Make, caplog: pytest.LogCaptureFixture
) -> None:
    RunDataset(str(tmp_path)).save(make_snapshot(1000, finished=True))
    with caplog.at_level(logging.INFO, "celeba_gan"):
        assert Run(tmp_path).networks("best").generator.card.images == 1000
    assert "There are no best networks" in caplog.text
    assert (tmp_path / "best_generator.json").read_bytes() == (tmp_path / "generator.json").read_bytes()


def test_exported_networks_are_read_where_there_is_no_snapshot(tmp_path: Path, make_snapshot: Make) -> None:
    RunDataset(str(tmp_path)).save(make_snapshot(1000, best=1000))
    RunDataset(str(tmp_path)).save(make_snapshot(1500, best=1000))
    (tmp_path / "training_state").rename(tmp_path / "elsewhere")
    run = Run(tmp_path)
    for which, images in (("last", 1500), ("best", 1000)):
        networks: Any = run.networks(which)  # type: ignore[arg-type]
        assert networks.generator.card.images == networks.discriminator.card.images == images


def test_a_network_under_the_name_of_another_is_refused(tmp_path: Path, make_snapshot: Make) -> None:
    dataset = RunDataset(str(tmp_path))
    dataset.save(make_snapshot(1000, finished=True))
    (tmp_path / "best_generator.safetensors").replace(tmp_path / "best_discriminator.safetensors")
    (tmp_path / "discriminator.safetensors").replace(tmp_path / "best_generator.safetensors")
    with pytest.raises(CheckpointError, match="is not a discriminator"):
        read_card(tmp_path / "best_discriminator.safetensors", "discriminator", ModelCard)
    with pytest.raises(CheckpointError, match="is not a generator"):
        read_card(tmp_path / "best_generator.safetensors", "generator", ModelCard)


def test_experiments_are_read_from_and_never_written_as_a_whole(tmp_path: Path) -> None:
    dataset = FolderDataset(str(tmp_path), "celeba_gan.gan.runs.models.Experiments")
    (tmp_path / "demo").mkdir()
    assert dataset.load().find("demo") == tmp_path / "demo"
    with pytest.raises(DatasetError, match="nodes fill"):
        dataset.save("demo")


def test_numbers_are_kept_in_the_feature_store(tmp_path: Path) -> None:
    store = FolderDataset(str(tmp_path / "features"), "celeba_gan.evaluation.features.store.FeatureStore")
    assert not store.exists()
    assert store.load().numbers("key", lambda: {"x": 1.0}) == {"x": 1.0}
    assert store.exists()
    assert store.load().numbers("key", lambda: {"x": 2.0}) == {"x": 1.0}


def test_an_attribute_classifier_is_kept_as_weights_and_readable_card(tmp_path: Path) -> None:
    dataset = ClassifierDataset(str(tmp_path / "faces" / "attribute_classifier"))
    assert not dataset.exists()
    assert dataset.card() is None
    assert ClassifierDataset(str(tmp_path / "faces" / "attribute_classifier"), missing_ok=True).load() is None
    with pytest.raises(DatasetError, match=r"no attribute classifier at .*attribute_classifier.safetensors"):
        dataset.load()
    card = ClassifierCard(attributes=("Hat",), size=16, made_from={"version": 1})
    dataset.save(Checkpoint("classifier", card, {"w": torch.arange(4.0)}))
    assert dataset.exists()
    loaded = dataset.load()
    assert loaded is not None
    assert loaded.card == card == dataset.card()
    assert loaded.tensors["w"].tolist() == [0, 1, 2, 3]
    written = tmp_path / "faces" / "attribute_classifier.json"
    assert json.loads(written.read_text()) == {"attributes": ["Hat"], "size": 16, "made_from": {"version": 1}}
    written.unlink()  # killed between the two files
    assert not dataset.exists()
