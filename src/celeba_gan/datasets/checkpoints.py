"""Networks and training states."""

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from celeba_gan.datasets.files import staged
from celeba_gan.gan.checkpoint import Checkpoint, CheckpointError, read_card


class NetworkDataset(AbstractDataset[Checkpoint, Checkpoint]):
    """A network as `<filepath>.safetensors`, with its card also as `<filepath>.json` for people and other tools.

    The file name says what it is: `generator` or `discriminator`. The card in the safetensors header is the one that
    is read, since it cannot disagree with the weights.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.weights = self._filepath.with_name(f"{self._filepath.name}.safetensors")
        self.json = self._filepath.with_name(f"{self._filepath.name}.json")
        self.kind = self._filepath.name
        self.metadata = metadata

    def card(self) -> dict[str, Any] | None:
        """The network's card without its weights; None when there is none."""
        return read_card(self.weights, self.kind) if self.weights.is_file() else None

    def load(self) -> Checkpoint:
        """Reads card and weights.

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        if not self.weights.is_file():
            raise CheckpointError(
                f"There is no trained {self.kind} at {self.weights}. Train one (kedro run --pipelines train), or name "
                "the experiment that has one with --params experiment=NAME"
            )
        return Checkpoint.load(self.weights, self.kind)

    def save(self, data: Checkpoint) -> None:
        """Writes weights and card, each complete or not at all."""
        data.save(self.weights)
        with staged(self.json) as staging:
            staging.write_text(json.dumps(data.card, indent=2) + "\n", encoding="utf-8")

    def _exists(self) -> bool:
        return self.weights.is_file() and self.json.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class TrainingStateDataset(AbstractDataset[Checkpoint, Checkpoint | None]):
    """The complete state of a training, in one file of the folder `filepath`.

    It exists when training has finished; an unfinished state can be loaded all the same.
    """

    def __init__(self, filepath: str, missing_ok: bool = False, metadata: dict[str, Any] | None = None) -> None:
        """Names the folder.

        Args:
            filepath: The folder.
            missing_ok: Load None where there is no state, rather than fail.
            metadata: Left to hooks and kedro-viz.
        """
        self._filepath = Path(filepath)
        self.file = self._filepath / "state.safetensors"
        self.missing_ok = missing_ok
        self.metadata = metadata

    def card(self) -> dict[str, Any] | None:
        """The state's card without its tensors; None when there is no state."""
        return read_card(self.file, "training_state") if self.file.is_file() else None

    def load(self) -> Checkpoint | None:
        """Reads card and tensors.

        Raises:
            CheckpointError: The file is damaged, or missing and `missing_ok` is not set.
        """
        if self.file.is_file():
            return Checkpoint.load(self.file, "training_state")
        if self.missing_ok:
            return None
        raise CheckpointError(f"There is no training state at {self._filepath}")

    def save(self, data: Checkpoint) -> None:
        """Writes the state, complete or not at all."""
        data.save(self.file)

    def _exists(self) -> bool:
        card = self.card()
        return card is not None and bool(card["finished"])

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "missing_ok": self.missing_ok}
