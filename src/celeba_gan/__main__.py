"""`python -m celeba_gan`: the same as `kedro run`, for launchers that start modules, such as torchrun."""

import sys
from pathlib import Path

from kedro.framework.cli.project import run
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project


def main() -> None:
    """Runs the project whose folder, or a folder below it, is the current one."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        sys.exit(
            f"{Path.cwd()} is not inside a Kedro project; change to the folder that holds pyproject.toml and conf/"
        )
    bootstrap_project(project)
    run()


if __name__ == "__main__":
    main()
