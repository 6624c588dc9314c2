"""Writes samples while others are made: encoding in threads, complete block by block."""

import json
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from celeba_gan.foundation.cores import available_cores
from celeba_gan.foundation.files import staged
from celeba_gan.samples.formats import format_of
from celeba_gan.samples.recipe import SampleBatch, SampleRecipe
from celeba_gan.samples.stored import PROGRESS, RECIPE, TABLE, Progress, SamplesError, StoredSamples

_IMAGES_PER_TASK: Final = 16
_WAITING: Final = 8  # tasks per thread


class SampleWriter:
    """Writes the samples of one recipe in order, into a folder that replaces the former one at the end.

    Memory holds one block at most. What a killed process leaves behind is continued by the next writer of the same
    recipe and number of samples; see `StoredSamples.resume`.
    """

    def __init__(self, folder: Path, recipe: SampleRecipe, total: int) -> None:
        self.stored = StoredSamples(folder)
        self.recipe, self.total = recipe, total
        self.format = format_of(recipe.format, recipe.block)
        self.done = self.stored.interrupted(recipe, total)
        self.pool = ThreadPoolExecutor(available_cores())
        self.waiting: deque[Future[list[Any]]] = deque()
        self.written: list[Any] = []  # of the block in progress, as `labels`
        self.labels: list[NDArray[np.float32]] = []
        self.received = self.done

    def add(self, batch: SampleBatch) -> None:
        """Takes the next samples; after the last, the folder is complete.

        Raises:
            OSError: They cannot be written; the finished blocks are kept.
            SamplesError: What an interrupted run has left is damaged.
            ValueError: They are not the next ones.
        """
        if batch.first != self.received or (batch.recipe, batch.total) != (self.recipe, self.total):
            raise ValueError(f"samples from {batch.first} were given, those from {self.received} were expected")
        if self.received == 0:
            self.stored.begin()
        images, labels = batch.images, batch.labels
        while len(images):
            room = self.recipe.block - self.received % self.recipe.block
            self._submit(images[:room], self.received)
            self.labels.append(labels[:room])
            self.received += len(images[:room])
            images, labels = images[room:], labels[room:]
            if self.received % self.recipe.block == 0 or self.received == self.total:
                self._close_block()
        if self.received == self.total:
            self._finish()

    def close(self) -> None:
        """Stops the threads; unfinished samples stay for the next writer."""
        self.pool.shutdown(cancel_futures=True)

    def _submit(self, images: NDArray[np.uint8], first: int) -> None:
        folder, write, total = self.stored.staging, self.format.write, self.total

        def work(part: NDArray[np.uint8], start: int) -> list[Any]:
            return [write(folder, number, total, image) for number, image in enumerate(part, start)]

        for start in range(0, len(images), _IMAGES_PER_TASK):
            while len(self.waiting) >= _WAITING * available_cores():
                self.written += self.waiting.popleft().result()
            self.waiting.append(self.pool.submit(work, images[start : start + _IMAGES_PER_TASK], first + start))

    def _close_block(self) -> None:
        while self.waiting:
            self.written += self.waiting.popleft().result()
        block, folder = self.done // self.recipe.block, self.stored.staging
        self.format.close_block(folder, block, self.done, self.total, self.written)
        self._write_rows(folder / f"rows-{block:05d}.parquet", np.concatenate(self.labels))
        if hasattr(os, "sync"):  # or a power cut might leave empty files that are recorded as done
            os.sync()
        self.done, self.written, self.labels = self.received, [], []
        self._record(folder / PROGRESS)

    def _write_rows(self, path: Path, labels: NDArray[np.float32]) -> None:
        """The rows of a block, from which each of its images can be made again."""
        import pyarrow
        import pyarrow.parquet

        numbers = range(self.done, self.done + len(labels))
        columns = {
            "number": pyarrow.array(numbers, pyarrow.int64()),
            "file": pyarrow.array([self.format.file(number, self.total) for number in numbers], pyarrow.string()),
            "seed": pyarrow.array([self.recipe.seed] * len(labels), pyarrow.int64()),
            "truncation": pyarrow.array([self.recipe.truncation] * len(labels), pyarrow.float64()),
            "labels": pyarrow.array(
                [_names(row, self.recipe.names) for row in labels], pyarrow.list_(pyarrow.string())
            ),
        }
        with staged(path) as staging:
            pyarrow.parquet.write_table(pyarrow.table(columns), staging)

    def _finish(self) -> None:
        """Joins what blocks have left, and replaces the former samples."""
        import pyarrow
        import pyarrow.parquet

        folder, blocks = self.stored.staging, -(-self.total // self.recipe.block)
        try:
            self.format.finish(folder, blocks)
            schema = pyarrow.parquet.read_schema(folder / "rows-00000.parquet")
            with staged(folder / TABLE) as staging, pyarrow.parquet.ParquetWriter(staging, schema) as writer:
                for block in range(blocks):
                    writer.write_table(pyarrow.parquet.read_table(folder / f"rows-{block:05d}.parquet"))
        except (zipfile.BadZipFile, zlib.error, pyarrow.ArrowException, FileNotFoundError) as error:
            raise SamplesError(
                f"{folder}, where an interrupted run left its samples, is damaged ({error}). Delete this folder, then "
                "run the same command again"
            ) from error
        self._record(folder / RECIPE)  # from here on nothing else is needed
        self.stored.replace()
        self.close()

    def _record(self, path: Path) -> None:
        progress = Progress(recipe=self.recipe, total=self.total, done=self.done)
        with staged(path) as staging:
            staging.write_text(json.dumps(progress.to_json(), indent=2) + "\n", encoding="utf-8")


def _names(row: NDArray[np.float32], names: Sequence[str]) -> list[str]:
    return [name for name, value in zip(names, row, strict=True) if value]
