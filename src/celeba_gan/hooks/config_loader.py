"""The configuration: a folder, or the archive that `kedro package` makes of it."""

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from click import ClickException
from fsspec import AbstractFileSystem, filesystem  # type: ignore[import-untyped]
from kedro.config import OmegaConfigLoader


class ConfigurationError(ClickException):
    """There is no such configuration; the message says where, and what to do."""


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which also works without an environment `local`, which the archive leaves out."""

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any) -> None:
        self._place = str(conf_source)
        if not self.environments:
            raise ConfigurationError(
                f"There is no configuration in {self._place}. Change to the project's folder, or name the folder or "
                "archive of its configuration with --conf-source"
            )
        if options.get("default_run_env") not in self.environments:
            options["default_run_env"] = options.get("base_env")
        super().__init__(self._place, env, **options)

    @cached_property
    def environments(self) -> list[str]:
        """The names of all environments."""
        files, root = self._open()
        if not files.isdir(root):
            return []
        folders = [
            PurePosixPath(entry["name"]) for entry in files.ls(root, detail=True) if entry["type"] == "directory"
        ]
        return sorted(folder.name for folder in folders if not folder.name.startswith("."))

    def read_file(self, environment: str, name: str) -> dict[str, Any]:
        """A file of an environment, as it is written; empty if there is none."""
        files, root = self._open()
        path = f"{root}/{environment}/{name}"
        return (yaml.safe_load(files.cat_file(path)) or {}) if files.isfile(path) else {}

    def _open(self) -> tuple[AbstractFileSystem, str]:
        """The file system that holds the environments, and their folder."""
        kind = {".zip": "zip", ".gz": "tar"}.get(Path(self._place).suffix)
        if kind is None or not Path(self._place).is_file():
            return filesystem("file"), self._place
        archive = filesystem(kind, fo=self._place)
        return archive, str(archive.ls("", detail=False)[-1]).strip("/")  # as Kedro finds it
