"""`kedro run --pipeline plan` as people run it: before there is anything, and after a training."""

from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import ConditionSettings
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.reporting.training.plan import Labels, count_labels
from kedro_here import kedro_run


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def kedro(project: Path, *arguments: str, status: int = 0) -> str:
    return kedro_run(project, "--env", "smoke", *arguments, status=status).words


def contents(project: Path) -> dict[str, tuple[int, bytes]]:
    """Every file but Python's, and what kedro-viz notes of every run."""
    return {
        str(path.relative_to(project)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in project.rglob("*")
        if path.is_file() and not {"__pycache__", ".viz"} & set(path.parts)
    }


def page(project: Path, *arguments: str) -> str:
    """What the plan says, when it has left everything as it was."""
    before = contents(project)
    said = kedro(project, *arguments)
    assert contents(project) == before
    return said


@pytest.mark.slow
def test_it_plans_before_there_is_anything(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    project = copy_project(tmp_path / "project")
    said = page(project, "--pipeline", "plan")  # the old spelling, too
    assert "Images 16x16, not packed yet" in said
    assert "DCGANGenerator 35,227" in said
    assert "Schedule 960 images (0.96 kimg) " in said
    assert "Remaining 30 iterations in 3 ticks of 0.32 kimg" in said
    assert "at the peak" in said
    assert "are free. Measured in one iteration" in said
    assert "images/s, measured in" in said
    assert not (project / "mlflow.db").exists()
    assert not (project / "data").exists()


@pytest.mark.slow
def test_it_plans_the_rest_of_a_training(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    project = copy_project(tmp_path / "project")
    kedro(project, "--pipelines", "ingest,preprocess,train", "--params", "preprocess.condition_on=Male")

    said = page(project, "--pipelines", "plan", "--params", "train.kimg=1.6,preprocess.condition_on=Male")
    assert "128 of them for training" in said
    assert "Schedule 1,600 images (1.6 kimg), each training image 12.5 times" in said
    assert "Done 960 images; 640 are left" in said
    assert "Remaining 20 iterations in 2 ticks" in said

    said = page(project, "--pipelines", "plan", "--params", "train.resume=false")  # sets nothing aside
    assert "Done" not in said
    said = page(project, "--pipelines", "plan", "--only-missing-outputs")
    assert "Remaining 0 iterations in 0 ticks" in said
    assert "none: the networks have seen all these images already" in said

    refused = kedro(project, "--pipelines", "plan", "--params", "train.seed=1", status=1)
    assert "seed: 0 in the snapshot, 1 now" in refused


@pytest.mark.parametrize(
    ("condition", "condition_on", "labels"),
    [
        ({"name": "none"}, ["Male"], Labels(None)),
        ({"name": "class"}, ["Male", "Smiling"], Labels(4)),
        ({"name": "class"}, ["label"], Labels(10, assumed=True)),
        ({"name": "attributes", "attributes": ["Male"]}, [], Labels(1)),
        ({"name": "attributes"}, [], Labels(40, assumed=True)),
    ],
)
def test_labels_are_counted_as_far_as_they_are_known(
    condition: dict[str, object], condition_on: list[str], labels: Labels, make_snapshot: Callable[..., Snapshot]
) -> None:
    settings = ConditionSettings.model_validate(condition)
    assert count_labels(settings, condition_on, None) == labels
    if settings.name != "none":
        known = Condition(kind=settings.name, names=("a", "b", "c"), sets=(), counts=(), digest="")
        assert count_labels(settings, condition_on, make_snapshot(1, condition=known).card) == Labels(3)
    assert count_labels(settings, condition_on, make_snapshot(1).card) == labels
