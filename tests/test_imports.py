"""What each command imports: nothing heavy that it does not use."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_here import run_python

LIBRARIES = {
    "matplotlib", "mlflow", "pandas", "plotly", "scipy.signal", "sympy", "torch", "torch._dynamo", "torchmetrics",
    "torchvision",
}  # fmt: skip
BY_KEDRO = {"pandas", "plotly"}  # its MemoryDataset, and the types of the datasets
RUNS = {"mlflow", "pandas", "plotly", "torch", "torch._dynamo", "sympy"}
MS_SSIM = {"torchmetrics", "scipy.signal", "matplotlib"}

Commands = list[str]


def imported(command: Commands, project: Path) -> set[str]:
    """The heavy libraries that a command's own process imports."""
    done = run_python(project, "-X", "importtime", "-m", *command, KEDRO_DISABLE_TELEMETRY="1")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    modules = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))
    assert "celeba_gan.foundation" in modules
    return modules & LIBRARIES


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        pytest.param(["celeba_gan", "--help"], set(), marks=pytest.mark.slow),
        (["kedro", "registry", "list"], set()),
        pytest.param(["kedro", "run", "--help"], set(), marks=pytest.mark.slow),
        pytest.param(["kedro", "catalog", "list-patterns"], BY_KEDRO, marks=pytest.mark.slow),
        (["kedro", "catalog", "describe-datasets"], BY_KEDRO),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",  # a set has another order in each process
)
def test_a_command_that_runs_nothing_imports_nothing_heavy(
    tmp_path: Path, copy_project: Callable[[Path], Path], command: Commands, allowed: set[str]
) -> None:
    assert imported(command, copy_project(tmp_path)) <= allowed


@pytest.mark.slow
def test_runs_import_what_their_stage_uses(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    """torch's compiler comes with any optimiser and with torchvision, which draws grids."""
    project, run = copy_project(tmp_path), ["kedro", "run", "--env", "smoke", "--pipelines"]
    assert imported([*run, "ingest,preprocess"], project) <= {"mlflow", "pandas", "plotly"}
    assert imported([*run, "train"], project) <= {*RUNS, "torchvision"}
    assert imported([*run, "evaluate"], project) <= {*RUNS, *MS_SSIM, "torchvision"}
