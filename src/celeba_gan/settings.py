"""Kedro's settings of this project."""

import os
import sys
import warnings
from pathlib import Path

import rich
from kedro.utils import find_kedro_project

from celeba_gan.datasets.catalog import StaleAwareCatalog
from celeba_gan.datasets.models import reporting_folder
from celeba_gan.foundation.wording import wants_plain_text
from celeba_gan.hooks.config_loader import ConfigLoader
from celeba_gan.hooks.early_checks import EarlyChecks
from celeba_gan.hooks.errors import ShortErrors
from celeba_gan.hooks.guards import FolderError, ParameterError, ParameterGuard, check_environment, check_folder
from celeba_gan.hooks.project_folder import ProjectFolder
from celeba_gan.hooks.ranks import Following, Leading
from celeba_gan.hooks.run_folders import RunFolders
from celeba_gan.hooks.signals import Signals
from celeba_gan.hooks.summary import Summary
from celeba_gan.ranks.launched import launched
from celeba_gan.tracking.hook import MLflowTracking

_QUIET = (
    "register_new_resolver",  # Kedro's own use of omegaconf
    "Accessing the 'model_fields' attribute",  # and of pydantic
    "Option '--pipeline' is deprecated",  # this project still accepts it
    "The 'preview_fn' feature is experimental",  # a drawing in kedro-viz, which goes without it at worst
    "ORJSONResponse is deprecated",  # kedro-viz's own use of FastAPI
)
if wants_plain_text():
    os.environ["TERM"] = "dumb"  # rich takes NO_COLOR for colours alone, and would still print bold and move bars
    rich.reconfigure()
for message in _QUIET:
    warnings.filterwarnings("ignore", message=message)

# `kedro viz build` runs no hook, and would exit with 0. Without a project its folder does not matter.
if (project := find_kedro_project(Path.cwd())) is not None:
    try:
        check_folder(project)
        if "viz" in sys.argv and (conf := project / "conf").is_dir():
            names = (folder.name for folder in conf.iterdir() if folder.is_dir())
            check_environment(os.environ.get("KEDRO_ENV"), conf, names)
    except (FolderError, ParameterError) as error:
        sys.exit(f"Error: {error}")

tracking = MLflowTracking()
HOOKS = (
    (
        ProjectFolder(),
        ShortErrors(),
        ParameterGuard(),
        EarlyChecks(),
        RunFolders(),
        Signals(),
        tracking,
        Summary(tracking),
        Leading(),
    )
    if launched().leads
    else (ProjectFolder(), ShortErrors(), Signals(), Following())
)
DATA_CATALOG_CLASS = StaleAwareCatalog

CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment holds differences only. Kedro's default would drop the other keys of a section it touches.
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
    "custom_resolvers": {"reporting_folder": reporting_folder},
}
