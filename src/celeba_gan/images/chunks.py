"""Reads and decodes photographs in many processes, in chunks and in order.

The processes import this module and the source's: neither torch nor pandas nor Kedro, nor pydantic, which would take
as long as the rest together. Pixels are written to shared memory: a pipe would cost a tenth as much as decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from celeba_gan.images.decoding import DecodingRecipe, UnreadableImageError, decode_image
from celeba_gan.images.duplicates import DIGEST, Digests, pixel_digest
from celeba_gan.images.workers import map_in_processes, shared_memory, stopped, tasks_begun
from celeba_gan.storage.errors import StorageError

_CHUNK_BYTES: Final = 4 * 2**20
_CHUNK_IMAGES: Final = 128


class WorkerDiedError(RuntimeError):
    """A process died; `image_ids` are the photographs in progress, one of which may be the cause."""

    def __init__(self, image_ids: list[str]) -> None:
        super().__init__(f"A process died at {' or '.join(image_ids) or 'its start'}")
        self.image_ids = image_ids


class Photographs(Protocol):
    """A few photographs, sent to a worker."""

    def read(self, image_id: str) -> bytes:
        """Reads one image file; raises OSError if it is missing or damaged."""


class ImageSource(Photographs, Protocol):
    """Where photographs come from."""

    def fingerprint(self, image_ids: Sequence[str]) -> list[str]:
        """For each image a short text that changes with the image."""

    def portion(self, image_ids: Sequence[str]) -> Photographs:
        """Some of the images, small enough to be sent to a worker with every chunk."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive photographs."""

    start: int
    """The number of the first one."""
    digests: Digests
    """(n,) of their pixels; b"" for unreadable ones."""
    unreadable: dict[int, str]
    """{number in the chunk: reason}."""
    pixels: NDArray[np.uint8]
    """(n, size, size, 3), undefined for unreadable ones. Overwritten once the next chunk is requested."""


def read_chunks(
    source: ImageSource,
    image_ids: Sequence[str],
    recipe: DecodingRecipe,
    workers: int,
    wanted: Sequence[range],
) -> Iterator[Chunk]:
    """Reads and decodes the photographs of several ranges in turn, with the same workers. No chunk spans two ranges.

    Memory holds four chunks per worker, independent of the number of photographs.

    Args:
        source: Where the photographs come from.
        image_ids: All photographs.
        recipe: How they become images.
        workers: Processes, at most.
        wanted: The numbers of those to be decoded; ranges may overlap.

    Raises:
        WorkerDiedError: A worker died.
    """
    longest = min(_CHUNK_IMAGES, max(1, _CHUNK_BYTES // (recipe.size * recipe.size * 3)))
    share = -(-max(map(len, wanted)) // (2 * workers))  # a few large photographs use all workers, too
    length = max(1, min(longest, share))
    spans = [whole[start : start + length] for whole in wanted for start in range(0, len(whole), length)]
    workers = max(1, min(workers, len(spans)))
    # one more than the tasks in progress: the next is prepared while the oldest may still run
    slots = _Slots(tasks_begun(workers) + 1, length, recipe.size)

    def tasks() -> Iterator[_Task]:
        for number, span in enumerate(spans):
            names = image_ids[span.start : span.stop]
            yield _Task(source.portion(names), names, span.start, number % slots.count)

    try:
        results = map_in_processes(_work, (recipe, slots), tasks(), workers)
        for number, (span, (digests, unreadable)) in enumerate(zip(spans, results, strict=True)):
            pixels = slots.pixels[number % slots.count, : len(span)]
            yield Chunk(span.start, np.frombuffer(digests, DIGEST), unreadable, pixels)
    except BrokenProcessPool as error:
        raise WorkerDiedError([image_ids[number] for number in slots.at if number >= 0]) from error


class _Slots:
    """Shared memory with `count` slots, each for the pixels of a chunk of at most `length` photographs."""

    def __init__(self, count: int, length: int, size: int) -> None:
        self.count, self.length, self.size = count, length, size
        self.at = shared_memory("q", count)
        self.at[:] = [-1] * count
        self._buffer: Any = shared_memory("B", count * length * size * size * 3)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "pixels"}

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(slot, photograph, size, size, 3)."""
        return np.frombuffer(self._buffer, np.uint8).reshape(self.count, self.length, self.size, self.size, 3)


@dataclass(frozen=True)
class _Task:
    photographs: Photographs
    image_ids: Sequence[str]
    start: int
    slot: int


def _work(recipe: DecodingRecipe, slots: _Slots, task: _Task) -> tuple[bytes, dict[int, str]]:
    """The digests of a few images, and the reasons of unreadable ones; writes the pixels into the task's slot."""
    digests, unreadable = [], {}
    for number, image_id in enumerate(task.image_ids):
        if stopped():  # Ctrl-C should not wait for a chunk of large photographs, which takes minutes
            break
        slots.at[task.slot] = task.start + number
        digest = b""
        try:
            pixels = decode_image(task.photographs.read(image_id), recipe)
            slots.pixels[task.slot, number], digest = pixels, pixel_digest(pixels)
        except UnreadableImageError as error:
            unreadable[number] = str(error)
        except StorageError:  # of the connection: the photograph is not to blame
            raise
        except Exception as error:  # one file among many: the caller limits how many may fail
            unreadable[number] = f"cannot be read: {str(error) or type(error).__name__}"
        digests.append(digest.ljust(DIGEST.itemsize, b"\0"))
    slots.at[task.slot] = -1
    return b"".join(digests), unreadable
