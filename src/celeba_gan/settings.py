"""Kedro's settings of this project."""

import warnings

from celeba_gan.hooks.errors import ShortErrors
from celeba_gan.hooks.guards import ParameterGuard
from celeba_gan.hooks.lock import RunLock
from celeba_gan.hooks.measured_models import MeasuredModels, reporting_folder
from celeba_gan.hooks.missing import MissingSpreads
from celeba_gan.hooks.set_aside import SetAside
from celeba_gan.hooks.summary import Summary
from celeba_gan.tracking.hook import MLflowTracking

# About Kedro's own use of omegaconf and pydantic, and about `--pipeline`, which this project goes on taking.
for message in ("register_new_resolver", "Accessing the 'model_fields' attribute", "Option '--pipeline' is deprecated"):
    warnings.filterwarnings("ignore", message=message)

tracking = MLflowTracking()
# The order matters: Kedro calls the last one first. MeasuredModels changes what the catalog loads, so it comes before
# those that ask it; RunLock comes before SetAside, which moves folders and asks what MissingSpreads found missing;
# tracking reads the cards of states and networks, so it comes after these; Summary is last and asks tracking for the
# run.
HOOKS = (
    Summary(tracking),
    tracking,
    SetAside(),
    MissingSpreads(),
    RunLock(),
    MeasuredModels(tracking),
    ParameterGuard(),
    ShortErrors(),
)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment holds differences only. Kedro's default would drop the other keys of a section it touches.
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
    "custom_resolvers": {"reporting_folder": reporting_folder},
}
