import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# Tests run beside each other, a process per core; more threads than cores make torch many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["KEDRO_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def copy_project() -> Callable[[Path], Path]:
    """Copies what a fresh clone needs to run: no data, no runs."""

    def copy(target: Path) -> Path:
        for name in ("conf", "src"):
            shutil.copytree(
                REPOSITORY / name, target / name, ignore=shutil.ignore_patterns("local", "__pycache__", "*.egg-info")
            )
        (target / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, target / name)
        return target

    return copy
