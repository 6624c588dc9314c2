"""Decoded photographs in a temporary file: reading one back costs a hundredth of decoding it again."""

from __future__ import annotations

import errno
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Final, Self

import numpy as np

from celeba_gan.images.chunks import Chunk

_SHARE: Final = 0.5  # of the free space, at most: it may be memory (a tmpfs), and others write there, too
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """Chunks in a temporary file, which is deleted with this object's context; TMPDIR is its folder.

    Where there is too little space, or no such folder, the spool is `full` and ignores all further chunks.
    """

    def __init__(self, images: int, size: int) -> None:
        """Makes room for so many images of `size` pixels."""
        self._file: IO[bytes] = io.BytesIO()
        try:
            self.full = images * size * size * 3 > _SHARE * shutil.disk_usage(tempfile.gettempdir()).free
            if images and not self.full:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in `__exit__`
        except OSError:  # there is no folder for temporary files
            self.full = True
        self._chunks: list[Chunk] = []
        self._shape = (size, size, 3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._chunks.clear()
        self._file.close()

    def __len__(self) -> int:
        """The number of photographs in it."""
        return sum(len(chunk.digests) for chunk in self._chunks)

    def add(self, chunk: Chunk) -> None:
        """Appends a chunk, unless the spool is full."""
        if self.full:
            return
        try:
            self._write(chunk.pixels.data.cast("B"))
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self.full = True
        else:
            self._chunks.append(replace(chunk, pixels=chunk.pixels[:0]))

    def chunks(self) -> Iterator[Chunk]:
        """All chunks in the order in which they were added."""
        longest = max((len(chunk.digests) for chunk in self._chunks), default=0)
        pixels = np.empty((longest, *self._shape), np.uint8)
        self._file.seek(0)
        for chunk in self._chunks:
            view = pixels[: len(chunk.digests)].data.cast("B")
            self._read(view)
            yield replace(chunk, pixels=pixels[: len(chunk.digests)])

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) :]

    def _read(self, view: memoryview) -> None:
        while view:
            count = self._file.readinto(view)  # type: ignore[attr-defined]  # a raw file has it
            if not count:
                raise OSError("The temporary file of decoded photographs is shorter than what was written to it")
            view = view[count:]
