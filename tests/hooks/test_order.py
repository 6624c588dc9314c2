"""The hooks do the same in whatever order settings.py lists them."""

import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from kedro.framework.project import settings
from kedro.framework.session import KedroSession

from celeba_gan.hooks.guards import ParameterError
from celeba_gan.hooks.summary import Summary
from celeba_gan.tracking.hook import MLflowTracking
from kedro_here import configure

ROOT = Path(__file__).parents[2]
STAMP = re.compile(r"smoke\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d")
Hooks = list[Any]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    """A small project with packed images, tracked in MLflow."""
    packed = ("01_raw", "02_intermediate", "03_primary", "05_model_input")
    project = copy_trained(tmp_path_factory.mktemp("prepared") / "project", *packed)
    shutil.copy(ROOT / "conf/base/mlflow.yml", project / "conf/base/mlflow.yml")
    shutil.rmtree(project / "src")  # the code is that of the tests
    (project / "src").mkdir()
    return project


@pytest.fixture
def session(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Runs a session with these hooks in a copy of the project; returns what it printed."""
    project = Path(shutil.copytree(prepared, tmp_path / "project"))
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.chdir(project)
    configure()
    before = settings.HOOKS

    def run(hooks: Hooks, *names: str, only_missing: bool = False, env: str = "smoke", **params: Any) -> str:
        settings.set("HOOKS", tuple(hooks))
        earlier = capsys.readouterr().out
        with KedroSession.create(project, env=env, runtime_params=params) as started:
            started.run(pipeline_names=list(names), only_missing_outputs=only_missing)
        said = capsys.readouterr().out
        print(earlier, said)  # for people, where it fails
        return " ".join(said.split())

    yield run
    settings.set("HOOKS", before)


def listed() -> tuple[Hooks, MLflowTracking]:
    """The hooks of settings.py, made anew."""
    tracking = MLflowTracking()
    made = {MLflowTracking: tracking, Summary: Summary(tracking)}
    return [made.get(type(hook)) or type(hook)() for hook in settings.HOOKS], tracking


def files() -> dict[str, int]:
    """What is in the data folder by name, a time in it left out, and when it was written."""
    return {
        STAMP.sub("smoke.TIME", str(path)): path.stat().st_mtime_ns
        for path in Path("data").rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def mlflow_runs() -> list[tuple[str, str]]:
    """Ids and ends of the runs, the oldest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = client.get_experiment_by_name("celeba_gan").experiment_id
    return [(run.info.run_id, run.info.status) for run in client.search_runs([experiment], order_by=["start_time ASC"])]


def outcome(run: Callable[..., str], order: list[int]) -> dict[str, Any]:
    """What three sessions leave; everything that must hold in any order is asserted on the way."""
    hooks, tracking = listed()
    hooks = [hooks[number] for number in order]
    short = {"train": {"kimg": 0.32}}

    for wrong, said in (({"train": {"kmig": 1}}, "kmig"), ({"env": "smok"}, "did you mean 'smoke'")):
        sys.excepthook = sys.__excepthook__  # the fixture gives it back
        with pytest.raises(ParameterError, match=said):  # the guard is heard first
            run(hooks, "train", **wrong)
        assert type(sys.excepthook).__name__ == "_ShortExceptHook"  # and what it says needs no traceback

    def check(said: str, count: int) -> None:
        found = mlflow_runs()
        assert [status for _, status in found] == ["FINISHED"] * count
        page = tracking.page()
        assert page is not None
        assert page.run_id == found[-1][0]
        assert "Trained on 320 images (0.32 kimg), finished" in said
        assert f"/runs/{page.run_id}?" in said  # the run's page
        with FileLock("data/06_models/.smoke.lock").acquire(timeout=0):  # nobody holds it any more
            pass

    made: dict[str, Any] = {}
    check(run(hooks, "train", "generate", **short), 1)
    made["fresh"] = sorted(files())

    before = files()
    for name in ("training_curves.json", "sample_grid.png"):
        assert f"data/08_reporting/smoke/{name}" in before
    shutil.rmtree("data/07_model_output/smoke/training_grids")
    check(run(hooks, "train", "generate", only_missing=True, **short), 1)  # the same training, so the same MLflow run
    after = files()
    made["anew"] = sorted(name for name in after if after[name] != before.get(name))
    for child in ("08_reporting/smoke/training_curves.json", "08_reporting/smoke/training.gif"):
        assert f"data/{child}" in made["anew"]
    assert "data/07_model_output/smoke/samples/000000.png" not in made["anew"]  # of the same weights: reused

    check(run(hooks, "train", "generate", train={"kimg": 0.32, "resume": False}), 2)
    made["aside"] = sorted(files())
    kept = {name for name in made["aside"] if "smoke.TIME" in name}
    assert {name.replace("smoke.TIME", "smoke") for name in kept} == {
        name for name in after if re.match(r"data/0[678]_\w+/smoke/", name)
    }
    return made


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What the first order to run leaves."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_every_order_leaves_the_same(
    session: Callable[..., str],
    order: str,
    expected: dict[str, Any],
    record_property: Callable[[str, object], None],
) -> None:
    numbers = list(range(8))[::-1]
    if order == "random":
        seed = random.SystemRandom().randrange(10**6)
        record_property("seed", seed)
        random.Random(seed).shuffle(numbers)
        print(f"seed {seed}: {numbers}")  # for people, where it fails
    found = outcome(session, numbers)
    assert found == (expected or found)
    expected.update(found)
