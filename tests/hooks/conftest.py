"""A copy of this project's configuration in a temporary folder, with real Kedro sessions on it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession

from kedro_here import configure

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    (folder / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    configure()
    return folder


@pytest.fixture
def load_context(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KedroContext]:
    monkeypatch.setattr("sys.excepthook", print)  # gives it back afterwards, whatever the hooks put there

    def load(env: str | None = None, **runtime_params: object) -> KedroContext:
        session = KedroSession.create(project, env=env, runtime_params=runtime_params)
        return session.load_context()

    return load
