"""Checkpoints: tensors plus a card, on disk as safetensors with the card as JSON in the file's own header.

One file and one rename make a save atomic, reading the card needs no tensor, and loading a stranger's file runs no
code.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celeba_gan.foundation.documents import Document, DocumentError

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER = 100_000_000  # bytes, as in safetensors itself

Card = TypeVar("Card", bound=Document)


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this project, or of another kind or version."""


@dataclass(frozen=True)
class Checkpoint(Generic[Card]):
    """Named tensors and the card that describes them.

    The tensors may be the live ones of a training in progress: save at once, or copy.
    """

    kind: str
    card: Card
    tensors: "dict[str, Tensor]"

    def save(self, path: Path) -> None:
        """Writes the file, complete or not at all.

        The staging folder has a fixed name, so that the next save removes what a killed process left behind.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file  # imports torch, which reading a card does not need

        staging = path.parent / f".{path.name}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        card = {"kind": self.kind, **self.card.to_json()}
        # safetensors takes contiguous tensors only; strides are restored from the parameters on loading.
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        try:
            save_file(tensors, staging / path.name, metadata={"card": json.dumps(card)})
        except SafetensorError as error:  # a full disk, for one
            shutil.rmtree(staging)
            raise OSError(f"{path} could not be written: {error}") from error
        # safetensors makes its files readable by their owner only.
        umask = os.umask(0)
        os.umask(umask)
        (staging / path.name).chmod(0o666 & ~umask)
        with (staging / path.name).open("rb") as file:
            os.fsync(file.fileno())  # before the rename, or a power cut may leave an empty file under the name
        (staging / path.name).replace(path)
        staging.rmdir()

    @classmethod
    def load(
        cls, path: Path, kind: str, card: type[Card], prefixes: tuple[str, ...] | None = None
    ) -> "Checkpoint[Card]":
        """Reads a checkpoint of this kind, its tensors to the CPU: all, or those whose names have one of the prefixes.

        Raises:
            CheckpointError: The file is damaged, not a checkpoint, of another kind, or of an unknown format version.
        """
        from safetensors import SafetensorError, safe_open

        content = read_card(path, kind, card)
        try:
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if prefixes is None or name.startswith(prefixes)]  # noqa: SIM118
                return cls(kind, content, {name: file.get_tensor(name) for name in names})
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged ({error}); restore it, or delete it to start anew") from error


def read_card(path: Path, kind: str, card: type[Card]) -> Card:
    """Reads a checkpoint's card without its tensors.

    Raises:
        CheckpointError: The file is damaged, not a checkpoint, of another kind, or of an unknown format version.
    """
    content = _read_header(path)
    if content.pop("kind", None) != kind:
        raise CheckpointError(f"{path} is not a {kind.replace('_', ' ')}")
    try:
        return card.from_json(content, path)
    except DocumentError as error:
        raise CheckpointError(str(error)) from error


def read_kind(path: Path) -> str:
    """Reads a checkpoint's kind alone; otherwise as `read_card`."""
    return str(_read_header(path).get("kind"))


def _read_header(path: Path) -> dict[str, Any]:
    """The card as it was written, with `kind` and `format_version`."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(path.stat().st_size, MOST_HEADER):
                raise ValueError("its header does not fit the file")
            card: Any = json.loads(json.loads(file.read(length))["__metadata__"]["card"])
        if not isinstance(card, dict):
            raise TypeError("its card is not a table")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of celeba_gan ({error}). If it was one, restore it, or delete it to start anew"
        ) from error
    return card
