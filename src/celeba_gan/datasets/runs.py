"""The run of a training, and the attribute classifier."""

import json
from pathlib import Path
from typing import Literal

from kedro.io import DatasetError

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.datasets.previews import JSONPreview
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.foundation.settings import is_none
from celeba_gan.foundation.wording import stage_command
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, read_card
from celeba_gan.gan.runs.run import Run, export
from celeba_gan.gan.runs.snapshot import Snapshot


class RunDataset(FileDataset[Snapshot, Run | Snapshot | None]):
    """The folder of a training. Saving a snapshot appends it; it exists when training has finished.

    `part` is what to load: the `run`, which reads networks when they are needed, or the `snapshot` to resume from, if
    there is one: that at `resume_from` thousand images, or the newest.
    """

    def __init__(
        self,
        filepath: str,
        part: Literal["run", "snapshot"] = "run",
        resume_from: float | str | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        super().__init__(filepath, metadata)
        self.run = Run(self._filepath)
        self.part = part
        self.resume_from = None if resume_from is None or is_none(resume_from) else float(resume_from)

    def card(self) -> ModelCard | None:
        """The card of the networks, or of the snapshot that `load` reads; None if the folder has neither."""
        if self.part == "run":
            return self.run.networks_card()
        return None if (snapshot := self.run.at(self.resume_from)) is None else snapshot.card

    def load(self) -> Run | Snapshot | None:
        """Returns the run, or reads the snapshot.

        Raises:
            CheckpointError: The snapshot is damaged; or there are snapshots, but not the one to resume from.
        """
        return self.run if self.part == "run" else self.run.at(self.resume_from)

    def save(self, data: Snapshot) -> None:
        """Commits a snapshot, and exports its networks for other programs."""
        self.run.append(data)

    def preview(self) -> JSONPreview:
        """The card of the networks, or of the snapshot."""
        card = self.card()
        return JSONPreview(json.dumps({} if card is None else card.to_json()))

    def _exists(self) -> bool:
        return self.run.finished()


class ClassifierDataset(FileDataset[Checkpoint[ClassifierCard], Checkpoint[ClassifierCard] | None]):
    """An attribute classifier as `<filepath>.safetensors`, with its card also as `<filepath>.json`.

    With `missing_ok`, a missing classifier loads as None instead of raising.
    """

    kind = "classifier"

    def __init__(self, filepath: str, missing_ok: bool = False, metadata: Metadata | None = None) -> None:
        super().__init__(filepath, metadata)
        self.weights = Path(f"{filepath}.safetensors")
        self.missing_ok = missing_ok

    def card(self) -> ClassifierCard | None:
        """The classifier's card without its weights; None if there is none."""
        return read_card(self.weights, self.kind, ClassifierCard) if self.weights.is_file() else None

    def load(self) -> Checkpoint[ClassifierCard] | None:
        """Reads card and weights.

        Raises:
            DatasetError: There is none, and `missing_ok` is not set.
            CheckpointError: It is damaged.
        """
        if self.weights.is_file():
            return Checkpoint.load(self.weights, self.kind, ClassifierCard)
        if self.missing_ok:
            return None
        make = f"Make it with {stage_command('evaluate')}"
        raise DatasetError(f"There is no attribute classifier at {self.weights}. {make}")

    def save(self, data: Checkpoint[ClassifierCard]) -> None:
        """Writes weights and card, each complete or not at all."""
        export(data, self._filepath)

    def _exists(self) -> bool:
        return self.weights.is_file() and self.weights.with_suffix(".json").is_file()
