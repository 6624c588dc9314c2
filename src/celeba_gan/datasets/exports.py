"""Exported folders."""

import base64
import re
import shutil
from pathlib import Path
from typing import Protocol

from celeba_gan.datasets.file_dataset import FileDataset
from celeba_gan.datasets.previews import HTMLPreview
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

    def preview(self) -> HTMLPreview:
        """Its model card with the samples inside: kedro-viz reads such a preview as Markdown too."""
        folder = self.load()
        card = (folder / "README.md").read_text(encoding="utf-8")
        card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)  # the front matter
        picture = base64.b64encode((folder / "samples.png").read_bytes()).decode()
        shown = _unwrap(card).replace(
            "_", "\u02cd"
        )  # a letter that looks like it: kedro-viz reads emphasis in code too
        image = f'<img alt="Samples" src="data:image/png;base64,{picture}">'  # it knows no pictures in Markdown
        return HTMLPreview(shown.replace("![Samples](samples.png)", image))

    def _exists(self) -> bool:
        restore_folder(self._filepath)
        return self._filepath.is_dir()


def _unwrap(markdown: str) -> str:
    """Paragraphs as one line each: kedro-viz shows every line end. Code, tables, lists and headings stay."""
    parts = markdown.split("```")
    parts[::2] = [re.sub(r"(?<!\n)\n *(?=[^\s|#<*!-])", " ", part) for part in parts[::2]]
    return "```".join(parts)
