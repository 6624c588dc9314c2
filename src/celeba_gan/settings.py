"""Kedro's settings of this project."""

import warnings

from celeba_gan.hooks.errors import ShortErrors
from celeba_gan.hooks.guards import ParameterGuard
from celeba_gan.hooks.missing import MissingSpreads
from celeba_gan.hooks.set_aside import SetAside
from celeba_gan.hooks.summary import Summary
from celeba_gan.tracking.hook import MLflowTracking

warnings.filterwarnings("ignore", message="register_new_resolver")  # omegaconf's, about Kedro's own use of it

tracking = MLflowTracking()
# The order matters: Kedro calls the last one first. Tracking reads the state's card, so it comes after SetAside;
# SetAside asks what MissingSpreads found missing; Summary is last and asks tracking for the run.
HOOKS = (Summary(tracking), tracking, SetAside(), MissingSpreads(), ParameterGuard(), ShortErrors())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment holds differences only. Kedro's default would drop the other keys of a section it touches.
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
}
