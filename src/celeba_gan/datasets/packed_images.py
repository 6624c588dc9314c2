"""Packed images as a catalog entry: shards and, last, the manifest that completes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from kedro.io import DatasetError
from numpy.lib import format as npy

from celeba_gan.datasets.file_dataset import FileDataset, Metadata
from celeba_gan.foundation.files import staged
from celeba_gan.foundation.paths import is_url
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import (
    MANIFEST_FILE,
    Journal,
    Manifest,
    PackedImages,
    PackedImagesError,
    Shard,
    ShardRecord,
    hash_pixels,
    journal_file,
    map_shard,
    shard_file,
)
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.places import Place


class PackedImagesDataset(FileDataset[Shard | Manifest, PackedImages | UnfinishedPacking | None]):
    """A folder of packed images, saved in chunks: every shard in order, then the manifest.

    The first shard deletes the old manifest, and the new one is written last, so that an interrupted packing is never
    mistaken for a complete one. Until then each shard has a journal beside it, from which packing resumes. Saving an
    unchanged manifest changes nothing.

    With `missing_ok`, incomplete packed images load as an interrupted packing, or None, instead of raising.

    An address such as `s3://bucket/folder` may take the place of a path. `credentials` and `fs_args` are those of
    fsspec, as in Kedro's datasets; without them it finds the environment's. `storage` says how images are read there.
    """

    def __init__(
        self,
        filepath: str,
        metadata: Metadata | None = None,
        missing_ok: bool = False,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        storage: dict[str, Any] | None = None,
    ) -> None:
        super().__init__("" if is_url(filepath) else filepath, metadata)
        self._missing_ok = missing_ok
        self._use = StorageSettings.model_validate(storage or {})
        self._folder: Path | Place = self._filepath
        if is_url(filepath):
            options = {**(fs_args or {}), **(credentials or {})}
            self._folder = Place(filepath, options, self._use.patience_s)

    @property
    def place(self) -> Place | None:
        """Where the images lie, if not on this machine."""
        return self._folder if isinstance(self._folder, Place) else None

    def load(self) -> PackedImages | UnfinishedPacking | None:
        """Memory-maps the shards, or gets ready to fetch them.

        Raises:
            DatasetError: They are missing or incomplete, and `missing_ok` is false.
            StorageError: The place cannot be reached.
        """
        packed = PackedImages(self._folder, self._use)
        try:
            packed.check()
        except PackedImagesError as error:
            if not self._missing_ok:
                raise
            begun = any((self._folder / name).exists() for name in (MANIFEST_FILE, journal_file(0)))
            return UnfinishedPacking(self._folder, str(error)) if begun else None
        return packed

    def save(self, data: Shard | Manifest) -> None:
        """Writes one shard, or the manifest after all shards.

        Raises:
            DatasetError: The disk is full, or the manifest names missing shards.
            StorageError: The place cannot be written.
        """
        if isinstance(data, Shard):
            self._save_shard(data) if self.place is None else _upload_shard(self.place, data)
        elif isinstance(data, Manifest):
            self._save_manifest(data) if self.place is None else _upload_manifest(self.place, data)
        else:
            raise DatasetError(f"Packed images are saved as Shard or Manifest, not as {type(data).__name__}.")

    def _save_shard(self, shard: Shard) -> None:
        path = self._filepath / shard_file(shard.index)
        try:
            with staged(path) as staging:
                with staging.open("wb") as file:
                    _write(file, shard)
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
                raise DatasetError(
                    f"{self._filepath} has no {missing[0]}, which the manifest names. Ranks that pack together need a "
                    "folder that all of them share"
                )
            for number, record in enumerate(manifest.shards):
                self._check_shard(number, record, manifest.size)
            with staged(path) as staging:
                staging.write_bytes(text)
        for leftover in [*self._filepath.glob("shard-*"), *self._filepath.glob(".*.partial")]:
            if leftover.name not in wanted:
                leftover.unlink()

    def _check_shard(self, number: int, record: ShardRecord, size: int) -> None:
        """Raises DatasetError if a shard here is another packing's; what was just written has a journal."""
        try:
            journal = Journal.from_bytes((self._filepath / journal_file(number)).read_bytes())
            if journal.shard == record:
                return
        except (OSError, ValueError):
            pass
        if hash_pixels(map_shard(self._filepath, record, size)) != record.sha256:
            raise DatasetError(
                f"{self._filepath / record.file} is not the shard that was packed. Ranks that pack together need a "
                "folder that all of them share"
            )

    def _exists(self) -> bool:
        try:
            PackedImages(self._folder, self._use).check()
        except PackedImagesError:
            return False
        return True

    def _describe(self) -> Metadata:
        return {"filepath": str(self._folder)}


def _write(file: IO[bytes], shard: Shard) -> None:
    npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(shard.images))
    file.write(shard.images.data)  # np.save's error does not state that the disk is full


def _upload_shard(folder: Place, shard: Shard) -> None:
    """Uploads a shard. An object store renames nothing: what would vouch for another shard of this name goes first."""
    content = io.BytesIO()
    _write(content, shard)
    for name in (MANIFEST_FILE, journal_file(shard.index)):
        (folder / name).unlink()
    (folder / shard_file(shard.index)).write_bytes(content.getvalue())
    (folder / journal_file(shard.index)).write_bytes(shard.journal.to_bytes())


def _upload_manifest(folder: Place, manifest: Manifest) -> None:
    text = manifest.model_dump_json(indent=2).encode()
    wanted, there = {shard.file for shard in manifest.shards}, folder.listing()
    if missing := sorted(wanted - there.keys()):
        raise DatasetError(f"{folder} has no {missing[0]}, which the manifest names.")
    if MANIFEST_FILE not in there or (folder / MANIFEST_FILE).read_bytes() != text:
        (folder / MANIFEST_FILE).write_bytes(text)
    for name in there:
        if name.startswith("shard-") and name not in wanted:
            (folder / name).unlink()
