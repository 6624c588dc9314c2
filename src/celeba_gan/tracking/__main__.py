"""`python -m celeba_gan.tracking`: `mlflow ui` of this project's store; `make mlflow` runs it.

It reads `mlflow.yml` as a run does: KEDRO_ENV names the environment, and MLFLOW_TRACKING_URI wins.
"""

import argparse
import os
import sys
from pathlib import Path

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from celeba_gan.tracking.config import TrackingError, mask_secrets, read_settings, sqlite_file


def main() -> None:
    """Replaces this process with `mlflow ui`, which gets all arguments."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        sys.exit(f"{Path.cwd()} is not inside a Kedro project; change to the folder that holds pyproject.toml")
    bootstrap_project(project)
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE), env=os.environ.get("KEDRO_ENV"), **settings.CONFIG_LOADER_ARGS
    )
    try:
        uri = _prepared(loader, project)
    except TrackingError as error:
        sys.exit(f"Error: {error}")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, *sys.argv[1:]]
    print(f"The runs: {_page(sys.argv[1:])}", flush=True)
    os.chdir(project)  # where `mlflow ui` keeps the artifacts of experiments that are made in it
    os.execv(sys.executable, command)


def _page(arguments: list[str]) -> str:
    """The address of the page; without the workflow, MLflow 3 opens it as that of language models, and shows no run."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", "-h", default="127.0.0.1")
    parser.add_argument("--port", "-p", default="5000")
    options, _ = parser.parse_known_args(arguments)
    host = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
    return f"http://{host}:{options.port}/#/experiments?workflowType=machine_learning"


def _prepared(loader: AbstractConfigLoader, project: Path) -> str:
    try:
        tracking = read_settings(loader["mlflow"])
    except MissingConfigException:
        tracking = read_settings({})
    uri = tracking.store_uri(project)
    if uri.startswith(("http:", "https:", "databricks")):
        raise TrackingError(f"the runs are tracked by the server {mask_secrets(uri)}: open its page in a browser")
    if sqlite_file(uri) is not None:
        from celeba_gan.tracking.database import prepare

        prepare(tracking, project)
    return uri


if __name__ == "__main__":
    main()
