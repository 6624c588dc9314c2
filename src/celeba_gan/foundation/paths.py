"""Where catalog entries are on disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def filepaths(conf_catalog: Mapping[str, Any]) -> dict[str, Path]:
    """The path of every entry on this machine; Kedro passes `conf_catalog` to `after_catalog_created`."""
    return {
        name: Path(entry["filepath"])
        for name, entry in conf_catalog.items()
        if isinstance(entry, Mapping) and "filepath" in entry and not is_url(entry["filepath"])
    }


def is_url(path: object) -> bool:
    """Whether this is an address such as `s3://bucket/folder`, and no path on this machine."""
    return "://" in str(path)


def start_of(path: str | Path) -> str:
    """Where a relative path starts, as the end of a message that there is nothing; empty for an absolute one."""
    if Path(path).expanduser().is_absolute():
        return ""
    return f" Relative paths start at the project's folder, {Path.cwd()}."


def normalised(path: str | Path) -> str:
    """An absolute path for messages, without `..` and `~`."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve would follow links


def shown(path: Path) -> str:
    """A path for people: relative to the current folder where it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
