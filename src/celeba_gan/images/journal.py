"""An interrupted packing: its finished shards, and how to continue after them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from celeba_gan.images.packed import Journal, PackedImagesError, hash_pixels, journal_file, map_shard, shard_file
from celeba_gan.storage.array_files import has_rows
from celeba_gan.storage.places import Place


@dataclass(frozen=True)
class UnfinishedPacking:
    """A folder with shards and their journals, but without a valid manifest."""

    folder: Path | Place
    reason: str  # why its images cannot be used

    @property
    def begun(self) -> bool:
        """Whether a first shard is finished, of any plan."""
        return (self.folder / journal_file(0)).exists()

    def finished(self, plan: str, size: int) -> list[Journal]:
        """The journals of the shards that can be kept: from the first to the last before an invalid one.

        Every shard on a disk is read to verify its checksum: a power cut may have corrupted it. An upload is there
        whole or not at all, so that elsewhere the size is enough.
        """
        journals: list[Journal] = []
        while (journal := self._good(len(journals), plan, size)) is not None:
            if journal.start != (journals[-1].stop if journals else 0):
                break
            journals.append(journal)
        return journals

    def _good(self, index: int, plan: str, size: int) -> Journal | None:
        try:
            journal = Journal.from_bytes((self.folder / journal_file(index)).read_bytes())
            if journal.plan != plan or journal.shard.file != shard_file(index):
                return None
            if isinstance(self.folder, Place):
                rows = journal.shard.images * size * size * 3
                return journal if has_rows((self.folder / journal.shard.file).size(), rows) else None
            pixels = map_shard(self.folder, journal.shard, size)
        except (OSError, ValueError, PackedImagesError):
            return None
        return journal if hash_pixels(pixels) == journal.shard.sha256 else None
