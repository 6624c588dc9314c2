"""The source of the photographs as a catalog entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.utils import load_obj

from celeba_gan.datasets.file_dataset import Metadata, ReadOnlyDataset
from celeba_gan.foundation.paths import is_url
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.source import Source
from celeba_gan.storage.places import Place


class SourceDataset(ReadOnlyDataset[Source]):
    """A source of photographs: a folder or a zip.

    `source` is its class by the full name, such as `celeba_gan.sources.folder.ImageFolder`; `options` are further
    arguments of the class. An address such as `s3://bucket/folder` may take the place of the path; `credentials` and
    `fs_args` are then those of fsspec, as in Kedro's datasets.
    """

    reason = "a source of photographs is only read"

    def __init__(
        self,
        source: str,
        filepath: str,
        options: dict[str, Any] | None = None,
        metadata: Metadata | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__("" if is_url(filepath) else str(_expand_home(filepath)), metadata)
        self.place = Place(filepath, {**(fs_args or {}), **(credentials or {})}) if is_url(filepath) else None
        self._class: type[Source] = load_obj(source)
        if self.place is not None and not self._class.distant:
            raise SourceError(f"{self.place} is elsewhere, and {self._class.__name__} needs a folder of this machine")
        self._options = options or {}
        self._new()  # refuses wrong options before anything runs

    def load(self) -> Source:
        """Fetches what is missing, and lists the images.

        Raises:
            DatasetError: There are no images; the message says what to do.
        """
        self._new().prepare()
        try:
            source = self._new()
            source.image_names  # noqa: B018 - raises for a missing or broken folder
        except SourceError as error:
            if self.place is not None or self._filepath.exists():
                raise
            raise SourceError(
                f"{str(error).rstrip('.')}. A relative path starts at the project's folder, {Path.cwd()}"
            ) from error
        return source

    def _new(self) -> Source:
        """The source with nothing read yet: what it lists is cached, and may have changed since."""
        return self._class(self.place or self._filepath, **self._options)

    def _exists(self) -> bool:
        try:
            return bool(self._new().image_names)
        except SourceError:
            return False

    def _describe(self) -> Metadata:
        where = super()._describe() if self.place is None else {"filepath": str(self.place)}
        return where | {"source": self._class.__name__, **self._options}


def _expand_home(filepath: str) -> Path:
    """Expands `~`: a shell does not do so after `source.path=`, and Kedro prepends the project's folder."""
    _, home, rest = filepath.partition("/~/")
    path = Path.home() / rest if home else Path(filepath)
    return path.resolve() if ".." in path.parts else path  # else a link to another disk stays a link
