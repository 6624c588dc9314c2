"""Exports of tiny generators."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import make_subject

from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.folder import ExportedFolder, export_folder
from celeba_gan.exporting.web_runtime import WebRuntime
from celeba_gan.gan.runs.snapshot import Network


@pytest.fixture
def export_tiny(tmp_path: Path) -> Callable[..., ExportedFolder]:
    """Exports a tiny generator without its page, so that no npm is needed."""

    def export(network: Network, **changes: Any) -> ExportedFolder:
        settings = ExportSettings(web=False, grid_rows=2, grid_columns=3)
        runtime = WebRuntime(tmp_path / "nothing")
        return export_folder(network, settings, runtime, lambda trained: make_subject(trained, **changes))

    return export
