import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.saved_states import SavedStates
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import TrainingError, train

MakeSettings = Callable[..., TrainSettings]
TICKS = (0, 80, 160, 240, 320)


def scripted(*values: float) -> Callable[..., dict[str, float]]:
    left = list(values)
    return lambda sample: {"swd_valid": left.pop(0)}


def commit_all(
    states: SavedStates, images: TrainingImages, settings: TrainSettings, measure: Any = None, kimg: float | None = None
) -> None:
    """Trains and saves every tick, as Kedro does; carries on from the newest state, or the one at `kimg`."""
    for tick in train(images, settings, states.load(kimg), measure=measure):
        states.save(tick.state)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tensors_at(states: SavedStates, kimg: float | None = None) -> dict[str, Tensor]:
    state = states.load(kimg)
    assert state is not None
    return state.tensors


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


@pytest.fixture
def states(tmp_path: Path) -> SavedStates:
    return SavedStates(tmp_path / "training_state")


def test_one_state_is_kept_unless_more_are_asked_for(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, tmp_path: Path
) -> None:
    commit_all(states, images, make_settings())
    assert names(states.folder) == ["state.safetensors"]
    several = SavedStates(tmp_path / "several")
    commit_all(several, images, make_settings(keep_states=3))
    assert names(several.folder) == [
        "state-000000000160.safetensors",
        "state-000000000240.safetensors",
        "state.safetensors",
    ]
    assert_same(tensors_at(several), tensors_at(states))
    for kimg, count in ((0.16, 160), (0.24, 240), (0.32, 320), (None, 320)):
        card = several.card(kimg)
        assert card is not None
        assert card["images"] == count
    commit_all(several, images, make_settings(keep_states=2))  # nothing to train, and one state too many
    assert names(several.folder) == ["state-000000000240.safetensors", "state.safetensors"]


def test_earlier_state_is_carried_on_exactly_and_later_ones_go(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    settings = make_settings(keep_states=5)
    commit_all(states, images, settings)
    assert list(states.kept()) == [*TICKS[:-1]]
    undisturbed = {images: tensors_at(states, images / 1000) for images in TICKS}
    shorter = settings.model_copy(update={"kimg": 0.16, "resume_from": 0.08})
    commit_all(states, images, shorter, kimg=0.08)
    assert list(states.kept()) == [0, 80]
    assert_same(tensors_at(states), undisturbed[160])
    commit_all(states, images, settings)
    assert_same(tensors_at(states), undisturbed[320])


def test_states_of_a_course_that_was_left_go_even_if_they_are_earlier_than_the_next(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 80 on with longer ticks: those at 160 and 240 are not on the way to that at 320."""
    settings = make_settings(keep_states=5)
    commit_all(states, images, settings)
    back = settings.model_copy(update={"resume_from": 0.08, "tick_kimg": 0.32})
    with monkeypatch.context() as patch:
        kill_before(patch, "tidying", 320)
        with pytest.raises(Killed):
            commit_all(states, images, back, kimg=0.08)
    commit_all(states, images, settings.model_copy(update={"kimg": 0.4}))
    assert list(states.kept()) == [0, 80, 320]
    card = states.card()
    assert card is not None
    assert card["course"] == [0, 80, 320]


def test_ticks_say_which_was_before_them(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    settings = make_settings(kimg=0.16)
    ticks = []
    for tick in train(images, settings):
        states.save(tick.state)
        ticks.append((tick.since, tick.images))
    again = [(tick.since, tick.images) for tick in train(images, settings, states.load())]
    further = [(tick.since, tick.images) for tick in train(images, make_settings(kimg=0.24), states.load())]
    assert ticks == [(0, 0), (0, 80), (80, 160)]
    assert (again, further) == ([(160, 160)], [(160, 240)])


def test_state_that_is_not_there_is_refused_with_those_that_are(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    with pytest.raises(CheckpointError, match=r"at 5 kimg, and .*training_state has none of it. There are: none \("):
        states.load(5)
    commit_all(states, images, make_settings(keep_states=2))
    with pytest.raises(CheckpointError, match=r"resume_from asks for the state at 0.08 kimg, .* There are: 0.24, 0.32"):
        states.card(0.08)
    with pytest.raises(TrainingError, match=r"at 0.24 kimg, and the state is the one at 0.32 kimg. Give it with --par"):
        next(train(images, make_settings(resume_from=0.24), states.load()))
    with pytest.raises(TrainingError, match=r"at 0.24 kimg, and there is no saved state"):
        next(train(images, make_settings(resume_from=0.24)))
    with pytest.raises(ValueError, match=r"resume_from 0.24 carries on from a kept state, resume false starts anew"):
        make_settings(resume_from=0.24, resume=False)


def test_state_of_the_best_tick_is_kept_where_that_is_asked_for(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    settings = make_settings(keep_best=True, evaluate_every_kimg=0.08)
    commit_all(states, images, settings, scripted(4, 2, 3, 5))
    assert names(states.folder) == [
        "best-000000000160.safetensors",
        "state-000000000160.safetensors",
        "state.safetensors",
    ]
    longer = settings.model_copy(update={"kimg": 0.48})
    commit_all(states, images, longer, scripted(1, 6))
    assert names(states.folder) == [
        "best-000000000400.safetensors",
        "state-000000000400.safetensors",
        "state.safetensors",
    ]


def test_best_networks_are_those_of_the_best_tick(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    settings = make_settings(keep_states=5, evaluate_every_kimg=0.08)
    assert states.load_best() is None
    values = iter((4, 2, 3, 5))
    for tick in train(images, settings, measure=lambda sample: {"swd_valid": next(values)}):
        states.save(tick.state)
        assert (states.load_best() is None) == (tick.images == 0)
    best = states.load_best()
    assert best is not None
    generator, discriminator = best
    assert (generator.kind, discriminator.kind) == ("generator", "discriminator")
    assert generator.card["images"] == generator.card["best"]["images"] == 160
    assert generator.card.keys() == discriminator.card.keys() == tick.generator.card.keys()
    state = tensors_at(states, 0.16)
    assert_same({f"average.{name}": tensor for name, tensor in generator.tensors.items()}, _part(state, "average"))
    assert_same(
        {f"discriminator.{name}": tensor for name, tensor in discriminator.tensors.items()},
        _part(state, "discriminator"),
    )


def _part(tensors: dict[str, Tensor], who: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(f"{who}.")}


class Killed(BaseException):
    """Stands for kill -9: nothing that cleans up may run into it."""


def kill_before(monkeypatch: pytest.MonkeyPatch, what: str, images: int) -> None:
    """Ends the process before the tick at `images` does `what`."""
    save, unlink = Checkpoint.save, Path.unlink

    def dying_save(self: Checkpoint, path: Path) -> None:
        if what == "commit" and path.name == "state.safetensors" and self.card["images"] == images:
            raise Killed
        save(self, path)

    def dying_unlink(self: Path, missing_ok: bool = False) -> None:
        newest = SavedStates(self.parent).card()
        if what == "tidying" and newest is not None and newest["images"] == images:
            raise Killed
        unlink(self, missing_ok)

    monkeypatch.setattr(Checkpoint, "save", dying_save)
    monkeypatch.setattr(Path, "unlink", dying_unlink)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(
    ("what", "committed", "best"), [("commit", 160, 80), ("tidying", 240, 240)], ids=["before commit", "after commit"]
)
def test_killed_between_the_files_of_a_save_the_last_commit_stands(
    images: TrainingImages,
    make_settings: MakeSettings,
    states: SavedStates,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    committed: int,
    best: int,
    keep: int,
) -> None:
    """The tick at 240 is the best, and its networks are on disk; they count only once its state is."""
    settings = make_settings(keep_states=keep, evaluate_every_kimg=0.08)
    with monkeypatch.context() as patch:
        kill_before(patch, what, 240)
        with pytest.raises(Killed):
            commit_all(states, images, settings, scripted(4, 5, 3))
    card, networks = states.card(), states.load_best()
    assert card is not None
    assert networks is not None
    assert (card["images"], card["best"]["images"], networks[0].card["images"]) == (committed, best, best)
    # The course of training changes: now the tick at 240 is no longer the best.
    commit_all(states, images, settings, scripted(*([8] * (committed < 240)), 9))
    networks = states.load_best()
    assert networks is not None
    assert networks[0].card["images"] == best
    named = sorted({best} | ({80} if keep == 3 else set()))  # the state at 160 is kept, and 80 was best then
    assert names(states.folder) == [
        *(f"best-{images:012d}.safetensors" for images in named),
        *(f"state-{images:012d}.safetensors" for images in TICKS[5 - keep : 4]),
        "state.safetensors",
    ]


def test_nothing_stays_of_best_networks_that_were_half_written(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    write = safetensors.torch.save_file

    def dying_write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        write(tensors, path, metadata)
        if "best" in path.name and json.loads(metadata["card"])["images"] == 160:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", dying_write)
        with pytest.raises(Killed):
            commit_all(states, images, settings, scripted(4, 3))
    assert ".best.safetensors.partial" in names(states.folder)
    commit_all(states, images, settings, scripted(5, 3, 2))
    assert names(states.folder) == ["best-000000000320.safetensors", "state.safetensors"]


def test_best_of_an_earlier_state_is_there_when_training_goes_back_to_it(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    settings = make_settings(keep_states=5, evaluate_every_kimg=0.08)
    commit_all(states, images, settings, scripted(4, 5, 1, 2))
    assert [name for name in names(states.folder) if name.startswith("best")] == [
        "best-000000000080.safetensors",  # the states at 80 and 160 name it
        "best-000000000240.safetensors",
    ]
    back = settings.model_copy(update={"resume_from": 0.16, "kimg": 0.24})
    commit_all(states, images, back, scripted(6), kimg=0.16)
    networks = states.load_best()
    assert networks is not None
    assert networks[0].card["images"] == 80
    assert [name for name in names(states.folder) if name.startswith("best")] == ["best-000000000080.safetensors"]


def test_a_damaged_kept_state_does_not_stop_training(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(keep_states=3, evaluate_every_kimg=0.08)
    commit_all(states, images, settings.model_copy(update={"kimg": 0.16}), scripted(1, 2))
    states.kept()[80].write_bytes(b"")  # as a power cut may leave it
    commit_all(states, images, settings, scripted(3, 4))
    assert "no use any more" in caplog.text
    assert list(states.kept()) == [160, 240]
    with pytest.raises(CheckpointError, match="has none of it"):
        states.load(0.08)
    networks = states.load_best()
    assert networks is not None
    assert networks[0].card["images"] == 80


def test_best_networks_that_somebody_removed_are_missed_in_words(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, caplog: pytest.LogCaptureFixture
) -> None:
    commit_all(states, images, make_settings(evaluate_every_kimg=0.16), scripted(1, 2))
    next(states.folder.glob("best-*")).unlink()
    assert states.load_best() is None
    assert "The best networks measured so far are gone: there is no" in caplog.text


def test_states_are_kept_on_file_systems_without_hard_links(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    commit_all(states, images, make_settings(keep_states=2))
    assert names(states.folder) == ["state-000000000240.safetensors", "state.safetensors"]
    card = states.card(0.24)
    assert card is not None
    assert card["images"] == 240


def test_ticks_hold_the_live_tensors_of_the_players(images: TrainingImages, make_settings: MakeSettings) -> None:
    """Kedro keeps dozens of past ticks alive: a copy in each would fill the memory."""
    ticks = list(train(images, make_settings(evaluate_every_kimg=0.08), measure=scripted(4, 3, 2, 1)))
    pointers = [
        {
            name: tensor.data_ptr()
            for part in (tick.generator, tick.discriminator)
            for name, tensor in part.tensors.items()
        }
        | {name: tensor.data_ptr() for name, tensor in tick.state.tensors.items() if "optimizer" not in name}
        for tick in ticks
    ]
    assert all(one == pointers[0] for one in pointers)


def test_state_of_the_format_before_these_settings_is_carried_on_to_the_same_bits(
    images: TrainingImages, make_settings: MakeSettings, states: SavedStates
) -> None:
    """Version 2 as it was first written: nothing of measuring, of keeping, of networks and where weights came from."""
    settings = make_settings(keep_states=2)
    commit_all(states, images, settings)
    undisturbed, old = tensors_at(states), states.load(0.24)
    assert old is not None
    new = ("best", "keep", "course", "init_from", "network", "latent", "objective", "probability")
    for name in new:
        del old.card[name]
    assert old.card.keys() == {
        "id", "images", "finished", "size", "random_crop", "data_digest", "condition", "iteration", "identity",
        "hardware", "health",
    }  # fmt: skip
    before = SavedStates(states.folder.parent / "old")
    before.save(old)
    assert names(before.folder) == ["state.safetensors"]
    assert before.load_best() is None
    commit_all(before, images, settings)
    assert_same(tensors_at(before), undisturbed)
    assert before.card() == {**(states.card() or {}), "course": [240]}
    assert names(before.folder) == ["state-000000000240.safetensors", "state.safetensors"]
