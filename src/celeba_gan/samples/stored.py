"""Samples on disk: finished ones, and how to continue interrupted ones."""

import logging
import shutil
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import Field

from celeba_gan.foundation.documents import Document, DocumentError
from celeba_gan.foundation.files import unused
from celeba_gan.foundation.paths import shown
from celeba_gan.samples.recipe import SampleRecipe

logger = logging.getLogger(__name__)

TABLE: Final = "samples.parquet"
PROGRESS: Final = "progress.json"  # in the folder of unfinished samples
_WORTH_KEEPING: Final = 1000  # samples
_OF_BLOCKS: Final = ("rows-*.parquet", "block-*.zip", PROGRESS)
RECIPE: Final = "recipe.json"  # in that of finished ones, written last


class SamplesError(ValueError):
    """What an interrupted run has left is damaged; the message says where, and what to do."""


class Progress(Document):
    """How much of a recipe is on disk."""

    noun = "record of sampling"

    recipe: SampleRecipe
    total: int
    done: int = Field(ge=0)  # the first so many; all whole blocks, or all there are


class StoredSamples:
    """A folder of samples, and beside it that of unfinished ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder.with_name(f".{folder.name}.partial")

    def resume(self, recipe: SampleRecipe, total: int) -> int:
        """How many of these samples are on disk: all, whole blocks of an interrupted run, or none.

        A run that was killed while it replaced the former samples is completed.
        """
        if _is_of(self.staging / RECIPE, recipe, total):
            self.replace()
        if _is_of(self.folder / RECIPE, recipe, total) and self._has_files(recipe):
            return total
        return self.interrupted(recipe, total)

    def interrupted(self, recipe: SampleRecipe, total: int) -> int:
        """How many of these samples an interrupted run has left: whole blocks, and not the last one."""
        found = _read(self.staging / PROGRESS)
        if found is None or not _is_of(self.staging / PROGRESS, recipe, total):
            return 0
        return min(found.done, (total - 1) // recipe.block * recipe.block)

    def begin(self) -> None:
        """Makes an empty folder for new samples. Those of an interrupted run are set aside if they are many."""
        before = _read(self.staging / PROGRESS)
        if before is not None and before.done >= _WORTH_KEEPING:
            self._set_aside(self.staging, before)
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(parents=True)

    def _set_aside(self, folder: Path, what: Progress) -> None:
        """Renames a folder of samples that would take long to make again."""
        stamp = datetime.fromtimestamp(folder.stat().st_mtime).strftime("%Y-%m-%d-%H%M%S")
        aside = unused(self.folder.with_name(f"{self.folder.name}.{stamp}"))
        folder.replace(aside)
        logger.warning(
            "The %s samples of seed %d are set aside in %s", f"{what.done:,}", what.recipe.seed, shown(aside)
        )

    def replace(self) -> None:
        """Gives finished samples their place, without what blocks have left.

        The former ones are deleted, which comes last, since it can take long. If they are many, and not all among the
        new ones, they are set aside instead.
        """
        for pattern in _OF_BLOCKS:
            for path in self.staging.glob(pattern):
                path.unlink()
        former = self.folder.with_name(f".{self.folder.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        before, now = _read(self.folder / RECIPE), _read(self.staging / RECIPE)
        if before is not None and before.done >= _WORTH_KEEPING and not _holds(now, before):
            self._set_aside(self.folder, before)
        if self.folder.exists():
            self.folder.replace(former)
        self.staging.replace(self.folder)
        shutil.rmtree(former, ignore_errors=True)

    def _has_files(self, recipe: SampleRecipe) -> bool:
        import pyarrow.parquet

        if not (self.folder / TABLE).is_file():
            return False
        if recipe.format == "zip":
            return (self.folder / "samples.zip").is_file()
        try:
            files = pyarrow.parquet.read_table(self.folder / TABLE, columns=["file"])["file"].unique().to_pylist()
        except (OSError, pyarrow.ArrowException):  # damaged
            return False
        there = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.stat().st_size}
        return there.issuperset(files)


def _is_of(path: Path, recipe: SampleRecipe, total: int) -> bool:
    found = _read(path)
    return found is not None and (found.recipe.plan, found.total) == (recipe.plan, total)


def _holds(new: Progress | None, former: Progress) -> bool:
    """Whether all former samples are among the new ones."""
    return new is not None and new.recipe == former.recipe and new.total >= former.total


def _read(path: Path) -> Progress | None:
    """Reads a record; None if it is missing, damaged, or of another version."""
    try:
        return Progress.read(path)
    except (OSError, DocumentError):
        return None
