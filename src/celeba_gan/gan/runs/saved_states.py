"""The states of one training on disk: the newest, earlier ones that are kept, and the networks that measured best."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_card

logger = logging.getLogger(__name__)

STATE, BEST = "training_state", "best_networks"  # the kinds of the files
_OF_THE_STATE = ("iteration", "course", "identity", "hardware", "health", "keep")  # not in the networks' cards


class SavedStates:
    """A folder of states, of which one file is the truth.

    `state.safetensors` is the newest state; replacing it is the commit. `state-<images>.safetensors` are earlier ones.
    `best-<images>.safetensors` has the networks that measured best, as long as a state there names them: those of a
    tick that was killed before its commit are named by none, and go with the next one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = folder / "state.safetensors"

    def kept(self) -> dict[int, Path]:
        """The earlier states, by the images shown before them."""
        return self._files("state")

    def card(self, kimg: float | None = None) -> dict[str, Any] | None:
        """The card of a state without its tensors; None where there is no state.

        Args:
            kimg: Thousand images shown before it; None: the newest.

        Raises:
            CheckpointError: It is damaged, or there are states, but not this one.
        """
        path = self._path(kimg)
        return None if path is None else read_card(path, STATE)

    def load(self, kimg: float | None = None) -> Checkpoint | None:
        """Reads a state; otherwise as `card`."""
        path = self._path(kimg)
        return None if path is None else Checkpoint.load(path, STATE)

    def load_best(self) -> tuple[Checkpoint, Checkpoint] | None:
        """The averaged generator and the discriminator of the best measured tick, as far as it is committed.

        None where nothing has been measured. Where somebody removed the file, that is said, and None as well.
        """
        card = self.card()
        if card is None or card.get("best") is None:
            return None
        path = self._file("best", card["best"]["images"])
        if not path.is_file():
            logger.warning("The best networks measured so far are gone: there is no %s", path)
            return None
        best = Checkpoint.load(path, BEST)
        generator, discriminator = (
            {
                name.removeprefix(f"{who}."): tensor
                for name, tensor in best.tensors.items()
                if name.startswith(f"{who}.")
            }
            for who in ("average", "discriminator")
        )
        return Checkpoint("generator", best.card, generator), Checkpoint("discriminator", best.card, discriminator)

    def save(self, state: Checkpoint) -> None:
        """Commits a state, and removes what its card's `keep` does not ask for.

        States that are not on the way to this one belong to a course of training that was left: they go, too.
        """
        card = state.card
        images, best, keep = card["images"], card.get("best"), card.get("keep", {"states": 1, "best": False})
        if best is not None and best["images"] == images:
            self._save_best(state)
        before = self.card()
        earlier = {count for count in (*self.kept(), *([before["images"]] if before else [])) if count < images}
        earlier &= set(card.get("course", earlier))
        wanted = set(sorted(earlier, reverse=True)[: keep["states"] - 1])
        if keep["best"] and best is not None:
            wanted |= earlier & {best["images"]}
        if before is not None and before["images"] in wanted:
            self._keep_newest(before["images"])

        state.save(self.newest)  # the commit

        for count, path in self.kept().items():
            if count not in wanted:
                path.unlink()
        named = {one["best"]["images"] for one in [card, *self._kept_cards()] if one.get("best") is not None}
        for count, path in self._files("best").items():
            if count not in named:
                path.unlink()

    def _path(self, kimg: float | None) -> Path | None:
        if kimg is None:
            return self.newest if self.newest.is_file() else None
        newest = self.card()
        there: dict[int, Path] = self.kept() | ({newest["images"]: self.newest} if newest else {})
        if (images := round(kimg * 1000)) in there:
            return there[images]
        listed = ", ".join(f"{count / 1000:g}" for count in sorted(there)) or "none"
        raise CheckpointError(
            f"train.resume_from asks for the state at {kimg:g} kimg, and {self.folder} has none of it. There are: "
            f"{listed} (train.keep_states says how many are kept)"
        )

    def _kept_cards(self) -> Iterator[dict[str, Any]]:
        """The cards of the earlier states; a damaged one, which is not needed to go on, is said and left alone."""
        for path in self.kept().values():
            try:
                yield read_card(path, STATE)
            except CheckpointError as error:
                logger.warning("A kept state is of no use any more, training goes on without it: %s", error)

    def _save_best(self, state: Checkpoint) -> None:
        card = {name: value for name, value in state.card.items() if name not in _OF_THE_STATE}
        tensors = {
            name: tensor for name, tensor in state.tensors.items() if name.startswith(("average.", "discriminator."))
        }
        written = self.folder / "best.safetensors"  # one name for all, so that nothing of a killed process stays
        Checkpoint(BEST, card, tensors).save(written)
        written.replace(self._file("best", card["images"]))

    def _keep_newest(self, images: int) -> None:
        """Gives the newest state a second name, so that it outlives the commit of the next one."""
        name = self._file("state", images)
        name.unlink(missing_ok=True)
        try:
            os.link(self.newest, name)
        except OSError:  # a file system without hard links
            staging = self.folder / ".kept.partial"
            shutil.copyfile(self.newest, staging)
            staging.replace(name)

    def _file(self, what: str, images: int) -> Path:
        return self.folder / f"{what}-{images:012d}.safetensors"

    def _files(self, what: str) -> dict[int, Path]:
        files = self.folder.glob(f"{what}-{'[0-9]' * 12}.safetensors")
        return {int(path.stem.removeprefix(f"{what}-")): path for path in sorted(files)}
