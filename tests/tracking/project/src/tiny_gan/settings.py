"""Settings of the project that the tests of tracking run."""

import warnings

from celeba_gan.hooks.signals import Signals
from celeba_gan.tracking.hook import MLflowTracking

warnings.filterwarnings("ignore", message="register_new_resolver")

TRACKING = MLflowTracking()
HOOKS = (TRACKING, Signals())
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"]},
}
