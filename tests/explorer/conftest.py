from pathlib import Path

import pytest
from small_project import make_project

from celeba_gan.explorer.models import LoadedModel, Models


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small experiments; see `make_project`. Copy what you change."""
    return make_project(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="session")
def models(project: Path) -> Models:
    found = Models(project)
    found.refresh()
    return found


@pytest.fixture(scope="session")
def plain(models: Models) -> LoadedModel:
    return models.load("plain")
