"""How a run ends in MLflow when its process is interrupted, terminated or killed."""

from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # processes of several seconds each

Kedro = Callable[..., CompletedProcess[str]]
Runs = Callable[[str], list[Any]]


@pytest.mark.parametrize(
    ("fault", "pipeline", "code", "status", "models"),
    [
        ("interrupt", "train", 1, "KILLED", 1),
        ("interrupt_twice", "train", 1, "KILLED", 0),  # who asks twice does not wait for an upload
        ("terminate", "train", 143, "KILLED", 1),
        ("terminate", "evaluate", 143, "KILLED", 0),  # no training, whose loop has a handler of its own
    ],
)
def test_the_status_says_how_it_ended(
    kedro: Kedro, runs: Runs, fault: str, pipeline: str, code: int, status: str, models: int
) -> None:
    experiment = f"{pipeline}_{fault}"
    done = kedro("--pipelines", pipeline, "--params", f"experiment={experiment},{pipeline}.fault={fault}")
    assert done.returncode == code, done.stdout + done.stderr
    (run,) = runs(experiment)
    assert run.info.status == status
    assert run.info.end_time is not None
    assert len(run.outputs.model_outputs if run.outputs else []) == models


def test_a_killed_training_resumes_into_its_run(kedro: Kedro, runs: Runs) -> None:
    assert kedro("--pipelines", "train", "--params", "experiment=killed,train.fault=kill").returncode == -9
    (before,) = runs("killed")
    assert before.info.status == "RUNNING"

    assert kedro("--pipelines", "train", "--params", "experiment=killed").returncode == 0
    (after,) = runs("killed")
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert after.data.tags["celeba_gan.resumed"] == "1"
    assert [output.step for output in after.outputs.model_outputs] == [300]
