"""An SQLite store on disk: set up as a whole, and of this MLflow's schema. Imports MLflow."""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import mlflow
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from mlflow.store import db_migrations
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from celeba_gan.tracking.config import TrackingError, TrackingSettings, sqlite_file, sqlite_uri

_PATIENCE: Final = 120  # seconds; setting a store up takes a few


def prepare(settings: TrackingSettings, project: Path) -> None:
    """Makes an SQLite store ready to be opened; does nothing for other stores. Processes do it one after the other.

    A missing one is set up under another name, so that it is complete or not there.

    Raises:
        TrackingError: It is of another version of MLflow, its set-up was interrupted, it is no database, or its folder
            cannot be written to.
    """
    file = sqlite_file(settings.store_uri(project))
    if file is None:
        return
    file = file.absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=_PATIENCE):
            if not file.exists() or file.stat().st_size == 0:
                _create(file)
            try:
                with closing(sqlite3.connect(file, timeout=_PATIENCE)) as database, database:
                    _check_schema(database, file)
            except sqlite3.DatabaseError as error:
                raise TrackingError(f"{file} cannot be read as an SQLite database ({error}): move it away") from error
    except Timeout as error:
        raise TrackingError(f"another process has been setting up {file} for {_PATIENCE} s; end it") from error
    except OSError as error:
        raise TrackingError(f"{file} cannot be written to: {error}") from error


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
            f"{file} is of a newer MLflow than the installed {mlflow.__version__}: pip install --upgrade mlflow"
        )
    if "runs" not in tables or database.execute("SELECT 1 FROM runs").fetchone() is None:
        raise TrackingError(
            f"{file} has no runs, and its set-up was interrupted or is of an older MLflow: delete it, and the next run "
            "makes a new one"
        )
    raise TrackingError(
        f"{file} is of an older MLflow than the installed {mlflow.__version__}. Copy the file, then upgrade it: "
        f"mlflow db upgrade {shlex.quote(sqlite_uri(file))}"
    )
