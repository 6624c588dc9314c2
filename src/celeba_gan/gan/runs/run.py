"""The home of a training on disk: its snapshots, the best networks, and the files that other programs read."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from celeba_gan.foundation.documents import VERSION_KEY
from celeba_gan.foundation.files import staged
from celeba_gan.foundation.wording import stage_command
from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Card, Checkpoint, CheckpointError, DamagedError, read_card
from celeba_gan.gan.runs.snapshot import (
    BEST,
    SNAPSHOT,
    WEIGHTS,
    Networks,
    Snapshot,
    networks_of,
    read_best,
    read_networks,
    save_best,
)

logger = logging.getLogger(__name__)

Content = TypeVar("Content")
Which = Literal["last", "best"]
GENERATOR = "generator.safetensors"
_FILES = (GENERATOR, "discriminator.safetensors")
_ALL_DAMAGED = (
    "Restore one of them, or start anew with --params train.resume=false (the old results are set aside, not deleted)"
)


class Run:
    """A folder that holds one training.

    `training_state/` is the truth: `state.safetensors` is the newest snapshot, replacing it is the commit;
    `state-<images>.safetensors` are earlier snapshots; `best-<images>.safetensors` has the networks of the best tick as
    long as a snapshot names it. Everything else (`generator`, `discriminator`, `best_generator`, `best_discriminator`,
    each as `.safetensors` and its card as `.json`) is exported from there for people and other programs, and is read
    only where there is no snapshot.

    Where the newest snapshot is damaged or missing, the one before it is read, with a warning: training loses one tick.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots = folder / "training_state"
        self._newest = self.snapshots / "state.safetensors"
        self._said: set[Path] = set()  # snapshots read in place of a damaged one, which has been logged

    def card(self, kimg: float | None = None) -> RunCard | None:
        """The card of the newest snapshot, None if there is none; or of that at so many thousand images.

        Raises:
            CheckpointError: It is damaged, or there is no snapshot of this `kimg`.
        """
        return self._first_whole(self._paths(kimg), lambda path: read_card(path, SNAPSHOT, RunCard))

    def at(self, kimg: float | None) -> Snapshot | None:
        """Reads a snapshot; otherwise as `card`, which reads no tensors and does not know whether they are damaged."""
        return self._first_whole(self._paths(kimg), lambda path: Checkpoint.load(path, SNAPSHOT, RunCard))

    def newest(self) -> Snapshot | None:
        """Reads the newest snapshot; otherwise as `card`."""
        return self.at(None)

    def newest_weights(self) -> tuple[Path, Snapshot] | None:
        """Reads the networks of the newest snapshot, without optimisers, and returns its file; otherwise as `card`."""
        return self._first_whole(
            self._paths(None), lambda path: (path, Checkpoint.load(path, SNAPSHOT, RunCard, WEIGHTS))
        )

    def best(self) -> Networks | None:
        """Reads the networks of the best tick; None where nothing has been measured, or their files were removed.

        Raises:
            CheckpointError: Their file is damaged, and so is the exported one.
        """
        card = self.card()
        if card is None or card.best is None:
            return None
        path, is_exported = self._file("best", card.best.images), self._is_best_exported(card)
        finding = f"{path} is missing"
        if path.is_file():
            try:
                return read_best(path)
            except DamagedError as error:
                if not is_exported:
                    raise
                finding = error.finding
        if not is_exported:
            logger.warning("%s, and not exported either: the best networks of this training are lost", finding)
            return None
        logger.warning("%s. Using the exported networks in %s, which are the same", finding, self.folder)
        return read_exported(self._exported("best"))

    def networks(self, which: Which = "last") -> Networks:
        """Reads the networks of the last tick or of the best one: the last where nothing has been measured.

        Raises:
            CheckpointError: A file is damaged, or there is no generator in the folder.
        """
        if which == "best" and (best := self.best()) is not None:
            return best
        if self.has_snapshot():
            if which == "best":
                logger.info("There are no best networks in %s: using the last ones", self.folder)
            networks = self._first_whole(self._paths(None), read_networks)
            assert networks is not None
            return networks
        file = self._exported(which)
        if which == "best" and file.name == GENERATOR:
            logger.info("There are no best networks in %s: using the last ones", self.folder)
        return read_exported(file)

    def networks_card(self, which: Which = "last") -> ModelCard | None:
        """The card of the pair that `networks` reads; None if the folder has no networks."""
        card = self.card()
        if card is None:
            path = self._exported(which)
            return read_card(path, "generator", ModelCard) if path.is_file() else None
        if which == "best" and card.best is not None:
            if (path := self._file("best", card.best.images)).is_file():
                return read_card(path, BEST, ModelCard)
            if self._is_best_exported(card):
                return read_card(self._exported("best"), "generator", ModelCard)
        return card.of_networks()

    def _exported(self, which: Which) -> Path:
        best = self.folder / f"best_{GENERATOR}"
        return best if which == "best" and best.is_file() else self.folder / GENERATOR

    def has_snapshot(self) -> bool:
        """Whether there is anything to resume from."""
        return self._newest.is_file() or bool(self._files("state"))

    def finished(self) -> bool:
        """Whether the training has reached its length, and its networks are exported."""
        card = self.card()
        if card is None or not card.finished:
            return False
        return all(self._is_exported(prefix, card.id, images) for prefix, images in self._exports(card).items())

    def append(self, snapshot: Snapshot) -> None:
        """Commits a snapshot, removes those that its card does not `keep`, and exports its networks.

        Snapshots that are not on the way to this one belong to a branch that was left by `train.resume_from`, and are
        removed too.
        """
        card = snapshot.card
        if card.best is not None and card.best.images == card.images:
            written = self.snapshots / "best.safetensors"  # one name for all, so that nothing of a killed process stays
            save_best(snapshot, written)
            written.replace(self._file("best", card.images))
        before = self._card_of_newest()
        kept = self._wanted(card, before)
        if before is not None and before.images in kept:
            self._keep_newest(before.images)

        snapshot.save(self._newest)  # the commit

        for count, path in self._files("state").items():
            if count not in kept:
                path.unlink()
        named = {one.best.images for one in [card, *self._kept_cards()] if one.best is not None}
        for count, path in self._files("best").items():
            if count not in named:
                path.unlink()
        try:
            self._export(snapshot)
        except DamagedError as error:
            logger.warning("%s. Removed it: the best networks of this training are lost", error.finding)
            self._file("best", card.best.images if card.best else 0).unlink(missing_ok=True)
            self._export(snapshot)

    def _wanted(self, card: RunCard, before: RunCard | None) -> set[int]:
        """The earlier snapshots that stay, by images."""
        there = {*self._files("state"), *([before.images] if before else [])}
        earlier = {count for count in there & set(card.history) if count < card.images}
        wanted = set(sorted(earlier, reverse=True)[: card.keep.states - 1])
        return wanted | (earlier & {card.best.images}) if card.keep.best and card.best is not None else wanted

    def _export(self, snapshot: Snapshot) -> None:
        """Writes the networks' own files, for people and other programs."""
        card = snapshot.card
        for prefix, images in self._exports(card).items():
            if images == card.images:
                networks = networks_of(card.of_networks(), snapshot.tensors)
            elif not self._is_exported(prefix, card.id, images):
                networks = read_best(self._file("best", images))
            else:
                continue
            for network in (networks.generator, networks.discriminator):
                if network is not None:
                    export(network, self.folder / f"{prefix}{network.kind}")

    def _exports(self, card: RunCard) -> dict[str, int]:
        """Which networks are exported, by the prefix of their files: the images of their tick."""
        if card.best is not None and (self._file("best", card.best.images).is_file() or self._is_best_exported(card)):
            return {"": card.images, "best_": card.best.images}
        return {"": card.images, "best_": card.images} if card.finished else {"": card.images}

    def _is_exported(self, prefix: str, training: str, images: int) -> bool:
        """Whether the files of a pair are there, and those of a tick."""
        return all(_is_of(self.folder / f"{prefix}{name}", training, images) for name in _FILES)

    def _is_best_exported(self, card: RunCard) -> bool:
        """Whether the networks of the best tick are exported: those of their own file, if it is there."""
        return card.best is not None and self._is_exported("best_", card.id, card.best.images)

    def _paths(self, kimg: float | None) -> list[Path]:
        """The files of snapshots that may be read: the newest, and those before it; or that at so many images."""
        newest, earlier = self._card_of_newest(), self._files("state")
        if kimg is None:
            known = [count for count in earlier if newest is None or count in newest.history]
            return [self._newest, *(earlier[count] for count in reversed(known))] if self.has_snapshot() else []
        found = earlier | ({newest.images: self._newest} if newest else {})
        if (images := round(kimg * 1000)) in found:
            return [found[images]]
        there = ", ".join(f"{count / 1000:g}" for count in sorted(found)) or "none"
        raise CheckpointError(
            f"train.resume_from={kimg:g}: {self.snapshots} has no snapshot at {kimg:g} kimg. Snapshots: {there} "
            "(train.keep_states sets how many are kept)"
        )

    def _first_whole(self, paths: list[Path], read: Callable[[Path], Content]) -> Content | None:
        """Reads the first file that is whole, and logs a warning for those before it; None if there are no files.

        Raises:
            DamagedError: Not one is whole; all are named.
        """
        errors: list[DamagedError] = []
        for path in paths:
            try:
                if not path.is_file():
                    raise DamagedError(f"{path} is missing")
                content = read(path)
            except DamagedError as error:
                errors.append(error)
                continue
            if errors and path not in self._said:
                self._said.add(path)
                findings = "; ".join(error.finding for error in errors)
                logger.warning("%s. Using the snapshot before it, %s", findings, path.name)
            return content
        if len(errors) > 1:
            raise DamagedError("; ".join(error.finding for error in errors), _ALL_DAMAGED)
        if errors:
            raise errors[0]
        return None

    def _card_of_newest(self) -> RunCard | None:
        """That of the newest file alone; None if it is missing or damaged."""
        try:
            return read_card(self._newest, SNAPSHOT, RunCard) if self._newest.is_file() else None
        except DamagedError:
            return None

    def _kept_cards(self) -> Iterator[RunCard]:
        """The cards of the earlier snapshots; a damaged one, which resuming does not need, is logged and skipped."""
        for path in self._files("state").values():
            try:
                yield read_card(path, SNAPSHOT, RunCard)
            except CheckpointError as error:
                logger.warning("Ignoring an earlier snapshot that cannot be read: %s", error)

    def _keep_newest(self, images: int) -> None:
        """Gives the newest snapshot a second name, so that it outlives the commit of the next one."""
        name = self._file("state", images)
        name.unlink(missing_ok=True)
        try:
            os.link(self._newest, name)
        except OSError:  # a file system without hard links
            with staged(name) as staging:
                shutil.copyfile(self._newest, staging)

    def _file(self, what: str, images: int) -> Path:
        return self.snapshots / f"{what}-{images:012d}.safetensors"

    def _files(self, what: str) -> dict[int, Path]:
        files = self.snapshots.glob(f"{what}-{'[0-9]' * 12}.safetensors")
        return {int(path.stem.removeprefix(f"{what}-")): path for path in sorted(files)}


def read_exported(generator: Path) -> Networks:
    """Reads a generator's file, and the discriminator beside it if both are of one training.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it is not a generator.
    """
    if not generator.is_file():
        raise CheckpointError(
            f"There is no trained generator at {generator}. Train one ({stage_command('train')}), or name an "
            "experiment that has one with --params experiment=NAME"
        )
    network = Checkpoint.load(generator, "generator", ModelCard)
    beside = generator.with_name(generator.name.replace("generator", "discriminator"))
    if beside == generator or not beside.is_file():
        logger.info("%s has no discriminator beside it (%s)", generator, beside.name)
        return Networks(network, None)
    discriminator = Checkpoint.load(beside, "discriminator", ModelCard)
    if discriminator.card.id == network.card.id:
        return Networks(network, discriminator)
    logger.info("Ignoring %s: it belongs to another training than %s", beside, generator.name)
    return Networks(network, None)


def _is_of(path: Path, training: str, images: int) -> bool:
    """Whether an exported network is that of a tick; one that is missing or damaged is of none."""
    if not path.is_file() or not path.with_suffix(".json").is_file():
        return False
    try:
        card = Checkpoint.load(path, path.stem.rpartition("_")[2], ModelCard).card  # all of it, for its checksums
    except CheckpointError:
        return False
    return (card.id, card.images) == (training, images)


def export(checkpoint: Checkpoint[Card], path: Path) -> None:
    """Writes `<path>.safetensors`, and its card also as `<path>.json`.

    The card's file comes first, so that where the network is, its card is too.
    """
    card = {name: value for name, value in checkpoint.card.to_json().items() if name != VERSION_KEY}
    with staged(path.with_name(f"{path.name}.json")) as staging:
        staging.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    checkpoint.save(path.with_name(f"{path.name}.safetensors"))
