import logging
from pathlib import Path

import pytest
import torch

from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.experiments import Experiments
from celeba_gan.gan.runs.named_models import find_named_model


def save(path: Path, training: str = "one", images: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    card = {"id": training, "images": images}
    Checkpoint(path.stem.rpartition("_")[2], card, {"w": torch.zeros(1)}).save(path)
    return path


@pytest.fixture
def experiments(tmp_path: Path) -> Experiments:
    folder = tmp_path / "06_models"
    for name in ("generator", "discriminator"):
        save(folder / "demo" / f"{name}.safetensors", images=20)
        save(folder / "demo" / f"best_{name}.safetensors", images=10)
    return Experiments(folder)


@pytest.mark.parametrize("spell", ["demo", "{folder}/demo", "{folder}/demo/generator.safetensors"])
def test_experiment_folder_and_file_name_the_same_networks(experiments: Experiments, spell: str) -> None:
    name = spell.format(folder=experiments.folder)
    model = find_named_model(name, experiments, best=False)
    assert model.label == name
    assert model.generator == experiments.folder / "demo/generator.safetensors"
    assert model.discriminator == experiments.folder / "demo/discriminator.safetensors"
    assert model.card["images"] == 20


def test_the_best_networks_are_taken_where_they_are_asked_for_and_there(
    experiments: Experiments, caplog: pytest.LogCaptureFixture
) -> None:
    best = find_named_model("demo", experiments, best=True)
    assert best.generator.name == "best_generator.safetensors"
    assert best.discriminator is not None
    assert best.discriminator.name == "best_discriminator.safetensors"
    assert best.card["images"] == 10
    save(experiments.folder / "other/generator.safetensors")
    with caplog.at_level(logging.INFO):
        assert find_named_model("other", experiments, best=True).generator.name == "generator.safetensors"
    assert "other has no best_generator.safetensors" in caplog.text


def test_a_discriminator_of_another_training_is_left_out_and_said(
    experiments: Experiments, caplog: pytest.LogCaptureFixture
) -> None:
    save(experiments.folder / "demo/discriminator.safetensors", training="two")
    with caplog.at_level(logging.INFO):
        assert find_named_model("demo", experiments, best=False).discriminator is None
    assert "demo comes without its discriminator" in caplog.text
    assert "discriminator.safetensors is of another training" in caplog.text


def test_a_generator_alone_under_any_name_is_enough(experiments: Experiments, caplog: pytest.LogCaptureFixture) -> None:
    file = save(experiments.folder / "demo/generator.safetensors").rename(experiments.folder / "faces.safetensors")
    with caplog.at_level(logging.INFO):
        model = find_named_model(str(file), experiments, best=False)
    assert (model.generator, model.discriminator) == (file, None)
    assert "comes without its discriminator" in caplog.text


def test_what_is_no_generator_is_refused(experiments: Experiments) -> None:
    folder = experiments.folder
    with pytest.raises(CheckpointError, match=r"no experiment, file or folder 'dmo'.*: demo$"):
        find_named_model("dmo", experiments, best=False)
    with pytest.raises(CheckpointError, match=r"discriminator\.safetensors is not a generator"):
        find_named_model(str(folder / "demo/discriminator.safetensors"), experiments, best=False)
    (folder / "datasets").mkdir()
    with pytest.raises(CheckpointError, match=r"no generator.safetensors in .*datasets"):
        find_named_model("datasets", experiments, best=False)
    (folder / "demo/generator.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
        find_named_model("demo", experiments, best=False)
