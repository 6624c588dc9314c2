import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Run, Which
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train

Save = Callable[..., Path]


@pytest.fixture
def save(make_card: Callable[..., ModelCard]) -> Save:
    def write(path: Path, training: str = "one", images: int = 5) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        card = make_card(id=training, images=images)
        Checkpoint(path.stem.rpartition("_")[2], card, {"w": torch.zeros(1)}).save(path)
        return path

    return write


@pytest.fixture
def experiments(tmp_path: Path, save: Save) -> Experiments:
    """Exported networks without a snapshot, as they are given to others."""
    folder = tmp_path / "06_models"
    for name in ("generator", "discriminator"):
        save(folder / "demo" / f"{name}.safetensors", images=20)
        save(folder / "demo" / f"best_{name}.safetensors", images=10)
    return Experiments(folder)


def find(name: str, experiments: Experiments, which: Which = "last") -> NamedModel:
    return NamedModel.at(experiments.find(name), name, which)


def images_of(model: NamedModel) -> list[int]:
    networks = model.networks()
    return [network.card.images for network in (networks.generator, networks.discriminator) if network is not None]


@pytest.mark.parametrize("spell", ["demo", "{folder}/demo", "{folder}/demo/generator.safetensors"])
def test_experiment_folder_and_file_name_the_same_networks(experiments: Experiments, spell: str) -> None:
    name = spell.format(folder=experiments.folder)
    model = find(name, experiments)
    assert model.label == name
    assert model.path.is_relative_to(experiments.folder / "demo")
    assert model.card.images == 20
    networks = model.networks()
    assert networks.discriminator is not None
    assert (networks.generator.kind, networks.discriminator.kind) == ("generator", "discriminator")
    assert images_of(model) == [20, 20]


def test_the_best_networks_are_read_where_they_are_requested_and_there(experiments: Experiments, save: Save) -> None:
    demo = find("demo", experiments, "best")
    assert images_of(demo) == [10, 10]
    assert demo.card.images == 10  # tracking links an evaluation to its model by it
    file = find(str(experiments.folder / "demo/generator.safetensors"), experiments, "best")
    assert images_of(file) == [20, 20]  # a file has only one pair
    save(experiments.folder / "other/generator.safetensors")
    assert images_of(find("other", experiments, "best")) == [5]
    save(experiments.folder / "only/best_generator.safetensors")
    assert images_of(find("only", experiments, "best")) == [5]


def test_a_training_here_is_read_from_its_snapshot(
    images: TrainingImages, make_settings: Callable[..., TrainSettings], experiments: Experiments
) -> None:
    run = Run(experiments.folder / "demo")
    values = iter((2.0, 3.0))
    settings = make_settings(kimg=0.16, evaluate_every_kimg=0.08)
    for tick in train(images, settings, measure=lambda sample: {"swd_absolute_valid": next(values)}):
        run.append(tick.snapshot)
    model = find("demo", experiments)
    assert model.card == tick.snapshot.card.of_networks()
    best = find("demo", experiments, "best")
    assert (images_of(model), images_of(best), best.card.images) == ([160, 160], [80, 80], 80)


def test_a_discriminator_of_another_training_is_ignored_and_logged(
    experiments: Experiments, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    save(experiments.folder / "demo/discriminator.safetensors", training="two")
    with caplog.at_level(logging.INFO):
        assert find("demo", experiments).networks().discriminator is None
    assert "discriminator.safetensors: it belongs to another training" in caplog.text


def test_a_generator_alone_under_any_name_is_enough(
    experiments: Experiments, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    file = save(experiments.folder / "demo/generator.safetensors").rename(experiments.folder / "faces.safetensors")
    with caplog.at_level(logging.INFO):
        model = find(str(file), experiments)
        networks = model.networks()
    assert (model.path, networks.generator.card.images, networks.discriminator) == (file, 5, None)
    assert "has no discriminator beside it" in caplog.text


def test_what_is_no_generator_is_refused(experiments: Experiments) -> None:
    folder = experiments.folder
    with pytest.raises(CheckpointError, match=r"no experiment, file or folder 'dmo'.*: demo$"):
        find("dmo", experiments)
    with pytest.raises(CheckpointError, match=r"discriminator\.safetensors is not a generator"):
        find(str(folder / "demo/discriminator.safetensors"), experiments)
    (folder / "datasets").mkdir()
    with pytest.raises(CheckpointError, match=r"no generator.safetensors in .*datasets"):
        find("datasets", experiments)
    (folder / "demo/generator.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
        find("demo", experiments)
