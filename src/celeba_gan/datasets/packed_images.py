"""Packed images as a catalog entry: shards and, last, the manifest that makes them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset, DatasetError

from celeba_gan.datasets.files import staged
from celeba_gan.imaging.packed import MANIFEST_FILE, Manifest, PackedImages, PackedImagesError, Shard, shard_file


class PackedImagesDataset(AbstractDataset[Shard | Manifest, PackedImages | None]):
    """A folder of packed images, saved in chunks: every shard in order, then the manifest.

    The first shard takes the old manifest away, and the new one is written last, so that an interrupted packing is
    never taken for a whole one. Saving the manifest that is already there changes nothing.

    Args:
        filepath: The folder.
        metadata: Left to Kedro's plugins.
        missing_ok: Load None where there are no whole packed images, instead of raising.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None, missing_ok: bool = False) -> None:
        self._folder = Path(filepath)
        self._missing_ok = missing_ok
        self.metadata = metadata

    def load(self) -> PackedImages | None:
        """Map the shards.

        Raises:
            DatasetError: They are missing or unfinished, and `missing_ok` is false.
        """
        packed = PackedImages(self._folder)
        try:
            packed.check()
        except PackedImagesError:
            if self._missing_ok:
                return None
            raise
        return packed

    def save(self, data: Shard | Manifest) -> None:
        """Write one shard, or the manifest after all shards.

        Raises:
            DatasetError: The manifest names shards that are not there.
        """
        if isinstance(data, Shard):
            self._save_shard(data)
        elif isinstance(data, Manifest):
            self._save_manifest(data)
        else:
            raise DatasetError(f"Packed images are saved as Shard or Manifest, not as {type(data).__name__}.")

    def _save_shard(self, shard: Shard) -> None:
        (self._folder / MANIFEST_FILE).unlink(missing_ok=True)
        with staged(self._folder / shard_file(shard.index)) as staging, staging.open("wb") as file:
            np.save(file, shard.images, allow_pickle=False)

    def _save_manifest(self, manifest: Manifest) -> None:
        path = self._folder / MANIFEST_FILE
        text = manifest.model_dump_json(indent=2).encode()
        if path.exists() and path.read_bytes() == text:
            return
        wanted = {shard.file for shard in manifest.shards}
        if missing := sorted(wanted - {path.name for path in self._folder.glob("*.npy")}):
            raise DatasetError(f"{self._folder} has no {missing[0]}, which the manifest to be saved names.")
        for leftover in [*self._folder.glob("shard-*.npy"), *self._folder.glob(".*.partial")]:
            if leftover.name not in wanted:
                leftover.unlink()
        with staged(path) as staging:
            staging.write_bytes(text)

    def _exists(self) -> bool:
        try:
            PackedImages(self._folder).check()
        except PackedImagesError:
            return False
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder), "missing_ok": self._missing_ok or None}
