"""Exported folders."""

import shutil
from pathlib import Path
from typing import Protocol

from celeba_gan.datasets.file_dataset import FileDataset
from celeba_gan.datasets.previews import ImagePreview, image_preview
from celeba_gan.foundation.files import restore_folder, staged_folder


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


class ExportedFolderDataset(FileDataset[_Folder, Path]):
    """A folder that is saved whole or not at all: an interrupted save leaves the former one."""

    def save(self, data: _Folder) -> None:
        """Copies the folder to its place."""
        with staged_folder(self._filepath) as staging:
            shutil.copytree(data.path, staging, dirs_exist_ok=True)

    def load(self) -> Path:
        """Where the folder is."""
        restore_folder(self._filepath)
        return self._filepath

    def preview(self) -> ImagePreview:
        """Its samples."""
        return image_preview(self.load() / "samples.png")

    def _exists(self) -> bool:
        restore_folder(self._filepath)
        return self._filepath.is_dir()
