"""Checkpoints: tensors plus a card, on disk as safetensors with the card as JSON in the file's own header.

One file and one rename make a save atomic, reading the card needs no tensor, and loading a stranger's file runs no
code.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from celeba_gan.gan.runs.migration import migrate

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 2  # migration.py says what changed
MOST_HEADER = 100_000_000  # bytes, as in safetensors itself


class CheckpointError(ValueError):
    """A file that is no checkpoint of this project, or of another kind or version."""


@dataclass
class Checkpoint:
    """Named tensors and a JSON-serialisable card that says what they are.

    The tensors may be live ones of a running training: save at once, or copy.
    """

    kind: str
    card: dict[str, Any]
    tensors: "dict[str, Tensor]"

    def save(self, path: Path) -> None:
        """Writes the file, complete or not at all.

        The staging folder has a fixed name, so that what a killed process left behind goes with the next save.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file  # imports torch, which the card's readers can do without

        staging = path.parent / f".{path.name}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        card = {"format_version": FORMAT_VERSION, "kind": self.kind, **self.card}
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
    def load(cls, path: Path, kind: str) -> Self:
        """Reads a checkpoint; its tensors are on the CPU.

        Raises:
            CheckpointError: The file is damaged, no checkpoint, of another kind, or of a later format version.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        card = read_card(path, kind)
        try:
            return cls(kind, card, load_file(path))
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged ({error}); restore it, or delete it to start anew") from error


def read_card(path: Path, kind: str) -> dict[str, Any]:
    """Reads a checkpoint's card without its tensors, brought up to date where an earlier version wrote it.

    Raises:
        CheckpointError: The file is damaged, no checkpoint, of another kind, or of a later format version.
    """
    card = _read_header(path)
    if card.pop("kind", None) != kind:
        raise CheckpointError(f"{path} is not a {kind.replace('_', ' ')}")
    version = card.pop("format_version", None)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this program reads 1 to {FORMAT_VERSION}; "
            "use the version of celeba_gan that wrote it"
        )
    return migrate(kind, version, card)


def read_kind(path: Path) -> str:
    """Says what a checkpoint is, without reading its tensors.

    Raises:
        CheckpointError: The file is damaged, or no checkpoint.
    """
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
            raise TypeError("its card is no table")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of celeba_gan ({error})") from error
    return card
