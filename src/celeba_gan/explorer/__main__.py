"""`python -m celeba_gan.explorer`: a page to explore generators by hand; `make explore` runs it."""

import argparse
import logging
import sys
import threading
from pathlib import Path

from celeba_gan.explorer.recipe import ExplorerError
from celeba_gan.foundation.safety.secrets import mask_logs, mask_secrets


def main() -> None:
    """Serves the page until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m celeba_gan.explorer", description="Explores generators in a browser."
    )
    parser.add_argument("--model", help="an experiment, or models:/NAME@ALIAS; default: the newest experiment")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="folder with data/; default: the current one")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other computers in; default: this one only")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto: the fastest there is")
    parser.add_argument(
        "--tracking-uri", help="MLflow's store; default: MLFLOW_TRACKING_URI, or mlflow.db of the project"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    mask_logs()
    try:
        _serve(arguments)
    except ExplorerError as error:
        sys.exit(f"Error: {mask_secrets(str(error))}")
    except KeyboardInterrupt:
        pass


def _serve(arguments: argparse.Namespace) -> None:
    from celeba_gan.explorer.models import Models
    from celeba_gan.explorer.server import serve
    from celeba_gan.gan.runtime.hardware import HardwareError, find_device
    from celeba_gan.tracking.config import TrackingSettings

    try:
        device = find_device(arguments.device)
    except HardwareError as error:
        raise ExplorerError(str(error)) from error
    project = arguments.project.expanduser().absolute()
    models = Models(project, TrackingSettings(tracking_uri=arguments.tracking_uri), device)
    names = models.refresh()
    if not names:
        raise ExplorerError(
            f"There is no trained generator in {project / 'data' / '06_models'}. Train one with kedro run, or name the "
            "folder of a project with --project"
        )
    with serve(models, arguments.model or models.newest(), arguments.port, arguments.host) as address:
        print(f"Explore faces: {address}\nCtrl-C ends it", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
