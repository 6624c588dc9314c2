import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.cards import BestTick, ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import TrainingError, train

pytestmark = pytest.mark.usefixtures("two_iterations_a_tick")
MakeSettings = Callable[..., TrainSettings]
TICKS = (0, 80, 160, 240, 320)


def scripted(*values: float) -> Callable[..., dict[str, float]]:
    left = list(values)
    return lambda sample: {"swd_absolute_valid": left.pop(0)}


def commit_all(
    run: Run, images: TrainingImages, settings: TrainSettings, measure: Any = None, kimg: float | None = None
) -> None:
    """Trains and appends every tick, as Kedro does; resumes from the newest snapshot, or the one at `kimg`."""
    for tick in train(images, settings, run.at(kimg), measure=measure):
        run.append(tick.snapshot)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kept(run: Run) -> list[int]:
    """Images of the earlier snapshots that are on disk."""
    return [int(name[6:18]) for name in names(run.snapshots) if name.startswith("state-")]


def card_of(run: Run, kimg: float | None = None) -> RunCard:
    card = run.card(kimg)
    assert card is not None
    return card


def tensors_at(run: Run, kimg: float | None = None) -> dict[str, Tensor]:
    snapshot = run.at(kimg)
    assert snapshot is not None
    return snapshot.tensors


def best_of(run: Run) -> int:
    """Images that the best networks had seen."""
    networks = run.best()
    assert networks is not None
    return networks.generator.card.images


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "demo")


def test_one_snapshot_is_kept_beside_the_newest_unless_others_are_requested(
    images: TrainingImages, make_settings: MakeSettings, run: Run, tmp_path: Path
) -> None:
    commit_all(run, images, make_settings())
    assert names(run.snapshots) == ["state-000000000240.safetensors", "state.safetensors"]
    alone = Run(tmp_path / "alone")
    commit_all(alone, images, make_settings(keep_states=1))
    assert names(alone.snapshots) == ["state.safetensors"]
    several = Run(tmp_path / "several")
    commit_all(several, images, make_settings(keep_states=3))
    assert names(several.snapshots) == [
        "state-000000000160.safetensors",
        "state-000000000240.safetensors",
        "state.safetensors",
    ]
    assert_same(tensors_at(several), tensors_at(run))
    for kimg, count in ((0.16, 160), (0.24, 240), (0.32, 320), (None, 320)):
        assert card_of(several, kimg).images == count
    commit_all(several, images, make_settings(keep_states=2))  # nothing to train, and one snapshot too many
    assert names(several.snapshots) == ["state-000000000240.safetensors", "state.safetensors"]


def test_earlier_snapshot_is_resumed_exactly_and_later_ones_go(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(keep_states=5)
    commit_all(run, images, settings)
    assert kept(run) == [*TICKS[:-1]]
    undisturbed = {images: tensors_at(run, images / 1000) for images in TICKS}
    shorter = settings.model_copy(update={"kimg": 0.16, "resume_from": 0.08})
    commit_all(run, images, shorter, kimg=0.08)
    assert kept(run) == [0, 80]
    assert_same(tensors_at(run), undisturbed[160])
    commit_all(run, images, settings)
    assert_same(tensors_at(run), undisturbed[320])


def test_snapshots_of_a_branch_that_was_left_go_even_if_they_are_earlier_than_the_next(
    images: TrainingImages, make_settings: MakeSettings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 80 on with longer ticks: those at 160 and 240 are not on the way to that at 320."""
    settings = make_settings(keep_states=5)
    commit_all(run, images, settings)
    back = settings.model_copy(update={"resume_from": 0.08, "tick_kimg": 0.32})
    with monkeypatch.context() as patch:
        kill_before(patch, "tidying", 320)
        with pytest.raises(Killed):
            commit_all(run, images, back, kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.4}))
    assert kept(run) == [0, 80, 320]
    assert card_of(run).history == (0, 80, 320)


def test_ticks_say_which_was_before_them(images: TrainingImages, make_settings: MakeSettings, run: Run) -> None:
    settings = make_settings(kimg=0.16)
    ticks = []
    for tick in train(images, settings):
        run.append(tick.snapshot)
        ticks.append((tick.since, tick.images))
    again = [(tick.since, tick.images) for tick in train(images, settings, run.newest())]
    further = [(tick.since, tick.images) for tick in train(images, make_settings(kimg=0.24), run.newest())]
    assert ticks == [(0, 0), (0, 80), (80, 160)]
    assert (again, further) == ([(160, 160)], [(160, 240)])


def test_snapshot_that_is_not_there_is_refused_with_those_that_are(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    with pytest.raises(
        CheckpointError, match=r"resume_from=5: .*training_state has no snapshot at 5 kimg. Snapshots: none \("
    ):
        run.at(5)
    commit_all(run, images, make_settings(keep_states=2))
    with pytest.raises(CheckpointError, match=r"resume_from=0.08: .* Snapshots: 0.24, 0.32"):
        run.card(0.08)
    with pytest.raises(TrainingError, match=r"resume_from=0.24: .* at 0.32 kimg. .*--params"):
        next(train(images, make_settings(resume_from=0.24), run.newest()))
    with pytest.raises(TrainingError, match=r"resume_from=0.24: there is no snapshot"):
        next(train(images, make_settings(resume_from=0.24)))
    with pytest.raises(ValueError, match=r"resume_from 0.24 .*resume false"):
        make_settings(resume_from=0.24, resume=False)


def test_snapshot_of_the_best_tick_is_kept_where_that_is_requested(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(keep_states=1, keep_best=True, evaluate_every_kimg=0.08)
    commit_all(run, images, settings, scripted(4, 2, 3, 5))
    assert names(run.snapshots) == [
        "best-000000000160.safetensors",
        "state-000000000160.safetensors",
        "state.safetensors",
    ]
    longer = settings.model_copy(update={"kimg": 0.48})
    commit_all(run, images, longer, scripted(1, 6))
    assert names(run.snapshots) == [
        "best-000000000400.safetensors",
        "state-000000000400.safetensors",
        "state.safetensors",
    ]


def test_best_networks_are_those_of_the_best_tick(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(keep_states=5, evaluate_every_kimg=0.08)
    assert run.best() is None
    values = iter((4, 2, 3, 5))
    for tick in train(images, settings, measure=lambda sample: {"swd_absolute_valid": next(values)}):
        run.append(tick.snapshot)
        assert (run.best() is None) == (tick.images == 0)
    best = run.best()
    assert best is not None
    assert best.discriminator is not None
    assert (best.generator.kind, best.discriminator.kind) == ("generator", "discriminator")
    assert best.generator.card == best.discriminator.card
    assert best.generator.card.best == BestTick(metric="swd_absolute_valid", evaluate_images=256, value=2, images=160)
    assert best.generator.card.images == 160
    assert_is_of(best.generator, tensors_at(run, 0.16))
    assert_is_of(best.discriminator, tensors_at(run, 0.16))


def assert_is_of(network: Network | None, snapshot: dict[str, Tensor]) -> None:
    """It is the network in a snapshot."""
    assert network is not None
    prefix = {"generator": "average.", "discriminator": "discriminator."}[network.kind]
    part = {name: tensor for name, tensor in snapshot.items() if name.startswith(prefix)}
    assert_same({f"{prefix}{name}": tensor for name, tensor in network.tensors.items()}, part)


class Killed(BaseException):
    """Stands for kill -9: nothing that cleans up may run into it."""


def kill_before(monkeypatch: pytest.MonkeyPatch, what: str, images: int) -> None:
    """Ends the process before the tick at `images` does `what`: `commit`, `tidying`, or an export by its file."""
    save, unlink = Checkpoint.save, Path.unlink

    def dying_save(self: Any, path: Path) -> None:
        at = Run(path.parents[path.parent.name == "training_state"]).card()
        if what == "commit" and path.name == "state.safetensors" and self.card.images == images:
            raise Killed
        if what == path.name and at is not None and at.images == images:  # an export
            raise Killed
        save(self, path)

    def dying_unlink(self: Path, missing_ok: bool = False) -> None:
        newest = Run(self.parent.parent).card()
        if what == "tidying" and newest is not None and newest.images == images:
            raise Killed
        unlink(self, missing_ok)

    replace = Path.replace

    def dying_replace(self: Path, target: Path) -> Path:
        at = Run(self.parent).card()
        if what == target.name and target.suffix == ".json" and at is not None and at.images == images:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Checkpoint, "save", dying_save)
    monkeypatch.setattr(Path, "unlink", dying_unlink)
    monkeypatch.setattr(Path, "replace", dying_replace)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(
    ("what", "committed", "best"), [("commit", 160, 80), ("tidying", 240, 240)], ids=["before commit", "after commit"]
)
def test_killed_between_the_files_of_a_save_the_last_commit_is_what_counts(
    images: TrainingImages,
    make_settings: MakeSettings,
    run: Run,
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
            commit_all(run, images, settings, scripted(4, 5, 3))
    card = card_of(run)
    assert card.best is not None
    assert (card.images, card.best.images, best_of(run)) == (committed, best, best)
    # The course of training changes: now the tick at 240 is no longer the best.
    commit_all(run, images, settings, scripted(*([8] * (committed < 240)), 9))
    assert best_of(run) == best
    named = sorted({best} | ({80} if keep == 3 else set()))  # the state at 160 is kept, and 80 was best then
    assert names(run.snapshots) == [
        *(f"best-{images:012d}.safetensors" for images in named),
        *(f"state-{images:012d}.safetensors" for images in TICKS[5 - keep : 4]),
        "state.safetensors",
    ]


def test_nothing_stays_of_best_networks_that_were_half_written(
    images: TrainingImages, make_settings: MakeSettings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(keep_states=1, evaluate_every_kimg=0.08)
    write = safetensors.torch.save_file

    def dying_write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        write(tensors, path, metadata)
        if "best" in path.name and json.loads(metadata["card"])["images"] == 160:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", dying_write)
        with pytest.raises(Killed):
            commit_all(run, images, settings, scripted(4, 3))
    assert ".best.safetensors.partial" in names(run.snapshots)
    commit_all(run, images, settings, scripted(5, 3, 2))
    assert names(run.snapshots) == ["best-000000000320.safetensors", "state.safetensors"]


def test_best_of_an_earlier_snapshot_is_there_when_training_goes_back_to_it(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(keep_states=5, evaluate_every_kimg=0.08)
    commit_all(run, images, settings, scripted(4, 5, 1, 2))
    assert [name for name in names(run.snapshots) if name.startswith("best")] == [
        "best-000000000080.safetensors",  # the snapshots at 80 and 160 name it
        "best-000000000240.safetensors",
    ]
    back = settings.model_copy(update={"resume_from": 0.16, "kimg": 0.24})
    commit_all(run, images, back, scripted(6), kimg=0.16)
    assert best_of(run) == 80
    assert [name for name in names(run.snapshots) if name.startswith("best")] == ["best-000000000080.safetensors"]


def test_a_damaged_earlier_snapshot_does_not_stop_training(
    images: TrainingImages, make_settings: MakeSettings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(keep_states=3, evaluate_every_kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.16}), scripted(1, 2))
    (run.snapshots / "state-000000000080.safetensors").write_bytes(b"")  # as a power cut may leave it
    commit_all(run, images, settings, scripted(3, 4))
    assert "Ignoring an earlier snapshot that cannot be read" in caplog.text
    assert kept(run) == [160, 240]
    with pytest.raises(CheckpointError, match=r"no snapshot at 0\.08 kimg"):
        run.at(0.08)
    assert best_of(run) == 80


def test_best_networks_that_somebody_removed_are_read_from_their_export_or_replaced_by_the_last(
    images: TrainingImages, make_settings: MakeSettings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    commit_all(run, images, make_settings(evaluate_every_kimg=0.16), scripted(1, 2))
    whole = run.networks("best").generator
    assert whole.card.images == 160
    next(run.snapshots.glob("best-*")).unlink()
    best = run.networks("best").generator
    assert_same(best.tensors, whole.tensors)
    assert run.networks_card("best") == whole.card
    assert "is missing. Using the exported networks" in caplog.text
    assert run.finished()
    (run.folder / "best_generator.safetensors").unlink()
    assert run.best() is None
    assert "is missing, and not exported either" in caplog.text
    assert run.networks("best").generator.card.images == 320


def test_snapshots_are_kept_on_file_systems_without_hard_links(
    images: TrainingImages, make_settings: MakeSettings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    commit_all(run, images, make_settings(keep_states=2))
    assert names(run.snapshots) == ["state-000000000240.safetensors", "state.safetensors"]
    assert card_of(run, 0.24).images == 240


def test_ticks_hold_the_live_tensors_of_the_pair(images: TrainingImages, make_settings: MakeSettings) -> None:
    """Kedro keeps dozens of past ticks alive: a copy in each would fill the memory."""
    ticks = list(train(images, make_settings(evaluate_every_kimg=0.08), measure=scripted(4, 3, 2, 1)))
    pointers = [
        {
            name: tensor.data_ptr()
            for part in (tick.networks.generator, tick.networks.discriminator)
            if part is not None
            for name, tensor in part.tensors.items()
        }
        | {name: tensor.data_ptr() for name, tensor in tick.snapshot.tensors.items() if "optimizer" not in name}
        for tick in ticks
    ]
    assert all(one == pointers[0] for one in pointers)


def exported(run: Run, name: str) -> Network:
    """A network's file, after a look at the card beside it."""
    network = Checkpoint.load(run.folder / f"{name}.safetensors", name.removeprefix("best_"), ModelCard)
    stored = json.loads((run.folder / f"{name}.json").read_text())
    assert {**stored, "format_version": 2} == network.card.to_json()
    return network


def test_exported_files_follow_the_newest_snapshot(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(keep_states=5, evaluate_every_kimg=0.08)
    values = iter((4, 2, 3, 1))
    best = {0: None, 80: 80, 160: 160, 240: 160, 320: 320}
    for tick in train(images, settings, measure=lambda sample: {"swd_absolute_valid": next(values)}):
        run.append(tick.snapshot)
        for kind in ("generator", "discriminator"):
            network = exported(run, kind)
            assert network.card == tick.snapshot.card.of_networks() == run.networks_card()
            assert_is_of(network, tensors_at(run))
            at = best[tick.images]
            assert (run.folder / f"best_{kind}.safetensors").is_file() == (at is not None)
            if at is not None:
                network = exported(run, f"best_{kind}")
                assert network.card.images == at
                assert_is_of(network, tensors_at(run, at / 1000))
        assert run.finished() == (tick.images == 320)
    files = [f"{prefix}{kind}.{end}" for prefix in ("", "best_") for kind in ("generator", "discriminator")
             for end in ("json", "safetensors")]  # fmt: skip
    assert names(run.folder) == sorted([*files, "training_state"])


def test_a_finished_training_without_a_measurement_exports_the_last_networks_as_the_best(
    images: TrainingImages, make_settings: MakeSettings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(evaluate_every_kimg=None)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.24}))
    commit_all(run, images, settings)
    assert run.finished()
    for kind in ("generator", "discriminator"):
        last, best = exported(run, kind), exported(run, f"best_{kind}")
        assert last.card == best.card
        assert best.card.images == 320
        assert_same(last.tensors, best.tensors)
    with caplog.at_level(logging.INFO):
        assert run.networks("best").generator.card.images == 320
    assert "There are no best networks" in caplog.text


def test_an_unfinished_training_is_not_finished_whatever_is_exported(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    assert not run.finished()
    assert not run.has_snapshot()
    assert run.networks_card() is None
    commit_all(run, images, make_settings(kimg=0.08, evaluate_every_kimg=0.08), scripted(1))
    assert run.has_snapshot()
    assert run.finished()
    stream = train(images, make_settings(kimg=0.24, tick_kimg=0.08), run.newest())
    run.append(next(stream).snapshot)
    assert not run.finished()


EXPORTS = [f"{prefix}{kind}" for prefix in ("", "best_") for kind in ("generator", "discriminator")]
KILLS = [(name, end, at) for name in EXPORTS for end in ("safetensors", "json") for at in (240, 320)]
QUICK = [
    ("generator", "safetensors", 240),
    ("generator", "json", 320),
    ("best_discriminator", "safetensors", 320),
    ("best_discriminator", "json", 240),
]


@pytest.mark.parametrize(
    ("name", "end", "at"), [pytest.param(*kill, marks=[] if kill in QUICK else pytest.mark.slow) for kill in KILLS]
)
def test_killed_between_commit_and_exports_the_snapshot_counts_and_the_next_append_repairs_them(
    images: TrainingImages,
    make_settings: MakeSettings,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    end: str,
    at: int,
) -> None:
    """The tick at which it is killed is the best."""
    settings = make_settings(evaluate_every_kimg=0.08)
    values = [4, 5, *([3] if at == 240 else [6, 3])]
    with monkeypatch.context() as patch:
        kill_before(patch, f"{name}.{end}", at)
        with pytest.raises(Killed):
            commit_all(run, images, settings, scripted(*values))
    assert not run.finished()
    for which in ("last", "best"):
        networks = run.networks(which)
        assert_is_of(networks.generator, tensors_at(run))
        assert_is_of(networks.discriminator, tensors_at(run))
        assert networks.generator.card.images == at
    assert run.networks_card() == networks.generator.card

    commit_all(run, images, settings, scripted(9))  # of a finished run it appends the last tick once more
    assert run.finished()
    for export in EXPORTS:
        network = exported(run, export)
        assert network.card.images == (at if export.startswith("best_") else 320)
    assert_is_of(exported(run, "generator"), tensors_at(run))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("generator.safetensors", "missing"),
        ("best_discriminator.safetensors", "damaged"),
        ("best_generator.json", "missing"),
        *(
            pytest.param(f"{export}.safetensors", damage, marks=pytest.mark.slow)
            for export in EXPORTS
            for damage in ("missing", "damaged")
        ),
        *(pytest.param(f"{export}.json", "missing", marks=pytest.mark.slow) for export in EXPORTS),
    ],
)
def test_exports_that_are_missing_or_damaged_are_repaired_by_the_next_append(
    images: TrainingImages, make_settings: MakeSettings, run: Run, name: str, damage: str
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings, scripted(4, 3, 5, 6))
    whole = (run.folder / name).read_bytes()
    if damage == "missing":
        (run.folder / name).unlink()
    else:
        (run.folder / name).write_bytes(b"<html>quota exceeded</html>")
    assert not run.finished()
    commit_all(run, images, settings)
    assert (run.folder / name).read_bytes() == whole
    assert run.finished()


def test_a_run_whose_best_networks_somebody_removed_still_finishes(
    images: TrainingImages, make_settings: MakeSettings, run: Run
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.24}), scripted(4, 1, 5))
    next(run.snapshots.glob("best-*")).unlink()
    for name in ("best_generator", "best_discriminator"):
        (run.folder / f"{name}.safetensors").unlink()
    commit_all(run, images, settings, scripted(6))
    assert run.finished()
    assert exported(run, "best_generator").card.images == exported(run, "best_discriminator").card.images == 320


def test_without_a_snapshot_the_exported_files_are_read(
    images: TrainingImages,
    make_settings: MakeSettings,
    make_card: Callable[..., ModelCard],
    run: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    commit_all(run, images, make_settings(evaluate_every_kimg=0.08), scripted(4, 3, 5, 6))
    networks = {which: run.networks(which) for which in ("last", "best")}
    card = run.networks_card()
    shutil.rmtree(run.snapshots)
    assert (run.card(), run.newest(), run.best(), run.has_snapshot(), run.finished()) == (
        None,
        None,
        None,
        False,
        False,
    )
    assert run.networks_card() == card
    for which, before in networks.items():
        after = run.networks(which)
        for ours, theirs in ((after.generator, before.generator), (after.discriminator, before.discriminator)):
            assert ours is not None
            assert theirs is not None
            assert (ours.kind, ours.card) == (theirs.kind, theirs.card)
            assert_same(ours.tensors, theirs.tensors)
    caplog.set_level(logging.INFO)
    Checkpoint("discriminator", make_card(id="another"), {"a": torch.zeros(1)}).save(
        run.folder / "best_discriminator.safetensors"
    )
    assert run.networks("best").discriminator is None
    assert "belongs to another training" in caplog.text
    for name in ("best_generator", "best_discriminator", "discriminator"):
        (run.folder / f"{name}.safetensors").unlink()
    alone = run.networks("best")
    assert (alone.generator.card.images, alone.discriminator) == (320, None)
    assert "has no discriminator beside it" in caplog.text
    (run.folder / "generator.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no trained generator at .*demo.generator\.safetensors"):
        run.networks()


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def damage(path: Path, how: str) -> None:
    """A disk's damage; the tensor is one of the networks."""
    size = path.stat().st_size
    if how == "a bit of a tensor":
        content = path.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        tensors = json.loads(content[8:header])
        flip(path, header + next(tensors[name]["data_offsets"][0] for name in tensors if name.startswith("average.")))
    elif how == "a bit of the card":
        flip(path, path.read_bytes().index(b"dcgan"))
    else:
        path.write_bytes(path.read_bytes()[: {"empty": 0, "half": size // 2, "short": size - 1}[how]])


def ends_as_undisturbed(run: Run, images: TrainingImages, settings: TrainSettings, folder: Path) -> None:
    """Trains from the tick at 160 images to the end, as a training whose files nobody touched."""
    undisturbed = Run(folder / "undisturbed")
    commit_all(undisturbed, images, settings, scripted(4, 2, 3, 5))
    commit_all(run, images, settings, scripted(3, 5))
    assert_same(tensors_at(run), tensors_at(undisturbed))
    assert kept(run) == [240]
    assert run.finished()


HOW = [
    "a bit of a tensor",
    "half",
    *(pytest.param(how, marks=pytest.mark.slow) for how in ("a bit of the card", "empty", "short")),
]


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_snapshot_costs_one_tick(
    images: TrainingImages,
    make_settings: MakeSettings,
    run: Run,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.24}), scripted(4, 2, 3))
    damage(run.snapshots / "state.safetensors", how)
    snapshot = run.newest()
    assert snapshot is not None
    assert snapshot.card.images == 160
    assert_is_of(run.networks().generator, snapshot.tensors)
    assert "state.safetensors is" in caplog.text  # damaged, or no longer a checkpoint
    assert caplog.text.count("Using the snapshot before it, state-000000000160.safetensors") == 1
    ends_as_undisturbed(run, images, settings, tmp_path)


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_snapshot_without_another_is_refused_naming_it(
    images: TrainingImages, make_settings: MakeSettings, run: Run, how: str
) -> None:
    commit_all(run, images, make_settings(kimg=0.08, keep_states=1))
    damage(run.snapshots / "state.safetensors", how)
    for read in (run.newest, run.networks):
        with pytest.raises(CheckpointError, match=r"state\.safetensors is (damaged|not a checkpoint)"):
            read()


@pytest.mark.parametrize(
    "also",
    ["none", "everything else", *(pytest.param(also, marks=pytest.mark.slow) for also in ("the exports", "the best"))],
)
def test_a_missing_newest_snapshot_costs_one_tick(
    images: TrainingImages,
    make_settings: MakeSettings,
    run: Run,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    also: str,
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.24}), scripted(4, 2, 3))
    (run.snapshots / "state.safetensors").unlink()
    if also in ("the exports", "everything else"):
        for path in run.folder.glob("*.*"):
            path.unlink()
    if also in ("the best", "everything else"):
        next(run.snapshots.glob("best-*")).unlink()
    assert run.has_snapshot()
    snapshot = run.newest()
    assert snapshot is not None
    assert snapshot.card.images == 160
    assert card_of(run, 0.16).images == 160
    assert_is_of(run.networks().generator, snapshot.tensors)
    newest = run.snapshots / "state.safetensors"
    (said,) = [one.getMessage() for one in caplog.records if newest.name in one.getMessage()]
    assert said == f"{newest} is missing. Using the snapshot before it, state-000000000160.safetensors"
    ends_as_undisturbed(run, images, settings, tmp_path)


def test_of_several_snapshots_the_newest_whole_one_is_read(
    images: TrainingImages, make_settings: MakeSettings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    commit_all(run, images, make_settings(keep_states=4))
    (run.snapshots / "state.safetensors").unlink()
    damage(run.snapshots / "state-000000000240.safetensors", "half")
    snapshot = run.newest()
    assert snapshot is not None
    assert snapshot.card.images == 160
    assert "state.safetensors is missing; " in caplog.text
    assert "state-000000000240.safetensors is" in caplog.text
    for count in kept(run):
        (run.snapshots / f"state-{count:012d}.safetensors").unlink()
    assert not run.has_snapshot()
    assert run.newest() is None


@pytest.mark.parametrize("newest", ["missing", "damaged"])
def test_if_not_one_snapshot_is_whole_all_are_named(
    images: TrainingImages, make_settings: MakeSettings, run: Run, newest: str
) -> None:
    commit_all(run, images, make_settings(keep_states=3))
    for count in kept(run):
        damage(run.snapshots / f"state-{count:012d}.safetensors", "half")
    if newest == "missing":
        (run.snapshots / "state.safetensors").unlink()
    else:
        damage(run.snapshots / "state.safetensors", "a bit of a tensor")
    for read in (run.newest, run.networks):
        with pytest.raises(CheckpointError) as caught:
            read()
        message = str(caught.value)
        assert f"state.safetensors is {newest}" in message
        assert [message.count(f"state-{count:012d}.safetensors is") for count in kept(run)] == [1, 1]
        assert "train.resume=false" in message


@pytest.mark.parametrize("name", EXPORTS)
def test_one_wrong_bit_of_an_exported_network_is_found_and_repaired(
    images: TrainingImages, make_settings: MakeSettings, run: Run, name: str
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings, scripted(4, 3, 5, 6))
    path = run.folder / f"{name}.safetensors"
    whole = path.read_bytes()
    flip(path, len(whole) - 10)
    assert not run.finished()
    with pytest.raises(CheckpointError, match=rf"{name}\.safetensors is damaged: the checksum of the tensor"):
        Checkpoint.load(path, name.removeprefix("best_"), ModelCard)
    commit_all(run, images, settings)
    assert path.read_bytes() == whole
    assert run.finished()


def test_damaged_best_networks_are_read_from_their_export_and_stop_no_training(
    images: TrainingImages, make_settings: MakeSettings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    commit_all(run, images, settings.model_copy(update={"kimg": 0.24}), scripted(4, 1, 5))
    whole = run.best()
    assert whole is not None
    path = next(run.snapshots.glob("best-*"))
    flip(path, path.stat().st_size - 10)
    best = run.best()
    assert best is not None
    assert_same(best.generator.tensors, whole.generator.tensors)
    assert "Using the exported networks" in caplog.text
    (run.folder / "best_generator.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is damaged: the checksum of the tensor"):
        run.best()
    commit_all(run, images, settings, scripted(6))
    assert "the best networks of this training are lost" in caplog.text
    assert run.finished()
    assert exported(run, "best_generator").card.images == 320


def test_a_snapshot_of_another_format_version_is_refused(
    images: TrainingImages, make_settings: MakeSettings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunCard, "version", 1)
        run.append(next(train(images, make_settings())).snapshot)
    for read in (run.newest, run.card, run.networks, run.finished):
        with pytest.raises(CheckpointError, match=r"state\.safetensors has format version 1 .* reads 2 to 2"):
            read()


@pytest.mark.parametrize(
    "what",
    ["state.safetensors", *(pytest.param(f"{it}.safetensors", marks=pytest.mark.slow) for it in ("best", "generator"))],
)
def test_a_full_disk_at_any_file_of_a_save_costs_one_tick(
    images: TrainingImages,
    make_settings: MakeSettings,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    settings = make_settings(evaluate_every_kimg=0.08)
    undisturbed = Run(tmp_path / "undisturbed")
    commit_all(undisturbed, images, settings, scripted(4, 3, 5, 6))
    write = safetensors.torch.save_file

    def fill_up(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        if path.name == what and json.loads(metadata["card"])["images"] == 160:
            path.write_bytes(b"half of it")
            raise safetensors.SafetensorError("No space left on device (os error 28)")
        write(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", fill_up)
        with pytest.raises(OSError, match=rf"{what} could not be written: No space left"):
            commit_all(run, images, settings, scripted(4, 3, 5, 6))
    committed = 160 if what == "generator.safetensors" else 80
    assert card_of(run).images == committed
    commit_all(run, images, settings, scripted(*([3] * (committed < 160)), 5, 6))
    assert_same(tensors_at(run), tensors_at(undisturbed))
    assert {path.name for path in run.folder.rglob("*")} == {path.name for path in undisturbed.folder.rglob("*")}
