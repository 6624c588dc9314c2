"""Networks and training states."""

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from celeba_gan.foundation.files import staged
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_card
from celeba_gan.gan.runs.experiments import Experiments
from celeba_gan.gan.runs.saved_states import SavedStates


class NetworkDataset(AbstractDataset[Checkpoint, Checkpoint | None]):
    """A network as `<filepath>.safetensors`, with its card also as `<filepath>.json` for people and other tools.

    The file name ends with what it is: `generator` or `discriminator`. The card in the safetensors header is the one
    that is read, since it cannot disagree with the weights.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None, missing_ok: bool = False) -> None:
        """Names the files.

        Args:
            filepath: Without the endings.
            metadata: Left to hooks and kedro-viz.
            missing_ok: Load None where there is no network, rather than fail.
        """
        self._filepath = Path(filepath)
        self.missing_ok = missing_ok
        self.weights = self._filepath.with_name(f"{self._filepath.name}.safetensors")
        self.json = self._filepath.with_name(f"{self._filepath.name}.json")
        self.kind = self._filepath.name.rpartition("_")[2]
        self.metadata = metadata

    def card(self) -> dict[str, Any] | None:
        """The network's card without its weights; None when there is none."""
        return read_card(self.weights, self.kind) if self.weights.is_file() else None

    def load(self) -> Checkpoint | None:
        """Reads card and weights.

        Raises:
            CheckpointError: It is damaged, or missing and `missing_ok` is not set.
        """
        if not self.weights.is_file():
            if self.missing_ok:
                return None
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


class BestNetworkDataset(NetworkDataset):
    """A network of the best measured tick: it exists when it is the one that the newest training state names.

    Where training went on and was killed before it chose, `--only-missing-outputs` chooses anew.
    """

    def __init__(self, filepath: str, state: str, metadata: dict[str, Any] | None = None) -> None:
        """Names the network's file, and the folder of its training's states."""
        super().__init__(filepath, metadata)
        self._states = SavedStates(Path(state))

    def _exists(self) -> bool:
        card, state = self.card(), self._states.card()
        if not super()._exists() or card is None or state is None:
            return super()._exists()
        chosen = {state["images"], (state.get("best") or state)["images"]}  # the last one where none was measured
        return card["id"] == state["id"] and card["images"] in chosen


class TrainingStateDataset(AbstractDataset[Checkpoint, Checkpoint | None]):
    """The complete states of a training in the folder `filepath`: the newest, and those that are kept (`SavedStates`).

    It exists when training has finished; an unfinished state can be loaded all the same.
    """

    def __init__(
        self,
        filepath: str,
        missing_ok: bool = False,
        resume_from: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Names the folder.

        Args:
            filepath: The folder.
            missing_ok: Load None where there is no state, rather than fail.
            resume_from: Load the kept state at this many thousand images; None: the newest.
            metadata: Left to hooks and kedro-viz.
        """
        self._filepath = Path(filepath)
        self._states = SavedStates(self._filepath)
        self.file = self._states.newest
        self.missing_ok = missing_ok
        self.resume_from = resume_from
        self.metadata = metadata

    def card(self) -> dict[str, Any] | None:
        """The state's card without its tensors; None when there is no state."""
        return self._states.card(self.resume_from)

    def load(self) -> Checkpoint | None:
        """Reads card and tensors.

        Raises:
            CheckpointError: The file is damaged, or missing and `missing_ok` is not set; or there are states, but not
                the one to resume from.
        """
        state = self._states.load(self.resume_from)
        if state is None and not self.missing_ok:
            raise CheckpointError(f"There is no training state at {self._filepath}")
        return state

    def save(self, data: Checkpoint) -> None:
        """Writes the state, complete or not at all, and removes those that its card no longer asks to keep."""
        self._states.save(data)

    def _exists(self) -> bool:
        card = self._states.card()
        return card is not None and bool(card["finished"])

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "missing_ok": self.missing_ok}


class BestMeasuredDataset(AbstractDataset[Any, tuple[Checkpoint, Checkpoint] | None]):
    """The networks of the best measured tick, read from the folder of the training's states.

    Saving a state keeps them there; None where nothing has been measured.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._states = SavedStates(self._filepath)
        self.metadata = metadata

    def load(self) -> tuple[Checkpoint, Checkpoint] | None:
        """The averaged generator and the discriminator.

        Raises:
            CheckpointError: The file is damaged.
        """
        return self._states.load_best()

    def save(self, data: Any) -> None:
        """Refuses: they are saved with their training's state.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("The best measured networks are saved with their training's state")

    def _exists(self) -> bool:
        card = self._states.card()
        return card is not None and card.get("best") is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ExperimentsDataset(AbstractDataset[Any, Experiments]):
    """The folder in which every experiment has its folder of networks; a training may start from one of them."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Experiments:
        """Where they are; nothing is read yet."""
        return Experiments(self._filepath)

    def save(self, data: Any) -> None:
        """Refuses: experiments are saved one by one.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Experiments are saved one by one, by training")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
