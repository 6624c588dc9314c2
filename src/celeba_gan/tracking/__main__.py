"""`python -m celeba_gan.tracking`: `mlflow ui` of this project's store; `make mlflow` runs it.

It reads `mlflow.yml` as a run does: KEDRO_ENV names the environment, and MLFLOW_TRACKING_URI wins.
"""

import argparse
import errno
import os
import shlex
import socket
import sys
from pathlib import Path

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.foundation.wording import wants_plain_text
from celeba_gan.tracking.config import TrackingError, read_settings, sqlite_file


def main() -> None:
    """Replaces this process with `mlflow ui`, which gets all arguments."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        sys.exit(f"{Path.cwd()} is not inside a Kedro project; change to the folder that holds pyproject.toml")
    bootstrap_project(project)
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE), env=os.environ.get("KEDRO_ENV"), **settings.CONFIG_LOADER_ARGS
    )
    options = _address(sys.argv[1:])
    try:
        uri, experiment = _prepared(loader, project)
        check_port(options.host, options.port)
    except TrackingError as error:
        sys.exit(f"Error: {mask_secrets(str(error))}")
    store = ["--backend-store-uri", uri]
    if mask_secrets(uri) != uri:
        store, os.environ["MLFLOW_BACKEND_STORE_URI"] = [], uri  # all users of a machine see its processes' arguments
    command = [sys.executable, "-m", "mlflow", "ui", *store, *sys.argv[1:], *_plain(sys.argv[1:])]
    print(f"The runs, in a few seconds: {_page(options.host, options.port, experiment)}", flush=True)
    os.chdir(project)  # where `mlflow ui` keeps the artifacts of experiments that are made in it
    os.execv(sys.executable, command)


def check_port(host: str, port: str) -> None:
    """Checks that a server can listen at this port; what else may be wrong with it, `mlflow ui` tells.

    Raises:
        TrackingError: Another program does.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: a port just left is free
            one.bind(place)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise TrackingError(
                f"port {port} of {host} is taken, perhaps by this page: see http://{_reached(host)}:{port}/. To open "
                'another one, give --port: make mlflow ARGS="--port 5001"'
            ) from error


def _plain(arguments: list[str]) -> list[str]:
    """What keeps colours out of the server's log, where they are not wanted and the server is MLflow's own choice."""
    chosen = any(one.partition("=")[0].endswith("-opts") or one == "--dev" for one in arguments)
    log = shlex.quote(str(Path(__file__).with_name("plain_log.yaml")))
    return [f"--uvicorn-opts=--log-config {log}"] if wants_plain_text() and not chosen else []


def _address(arguments: list[str]) -> argparse.Namespace:
    """The host and the port among the arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", "-h", default="127.0.0.1")
    parser.add_argument("--port", "-p", default="5000")
    return parser.parse_known_args(arguments)[0]


def _page(host: str, port: str, experiment: str | None) -> str:
    """The address of the curves of all runs, one above the other, or of the list of experiments before there are any.

    Without the workflow, MLflow 3 opens it as that of language models, and shows no run.
    """
    path = "experiments?" if experiment is None else f"experiments/{experiment}/runs?compareRunsMode=CHART&"
    return f"http://{_reached(host)}:{port}/#/{path}workflowType=machine_learning"


def _reached(host: str) -> str:
    """Where a server that listens at this host is reached from here."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _prepared(loader: AbstractConfigLoader, project: Path) -> tuple[str, str | None]:
    """The store's address, and the experiment's id if that is known."""
    try:
        tracking = read_settings(loader["mlflow"])
    except MissingConfigException:
        tracking = read_settings({})
    uri = tracking.store_uri(project)
    if uri.startswith(("http:", "https:", "databricks")):
        raise TrackingError(f"the runs are tracked by the server {mask_secrets(uri)}: open its page in a browser")
    if sqlite_file(uri) is None:
        return uri, None
    from celeba_gan.tracking.database import find_experiment, prepare

    prepare(tracking, project)
    return uri, find_experiment(tracking, project)


if __name__ == "__main__":
    main()
