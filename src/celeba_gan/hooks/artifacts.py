"""Where catalog entries lie on disk."""

from pathlib import Path

from kedro.io import DataCatalog


def path_of(catalog: DataCatalog, name: str) -> Path | None:
    """The path that an entry names, as it is written in the catalog; None where it has none (memory, parameters)."""
    dataset = catalog.get(name) if name in catalog else None
    filepath = None if dataset is None else dataset._describe().get("filepath")  # what every dataset says of itself
    return None if filepath is None else Path(str(filepath))


def is_there(path: Path) -> bool:
    """Whether anything lies there: a folder that is not empty, a file, or files of this stem (`generator.json`).

    What a killed process left half written has a name that begins with a dot, and does not count.
    """
    if path.is_dir():
        return any(not child.name.startswith(".") for child in path.iterdir())
    return path.exists() or any(path.parent.glob(f"{path.name}.*"))


def shown(path: Path) -> str:
    """A path for people: from the current folder on where it lies in there."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
