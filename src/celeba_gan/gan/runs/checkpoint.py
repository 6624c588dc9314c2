"""Checkpoints: tensors plus a card, on disk as safetensors with the card as JSON in the file's own header.

One file and one rename make a save atomic, reading the card needs no tensor, and loading a stranger's file runs no
code. The card has a checksum of itself and one of each tensor, which are compared whenever it is read: a disk that
flips a bit is found out. Files of earlier versions have none.
"""

import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celeba_gan.foundation.documents import Document, DocumentError

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER = 100_000_000  # bytes, as in safetensors itself
_CHECKSUMS = "checksums"  # in the card: of itself under "", and of each tensor by name

Card = TypeVar("Card", bound=Document)


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this project, or of another kind or version."""


class DamagedError(CheckpointError):
    """A file that is truncated, or whose content has changed since it was saved; `finding` is what and where."""

    def __init__(self, finding: str, advice: str = "Restore it, or delete it to start anew") -> None:
        self.finding = finding
        super().__init__(f"{finding}. {advice}")


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
        card[_CHECKSUMS] = {"": _checksum_of_card(card), **{name: _checksum(tensors[name]) for name in sorted(tensors)}}
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
            DamagedError: The file is truncated, or what is read of it is not what was saved.
            CheckpointError: It is not a checkpoint, of another kind, or of an unknown format version.
        """
        from safetensors import SafetensorError, safe_open

        content = read_card(path, kind, card)
        try:
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if prefixes is None or name.startswith(prefixes)]  # noqa: SIM118
                tensors = {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise DamagedError(f"{path} is damaged: {str(error)[:300]}") from error
        checksums = _read_header(path)[1]
        wanted = {name for name in checksums if name and (prefixes is None or name.startswith(prefixes))}
        if checksums and wanted != tensors.keys():
            others = ", ".join(sorted(wanted ^ tensors.keys()))
            raise DamagedError(f"{path} is damaged: it has other tensors than were saved ({others})")
        for name in sorted(wanted):
            if _checksum(tensors[name]) != checksums[name]:
                raise DamagedError(f"{path} is damaged: the checksum of the tensor {name} is wrong")
        return cls(kind, content, tensors)


def read_card(path: Path, kind: str, card: type[Card]) -> Card:
    """Reads a checkpoint's card without its tensors.

    Raises:
        DamagedError: The file is truncated, or its card is not what was saved.
        CheckpointError: It is not a checkpoint, of another kind, or of an unknown format version.
    """
    content, _ = _read_header(path)
    if content.pop("kind", None) != kind:
        raise CheckpointError(f"{path} is not a {kind.replace('_', ' ')}")
    try:
        return card.from_json(content, path)
    except DocumentError as error:
        raise CheckpointError(str(error)) from error


def read_kind(path: Path) -> str:
    """Reads a checkpoint's kind alone; otherwise as `read_card`."""
    return str(_read_header(path)[0].get("kind"))


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The card as it was written, with `kind` and `format_version`, and the checksums, none in earlier versions."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(path.stat().st_size, MOST_HEADER):
                raise ValueError("its header does not fit the file")
            card: Any = json.loads(json.loads(file.read(length))["__metadata__"]["card"])
        if not isinstance(card, dict):
            raise TypeError("its card is not a table")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"{path} is not a checkpoint of celeba_gan ({error})",
            "If it was one, restore it, or delete it to start anew",
        ) from error
    # whatever the damage has made of its name
    checksums = next((value for value in card.values() if isinstance(value, dict) and "" in value), {})
    card.pop(_CHECKSUMS, None)
    if checksums and checksums[""] != _checksum_of_card(card):
        raise DamagedError(f"{path} is damaged: the checksum of its card is wrong")
    return card, checksums


def _checksum_of_card(card: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(card).encode()):08x}"


def _checksum(tensor: "Tensor") -> str:
    """CRC-32 of a tensor's type, shape and bytes: 14 ms for 100 MB, where sha256 takes 47 ms."""
    from torch import uint8

    kind = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    return f"{zlib.crc32(tensor.reshape(-1).view(uint8).numpy().data, zlib.crc32(kind)):08x}"
