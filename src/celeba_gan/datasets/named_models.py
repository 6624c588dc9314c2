"""Networks that a parameter names: they are read where they lie, and never written."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.gan.runs.checkpoint import Checkpoint, read_card


class NamedNetworkDataset(AbstractDataset[Any, Checkpoint | None]):
    """A network's file that may have any name, in the place of a `NetworkDataset`."""

    def __init__(self, file: Path | None, kind: str, metadata: dict[str, Any] | None = None) -> None:
        """Names the file.

        Args:
            file: With its ending; None: there is no such network, and None is loaded.
            kind: `generator` or `discriminator`.
            metadata: Left to hooks and kedro-viz.
        """
        self.file = file
        self.kind = kind
        self.metadata = metadata

    def card(self) -> dict[str, Any] | None:
        """The network's card without its weights; None when there is no network."""
        return None if self.file is None else read_card(self.file, self.kind)

    def load(self) -> Checkpoint | None:
        """Reads card and weights.

        Raises:
            CheckpointError: The file is damaged, or of another kind.
        """
        return None if self.file is None else Checkpoint.load(self.file, self.kind)

    def save(self, data: Any) -> None:
        """Refuses: the file is not of this run's experiment.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"The {self.kind} of another model is only read")

    def _exists(self) -> bool:
        return self.file is None or self.file.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": None if self.file is None else str(self.file)}


class ComparedNetworksDataset(AbstractDataset[Any, tuple[str, Checkpoint, Checkpoint | None] | None]):
    """The networks that those measured are compared with: their name for people, generator and discriminator."""

    def __init__(
        self,
        label: str | None = None,
        generator: Path | None = None,
        discriminator: Path | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Names the files; without any, None is loaded.

        Args:
            label: Their name for people.
            generator: Its file.
            discriminator: Its file; None: there is none.
            metadata: Left to hooks and kedro-viz.
        """
        self._label = label
        self._generator = generator
        self._discriminator = discriminator
        self.metadata = metadata

    def load(self) -> tuple[str, Checkpoint, Checkpoint | None] | None:
        """Reads cards and weights.

        Raises:
            CheckpointError: A file is damaged, or of another kind.
        """
        if self._label is None or self._generator is None:
            return None
        judge = self._discriminator
        return (
            self._label,
            Checkpoint.load(self._generator, "generator"),
            None if judge is None else Checkpoint.load(judge, "discriminator"),
        )

    def save(self, data: Any) -> None:
        """Refuses: they are named with evaluate.compare_with.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("The networks to compare with are named with evaluate.compare_with, and only read")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"label": self._label, "filepath": None if self._generator is None else str(self._generator)}
