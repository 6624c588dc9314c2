"""Where catalog entries are on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def filepaths(conf_catalog: Mapping[str, Any]) -> dict[str, Path]:
    """The path of every entry that has one; Kedro passes `conf_catalog` to `after_catalog_created`."""
    return {
        name: Path(entry["filepath"])
        for name, entry in conf_catalog.items()
        if isinstance(entry, Mapping) and "filepath" in entry
    }


def shown(path: Path) -> str:
    """A path for people: relative to the current folder where it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
