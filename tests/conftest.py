import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from celeba_gan.gan.runs.snapshot import Snapshot

REPOSITORY = Path(__file__).parents[1]
SOURCES = str(REPOSITORY / "src")

# The code beside these tests is what is tested, here and in the processes that tests start, whichever copy of it is
# installed.
sys.path.insert(0, SOURCES)
os.environ["PYTHONPATH"] = os.pathsep.join([SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])])
# Tests run beside each other, a process per core; more threads than cores make torch many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["KEDRO_DISABLE_TELEMETRY"] = "1"
# Kedro asks for ibis, which is not installed, once for each parameter of each catalog; so it is not searched each time.
sys.modules.setdefault("ibis", None)  # type: ignore[arg-type]  # as Python's import system documents

gc.set_threshold(10_000, 20, 20)  # else Python walks through all of torch and pandas dozens of times

settings.register_profile("printed", print_blob=True)  # with what a failure can be repeated
settings.load_profile("printed")


def pytest_collection_finish() -> None:
    """MLflow makes the tables of a process's first store, which takes seconds; those of later ones are copies."""
    if (utils := sys.modules.get("mlflow.store.db.utils")) is None:
        return
    make, made = utils._initialize_tables, sqlite3.connect(":memory:", check_same_thread=False)

    def initialize(engine: Any) -> None:
        with closing(sqlite3.connect(engine.url.database)) as database:
            if made.execute("SELECT 1 FROM sqlite_master").fetchone():
                made.backup(database)
            else:
                make(engine)
                database.backup(made)

    utils._initialize_tables = initialize


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Draws without a seed of their own are the same in whatever order the tests run."""
    if "torch" in sys.modules:  # a test that needs no torch does not import it
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def refuse_lock_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the system refuse to open them from then on, with this error."""
    real = os.open

    def refuse(code: int) -> None:
        def opened(path: str, *arguments: int, **others: int) -> int:
            if str(path).endswith(".lock"):
                raise OSError(code, os.strerror(code), path)
            return real(path, *arguments, **others)

        monkeypatch.setattr("os.open", opened)

    return refuse


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


@pytest.fixture(scope="session")
def trained_project(tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path]) -> Path:
    """A project after `kedro run --env smoke` that keeps three snapshots. One for all tests: copy what you change."""
    from kedro_here import TRAINED, kedro_run

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers
    project, log = root / "trained", root / "trained.log"
    with FileLock(root / "trained.lock"):
        if not log.exists():
            copy_project(project)
            log.write_text(kedro_run(project, "--env", "smoke", "--params", TRAINED).text)
    return project


@pytest.fixture(scope="session")
def copy_trained(trained_project: Path, copy_project: Callable[[Path], Path]) -> Callable[..., Path]:
    """Copies the trained project, or some layers of its data, without MLflow: its store names absolute paths."""

    def copy(target: Path, *layers: str) -> Path:
        copy_project(target)
        for layer in layers or [folder.name for folder in (trained_project / "data").iterdir()]:
            shutil.copytree(trained_project / "data" / layer, target / "data" / layer)
        mlflow = target / "conf/base/mlflow.yml"  # base: --env takes the place of local
        mlflow.write_text(mlflow.read_text().replace("disable: false", "disable: true"))
        return target

    return copy


@pytest.fixture(scope="session")
def make_snapshot() -> Callable[..., "Snapshot"]:
    """Makes snapshots of a training without arithmetic: every tensor is filled with the image count."""
    import torch

    from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
    from celeba_gan.gan.runs.cards import BestTick, HealthCard, Keep, ModelCard, RunCard
    from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
    from celeba_gan.gan.runtime.card import HardwareCard

    def make(images: int, *, best: int | None = None, keep: int = 1, **changes: Any) -> "Snapshot":
        tick = BestTick(metric="swd_absolute_valid", evaluate_images=8, value=1.0, images=best or 0)
        networks = {
            "id": "abc",
            "images": images,
            "finished": False,
            "init_from": None,
            "best": None if best is None else tick,
            "size": 16,
            "random_crop": None,
            "data_digest": "d" * 64,
            "condition": None,
            "network": NetworkSettings(),
            "latent": LatentSettings(),
            "objective": "wgan",
            "probability": "sigmoid",
        }
        card = RunCard.extend(
            ModelCard.model_validate(networks | changes),
            iteration=images,
            history=tuple(range(1000, images, 500)),
            identity={},
            hardware=HardwareCard(device="cpu", device_name="x", precision="float32", threads=1, torch="2"),
            health=HealthCard(),
            keep=Keep(states=keep),
        )
        names = ("generator.w", "average.w", "discriminator.w")
        return Snapshot(SNAPSHOT, card, {name: torch.full((3,), float(images)) for name in names})

    return make
