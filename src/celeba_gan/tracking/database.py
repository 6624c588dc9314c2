"""An SQLite store on disk: set up as a whole, of this MLflow's schema, and moved with the project. Imports MLflow."""

import logging
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from alembic.script import ScriptDirectory
from filelock import Timeout
from mlflow.store import db_migrations
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from celeba_gan.foundation.locks import LockError, locked
from celeba_gan.tracking.config import TrackingError, TrackingSettings, sqlite_file, sqlite_uri

logger = logging.getLogger(__name__)

_PATIENCE: Final = 120  # seconds; setting a store up takes a few
_BUSY: Final = 20  # seconds; MLflow's own writes take milliseconds
_LOCATIONS: Final = (  # columns of MLflow's tables that hold where files are
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def prepare(settings: TrackingSettings, project: Path) -> None:
    """Makes an SQLite store ready to be opened; does nothing for other stores. Processes do it one after the other.

    A missing one is set up under another name, so that it is complete or not there. One in the project's folder, which
    was moved or copied with the project, gets the locations of its files corrected.

    Raises:
        TrackingError: It is of another version of MLflow, its set-up was interrupted, it is no database, or its folder
            cannot be written to.
    """
    file = sqlite_file(settings.store_uri(project))
    if file is None:
        return
    file = file.absolute()
    try:
        with locked(file.with_name(f"{file.name}.lock"), timeout=_PATIENCE):
            if not file.exists() or file.stat().st_size == 0:
                _create(file)
            try:
                with closing(sqlite3.connect(file, timeout=_BUSY)) as database, database:
                    _check_schema(database, file)
                    if file.is_relative_to(project):
                        _correct_locations(database, file, Path(settings.artifact_location or "mlartifacts"), project)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise TrackingError(f"{file} cannot be used: {error}") from error
                raise TrackingError(
                    f"another process has locked {file} for {_BUSY} s: end it, or the program that has it open"
                ) from error
            except sqlite3.DatabaseError as error:
                raise TrackingError(f"{file} cannot be read as an SQLite database ({error}): move it away") from error
    except Timeout as error:
        raise TrackingError(f"another process has been setting up {file} for {_PATIENCE} s; end it") from error
    except (OSError, LockError) as error:
        raise TrackingError(f"{file} cannot be written to: {error}") from error


def find_experiment(settings: TrackingSettings, project: Path) -> str | None:
    """Id of the experiment of `mlflow.yml` in a prepared SQLite store; None before its first run, and elsewhere."""
    file = sqlite_file(settings.store_uri(project))
    if file is None:
        return None
    with closing(sqlite3.connect(file, timeout=_BUSY)) as database:
        query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
        found = database.execute(query, (settings.experiment,)).fetchone()
    return None if found is None else str(found[0])


def _create(file: Path) -> None:
    new = file.with_name(f"{file.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):  # of a set-up that was killed
        left.unlink(missing_ok=True)
    store = SqlAlchemyStore(sqlite_uri(new), (file.parent / "mlruns").as_uri())
    store.engine.dispose()
    new.replace(file)


def _check_schema(database: sqlite3.Connection, file: Path) -> None:
    """MLflow itself would upgrade some older stores in place, and for the others names no file."""
    scripts = ScriptDirectory(str(Path(db_migrations.__file__).parent))
    needed = scripts.get_current_head()
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    versions = database.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
    found = next((version for (version,) in versions), None)
    if found == needed:
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise TrackingError(
            f"{file} is of a newer MLflow than the installed {mlflow.__version__}: upgrade that with "
            "`pip install --upgrade mlflow`"
        )
    if "runs" not in tables or database.execute("SELECT 1 FROM runs").fetchone() is None:
        raise TrackingError(
            f"{file} has no runs, and its set-up was interrupted or is of an older MLflow: delete it, and the next run "
            "makes a new one"
        )
    raise TrackingError(
        f"{file} is of an older MLflow than the installed {mlflow.__version__}. Copy the file, then upgrade it with "
        f"`mlflow db upgrade {shlex.quote(sqlite_uri(file))}`"
    )


def _correct_locations(database: sqlite3.Connection, file: Path, artifacts: Path, project: Path) -> None:
    """Points a store at the files beside it: MLflow records absolute paths, those of the folder it was made in."""
    if artifacts.is_absolute() or ":" in str(artifacts):  # not in the project
        return
    database.execute("BEGIN IMMEDIATE")
    query = "SELECT artifact_location FROM experiments WHERE artifact_location IS NOT NULL"
    found = [_local(location) for (location,) in database.execute(query)]
    kept_in = [path for path in found if path is not None and path.parts[-len(artifacts.parts) :] == artifacts.parts]
    folders = {path.parents[len(artifacts.parts) - 1] for path in kept_in}
    if project in folders:
        return
    for old in sorted(folders):
        if (old / artifacts).exists() and not (old / file.relative_to(project)).exists():
            continue  # no project like this one, but a folder that was chosen for an experiment
        changed = sum(
            _replace(database, table, column, *prefixes)
            for table, column in _LOCATIONS
            for prefixes in ((old.as_uri(), project.as_uri()), (str(old), str(project)))
        )
        logger.info("This project was in %s: corrected %d locations of files in %s", old, changed, file.name)
        if not (project / artifacts).is_dir():
            logger.warning("Files of earlier runs are missing: copy %s to %s", old / artifacts, project / artifacts)


def _replace(database: sqlite3.Connection, table: str, column: str, old: str, new: str) -> int:
    """Replaces a folder at the start of a column's paths; returns how many."""
    return database.execute(
        f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
        f"WHERE substr({column}, 1, length(:old) + 1) = :old || '/'",
        {"old": old, "new": new},
    ).rowcount


def _local(location: str) -> Path | None:
    """A location as a path; None if it is not on this machine."""
    if location.startswith("/"):
        return Path(location)
    parts = urlsplit(location)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None
