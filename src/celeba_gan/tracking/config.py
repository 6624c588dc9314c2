"""Settings of tracking: `mlflow.yml`, and the marks on catalog entries. Neither imports MLflow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from pydantic import Field, ValidationError

from celeba_gan.foundation.safety.secrets import mask_secrets as mask_secrets
from celeba_gan.foundation.settings import Settings

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


class TrackingError(RuntimeError):
    """Tracking is set up wrongly or its store cannot be used; the message says where and what to do."""


class TrackingSettings(Settings):
    """The five keys of `mlflow.yml`."""

    tracking_uri: str | None = Field(None, description="store or server; null: SQLite, mlflow.db in the project")
    artifact_location: str | None = Field(None, description="null: mlartifacts/ in the project, or the server's own")
    experiment: str = Field("celeba_gan", min_length=1, description="MLflow experiment, made when missing")
    run_name: str | None = Field(None, description="null: the experiment's (or the measured model's) name and what ran")
    disable: bool = Field(False, description="track nothing and never import MLflow")

    def store_uri(self, project: Path) -> str:
        """Where runs are tracked. `MLFLOW_TRACKING_URI` wins; SQLite paths of `mlflow.yml` start at the project."""
        from_user = os.environ.get("MLFLOW_TRACKING_URI")
        if from_user:
            return from_user
        uri = self.tracking_uri or "sqlite:///mlflow.db"
        file = sqlite_file(uri)
        if file is None:
            return uri
        _, mark, options = uri.partition("?")
        return sqlite_uri(project / file) + mark + options  # an absolute path replaces the project's

    def artifact_uri(self, project: Path) -> str | None:
        """Where a new experiment keeps its artifacts, absolute; none: the tracking server decides."""
        location = self.artifact_location
        if location is None:
            # A bare database would put them below the current folder, wherever that is.
            is_database = self.store_uri(project).split(":", 1)[0].split("+", 1)[0] in _DATABASES
            location = "mlartifacts" if is_database else None
        if location is None or ":" in location:
            return location
        return (project / location).as_uri()


def sqlite_uri(file: Path) -> str:
    """The URI of an SQLite store, as SQLAlchemy reads it: percent-encoded, and `?` begins the options."""
    path = file.as_posix()
    # MLflow makes the parent folder of what it reads in the URI without decoding it. With the slashes encoded, too,
    # that is the current folder; else a project in `50%` would get a folder `50%25` beside it.
    return f"sqlite:///{quote(path, safe='') if set(path) & set('%?') else path}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other store, and for a database in memory."""
    scheme, separator, rest = uri.partition(":///")
    path = unquote(rest.partition("?")[0])
    is_file = scheme.partition("+")[0] == "sqlite" and separator and path and path != ":memory:"
    return Path(path) if is_file else None


@dataclass(frozen=True)
class RunPage:
    """Where an MLflow run is shown."""

    run_id: str
    run_name: str
    experiment_id: str
    experiment: str  # its name
    tracking_uri: str
    command: str  # that opens this store in the browser; a server needs none


class Mark(Settings):
    """A catalog entry's `metadata: {mlflow: ...}`: what tracking does with the dataset."""

    log: Literal["metrics", "params", "image", "artifact", "card", "model"] | None = Field(
        None, description="logged as this; a card is Markdown: without front matter, with the pictures it shows"
    )
    key: str | None = Field(None, description="name of the image series or of the model; null: the dataset's name")
    folder: str | None = Field(None, description="artifact folder; null: the top one")
    file: str | None = Field(None, description="the one in a folder that is logged as an artifact; null: all of them")
    replaces: str | None = Field(None, description="a model that is not read where this dataset names another")
    commit: bool = Field(False, description="saving it makes a tick of training count")
    resume: bool = Field(False, description="reading it resumes the training it came from, in the same MLflow run")


def read_settings(values: Mapping[str, Any]) -> TrackingSettings:
    """Checks `mlflow.yml`.

    Raises:
        TrackingError: A key or a value is not allowed.
    """
    try:
        return TrackingSettings.model_validate(dict(values))
    except ValidationError as error:
        allowed = ", ".join(TrackingSettings.model_fields)
        raise TrackingError(f"mlflow.yml is wrong: {_reasons(error)}. Its keys are {allowed}") from error


def read_mark(name: str, dataset: object) -> Mark:
    """The mark of a catalog entry; an empty one if it has none.

    Raises:
        TrackingError: A key or a value is not allowed.
    """
    metadata = getattr(dataset, "metadata", None) or {}
    try:
        return Mark.model_validate(metadata.get("mlflow") or {})
    except ValidationError as error:
        raise TrackingError(f"Catalog entry {name}, metadata.mlflow is wrong: {_reasons(error)}") from error


def _reasons(error: ValidationError) -> str:
    found = (f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
    return mask_secrets("; ".join(found))
