"""Packed images as a catalog entry: shards and, last, the manifest that completes them."""

from __future__ import annotations

from kedro.io import DatasetError
from numpy.lib import format as npy

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.foundation.files import staged
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import (
    MANIFEST_FILE,
    Manifest,
    PackedImages,
    PackedImagesError,
    Shard,
    journal_file,
    shard_file,
)


class PackedImagesDataset(FileDataset[Shard | Manifest, PackedImages | UnfinishedPacking | None]):
    """A folder of packed images, saved in chunks: every shard in order, then the manifest.

    The first shard deletes the old manifest, and the new one is written last, so that an interrupted packing is never
    mistaken for a complete one. Until then each shard has a journal beside it, from which packing resumes. Saving an
    unchanged manifest changes nothing.

    With `missing_ok`, incomplete packed images load as an interrupted packing, or None, instead of raising.
    """

    def __init__(self, filepath: str, metadata: Metadata | None = None, missing_ok: bool = False) -> None:
        super().__init__(filepath, metadata)
        self._missing_ok = missing_ok

    def load(self) -> PackedImages | UnfinishedPacking | None:
        """Memory-maps the shards.

        Raises:
            DatasetError: They are missing or incomplete, and `missing_ok` is false.
        """
        packed = PackedImages(self._filepath)
        try:
            packed.check()
        except PackedImagesError as error:
            if not self._missing_ok:
                raise
            begun = any((self._filepath / name).exists() for name in (MANIFEST_FILE, journal_file(0)))
            return UnfinishedPacking(self._filepath, str(error)) if begun else None
        return packed

    def save(self, data: Shard | Manifest) -> None:
        """Writes one shard, or the manifest after all shards.

        Raises:
            DatasetError: The disk is full, or the manifest names missing shards.
        """
        if isinstance(data, Shard):
            self._save_shard(data)
        elif isinstance(data, Manifest):
            self._save_manifest(data)
        else:
            raise DatasetError(f"Packed images are saved as Shard or Manifest, not as {type(data).__name__}.")

    def _save_shard(self, shard: Shard) -> None:
        path = self._filepath / shard_file(shard.index)
        try:
            with staged(path) as staging:
                with staging.open("wb") as file:
                    header = npy.header_data_from_array_1_0(shard.images)
                    npy.write_array_header_1_0(file, header)
                    file.write(shard.images.data)  # np.save's error does not state that the disk is full
                (self._filepath / MANIFEST_FILE).unlink(missing_ok=True)
            with staged(self._filepath / journal_file(shard.index)) as staging:
                staging.write_bytes(shard.journal.to_bytes())
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be written: {error.strerror or error}. The {shard.index} shards before it are kept: "
                "once there is room, the same command resumes after them."
            ) from error

    def _save_manifest(self, manifest: Manifest) -> None:
        path = self._filepath / MANIFEST_FILE
        text = manifest.model_dump_json(indent=2).encode()
        wanted = {shard.file for shard in manifest.shards}
        if not path.exists() or path.read_bytes() != text:
            if missing := sorted(wanted - {path.name for path in self._filepath.glob("*.npy")}):
                raise DatasetError(f"{self._filepath} has no {missing[0]}, which the manifest names.")
            with staged(path) as staging:
                staging.write_bytes(text)
        for leftover in [*self._filepath.glob("shard-*"), *self._filepath.glob(".*.partial")]:
            if leftover.name not in wanted:
                leftover.unlink()

    def _exists(self) -> bool:
        try:
            PackedImages(self._filepath).check()
        except PackedImagesError:
            return False
        return True
