"""`python -m celeba_gan`: the same as `kedro run`, for launchers that start modules, such as torchrun.

It also works where only the package is installed, in a folder without a project: configuration is then given with
`--conf-source`, and `data` is made in the current folder.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project


def main(arguments: list[str] | None = None) -> Any:
    """Runs the project whose folder, or a folder below it, is the current one, or else the installed package.

    Args:
        arguments: As on the command line; None: those of the process, which then ends with the exit status.
    """
    project = find_kedro_project(Path.cwd())
    if project is None:
        os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")  # the project's .telemetry, which is not in the package
        for name in ("hooks", "hooks_utils"):  # they warn that there is no project for their files
            logging.getLogger(f"kedro_viz.integrations.kedro.{name}").setLevel(logging.ERROR)
        configure_project("celeba_gan")
    else:
        bootstrap_project(project)
    from celeba_gan.cli import run  # reads the project's pipelines

    return run(arguments, standalone_mode=arguments is None)


if __name__ == "__main__":
    sys.exit(main())
