import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.cards import ModelCard, Origin, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.initial import InitialWeights, load_initial
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, TrainingError, train

MakeSettings = Callable[..., TrainSettings]


def read(folder: Path) -> Snapshot:
    snapshot = Run(folder).newest()
    assert snapshot is not None
    return snapshot


def load(path: Path) -> InitialWeights:
    return load_initial(Experiments(Path("nowhere")), str(path))


@pytest.fixture
def source(images: TrainingImages, make_settings: MakeSettings, tmp_path: Path) -> Path:
    """The folder of an experiment that was trained on 80 images."""
    for tick in train(images, make_settings(kimg=0.08)):
        Run(tmp_path / "models" / "first").append(tick.snapshot)
    return tmp_path / "models" / "first"


def first_tick(images: TrainingImages, settings: TrainSettings, path: Path, **more: Any) -> Tick:
    return next(train(images, settings, initial=load(path), **more))


@pytest.mark.parametrize(
    ("path", "live"),
    [
        (".", True),
        ("training_state", True),
        ("training_state/state.safetensors", True),
        ("generator.safetensors", False),
    ],
)
def test_new_training_starts_from_the_weights_with_a_fresh_clock_and_fresh_optimisers(
    images_at: Callable[[int], Any], make_settings: MakeSettings, source: Path, path: str, live: bool
) -> None:
    other = images_at(16)
    other.digest = "other images"
    other.pixels = other.pixels[::-1].copy()
    settings = make_settings(objective={"name": "rpgan"}, seed=5, batch_size=4)  # all this may differ
    tick = first_tick(other, settings, source / path)
    before = read(source)
    for name, tensor in tick.snapshot.tensors.items():
        if name.startswith("generator.") and not live:
            assert torch.equal(tensor, before.tensors[name.replace("generator.", "average.")]), name
        elif name.startswith(("generator.", "average.", "discriminator.")):
            assert torch.equal(tensor, before.tensors[name]), name
        else:
            assert "optimizer" not in name  # no moments before the first step
    assert not all(
        torch.equal(tensor, before.tensors[name.replace("average.", "generator.")])
        for name, tensor in before.tensors.items()
        if name.startswith("average.")
    )
    card = tick.snapshot.card
    assert (card.images, card.iteration, card.data_digest) == (0, 0, "other images")
    assert card.id != before.card.id
    assert card.init_from == Origin(id=before.card.id, images=80) == tick.networks.generator.card.init_from
    assert before.card.init_from is None


@pytest.mark.parametrize("path", [".", "training_state"])
@pytest.mark.parametrize("newest", ["missing", "damaged"])
def test_weights_of_the_snapshot_before_are_read_if_the_newest_is_not_whole(
    images: TrainingImages,
    make_settings: MakeSettings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    path: str,
    newest: str,
) -> None:
    run = Run(tmp_path / "first")
    for tick in train(images, make_settings(kimg=0.16, keep_states=2)):
        run.append(tick.snapshot)
    before = run.at(0.08)
    assert before is not None
    state = run.snapshots / "state.safetensors"
    state.unlink() if newest == "missing" else state.write_bytes(state.read_bytes()[:-1])
    initial = load(run.folder / path)
    assert (initial.card.images, Path(initial.source).name) == (80, "state-000000000080.safetensors")
    for name, weights in initial.weights.items():
        assert weights
        assert all(torch.equal(tensor, before.tensors[f"{name}.{key}"]) for key, tensor in weights.items())
    assert f"state.safetensors is {newest}" in caplog.text


def test_trained_weights_move_on_and_a_resumed_training_ignores_others(
    images: TrainingImages, make_settings: MakeSettings, source: Path, tmp_path: Path
) -> None:
    settings = make_settings(seed=5, init_from="first")
    ticks = train(images, settings, initial=load(source))
    next(ticks)
    next(ticks).snapshot.save(tmp_path / "middle.safetensors")
    last = list(ticks)[-1]
    middle = Checkpoint.load(tmp_path / "middle.safetensors", SNAPSHOT, RunCard)
    (*_, again) = train(images, settings, middle, initial=load(source))
    (*_, without) = train(images, make_settings(seed=5), middle)
    for resumed in (again, without):
        assert resumed.snapshot.card == last.snapshot.card
        assert all(
            torch.equal(tensor, last.snapshot.tensors[name]) for name, tensor in resumed.snapshot.tensors.items()
        )


@pytest.mark.parametrize("path", ["training_state", "generator.safetensors"])
@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"network": {"dcgan": {"width": 4}}, "latent": {"size": 9, "distribution": "uniform"}},
            [
                "  latent.distribution: normal there, uniform here",
                "  latent.size: 8 there, 9 here",
                "  network.dcgan.width: 8 there, 4 here",
            ],
        ),
        (
            {"network": {"dcgan": {"width": 8}, "spectral_norm": True}},
            ["network.spectral_norm: absent there, True here"],
        ),
        ({"random_crop": 32}, ["  image size: 16 there, 32 here"]),
    ],
)
def test_other_networks_are_refused_naming_each_difference(
    images_at: Callable[[int], TrainingImages],
    make_settings: MakeSettings,
    source: Path,
    path: str,
    changes: dict[str, Any],
    lines: list[str],
) -> None:
    with pytest.raises(TrainingError) as raised:
        first_tick(images_at(64 if "random_crop" in changes else 16), make_settings(**changes), source / path)
    assert all(line in str(raised.value) for line in lines)
    assert str(raised.value).count(" here\n") == len(lines)
    assert "leave train.init_from out" in str(raised.value)


def test_another_family_is_refused(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, source: Path
) -> None:
    with pytest.raises(TrainingError, match=r"network\.name: dcgan there, resnet here"):
        first_tick(images_at(32), make_settings(network={"name": "resnet", "resnet": {"width": 8}}), source)


def test_other_labels_are_refused(images: TrainingImages, make_settings: MakeSettings, tmp_path: Path) -> None:
    def conditions(*names: str) -> Conditions:
        return Conditions("class", names, np.arange(100) % len(names))

    settings = make_settings(condition={"name": "class"}, kimg=0.016, tick_kimg=0.016)
    for tick in train(images, settings, conditions=conditions("cat", "dog")):
        Run(tmp_path).append(tick.snapshot)
    first_tick(images, settings, tmp_path, conditions=conditions("cat", "dog"))
    with pytest.raises(TrainingError, match=r"  labels: cat, dog there, cat, owl here\n"):
        first_tick(images, settings, tmp_path, conditions=conditions("cat", "owl"))
    with pytest.raises(
        TrainingError, match=r"  condition: class there, none here\n  labels: cat, dog there, none here"
    ):
        first_tick(images, make_settings(), tmp_path)


def test_what_is_no_source_of_weights_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"discriminator\.safetensors is a discriminator; give a generator or a sn"
    ):
        load(source / "discriminator.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty holds neither a snapshot nor generator\.safetensors"):
        load(tmp_path / "empty")
    (tmp_path / "weights.pt").write_bytes(b"PK\x03\x04 pickled")
    with pytest.raises(CheckpointError, match=r"weights\.pt is not a checkpoint of celeba_gan"):
        load(tmp_path / "weights.pt")
    shutil.copy(source / "generator.safetensors", tmp_path / "empty" / "generator.safetensors")
    with pytest.raises(CheckpointError, match=r"has no discriminator of the same training"):
        load(tmp_path / "empty")
    shutil.copy(source / "generator.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=r"has no discriminator of the same training"):
        load(tmp_path / "alone.safetensors")


def test_networks_of_two_trainings_and_files_unlike_their_cards_are_refused(
    images: TrainingImages, make_settings: MakeSettings, source: Path
) -> None:
    other = next(train(images, make_settings()))
    assert other.networks.discriminator is not None
    other.networks.discriminator.save(source / "discriminator.safetensors")
    with pytest.raises(CheckpointError, match=r"no discriminator of the same training beside it"):
        load(source / "generator.safetensors")
    snapshot = read(source)
    del snapshot.tensors["average.layers.0.weight"]
    snapshot.save(source / "training_state" / "state.safetensors")
    with pytest.raises(
        CheckpointError, match=r'does not hold the average that its card describes: .*"layers\.0\.weight"'
    ):
        first_tick(images, make_settings(), source)


def test_experiments_are_found_by_name_and_anything_else_by_path(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = Experiments(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    assert experiments.find("first") == source
    assert experiments.find(str(source)) == source
    assert experiments.find("models/first/generator.safetensors").samefile(source / "generator.safetensors")
    (tmp_path / "models" / "notes").mkdir()
    with pytest.raises(
        CheckpointError,
        match=r"no experiment, file or folder 'frist'\. Relative paths start .*Experiments in .*models: first$",
    ):
        experiments.find("frist")
    with pytest.raises(CheckpointError, match=r"Experiments in .*nothing: none$"):
        Experiments(tmp_path / "nothing").find("first")
    assert load_initial(experiments, "first").source == source / "training_state" / "state.safetensors"
    with pytest.raises(CheckpointError, match=r"^train\.init_from: there is no experiment, file or folder 'frist'"):
        load_initial(experiments, "frist")


def test_initial_weights_keep_within_the_limit_of_weights(
    images: TrainingImages, make_settings: MakeSettings, source: Path
) -> None:
    limited = make_settings(penalty={"gradient_penalty": {"weight": 0}}, weight_clip=0.01)
    discriminator = first_tick(images, limited, source).networks.discriminator
    assert discriminator is not None
    assert max(tensor.abs().max().item() for tensor in discriminator.tensors.values()) == pytest.approx(0.01)


def test_weights_of_another_format_version_are_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Checkpoint.load(source / "training_state/state.safetensors", SNAPSHOT, RunCard)
    generator = Checkpoint.load(source / "generator.safetensors", "generator", ModelCard)
    with monkeypatch.context() as patch:
        for card in (ModelCard, RunCard):
            patch.setattr(card, "version", 1)
        state.save(source / "training_state/state.safetensors")
        generator.save(source / "generator.safetensors")
    for given in (".", "generator.safetensors"):
        with pytest.raises(CheckpointError, match=r"has format version 1 .* reads 2 to 2"):
            load(source / given)
