"""Where a run comes from: the code, the command and the versions, as tags."""

import getpass
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGES = ("celeba-gan", "kedro", "mlflow", "torch")


def describe_origin(project: Path, run_params: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run, under MLflow's own names where it has them, so that its pages show them.

    `run_params` is what Kedro passes to `before_pipeline_run`; `names` are `dataset` and `experiment` of `globals.yml`.
    """
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": _command(),
        **_git(project),
        **names,
        "kedro.env": str(run_params.get("env") or "local"),
        "kedro.pipelines": pipeline_names(run_params),
        "version.python": platform.python_version(),
    }
    for package in _PACKAGES:
        tags[f"version.{package}"] = importlib.metadata.version(package)
    return tags


def pipeline_names(run_params: Mapping[str, Any]) -> str:
    """The pipelines of a run; Kedro gives them in random order."""
    return ",".join(sorted(run_params.get("pipeline_names") or ["default"]))


def _command() -> str:
    program, arguments = Path(sys.argv[0]), sys.argv[1:]
    started = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*started, *arguments])


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
