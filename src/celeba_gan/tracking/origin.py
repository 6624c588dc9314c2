"""Where a run comes from: what people filter runs by, as tags, and the versions, as a document."""

import getpass
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeba_gan.foundation import __version__
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.tracking.description import name_pipelines

_PACKAGES = ("kedro", "mlflow", "torch")


def describe_origin(project: Path, run_params: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run, under MLflow's own names where it has them, so that its pages show them.

    `run_params` is what Kedro passes to `before_pipeline_run`; `names` are `dataset` and `experiment` of `globals.yml`.
    """
    return {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": _command(),
        **_git(project),
        **names,
        "preset": str(run_params.get("env") or "base"),
        "pipelines": name_pipelines(run_params),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    own = {"python": platform.python_version(), "celeba-gan": __version__}  # also of a copy that is not installed
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _command() -> str:
    program, arguments = Path(sys.argv[0]), sys.argv[1:]
    started = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return mask_secrets(shlex.join([*started, *arguments]))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def _git(project: Path) -> dict[str, str]:
    """Commit, branch and whether the tree differs from it; nothing without git, a repository or a commit."""

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(project), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {
            "mlflow.source.git.commit": ask("rev-parse", "HEAD"),
            "mlflow.source.git.branch": ask("rev-parse", "--abbrev-ref", "HEAD"),
            "mlflow.source.git.dirty": str(bool(ask("status", "--porcelain"))).lower(),
        }
    except (OSError, subprocess.SubprocessError):
        return {}
