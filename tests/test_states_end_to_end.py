"""Keeping snapshots, going back to one, the best networks and starting from others' weights, as people run them."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from celeba_gan.datasets.ticks import MetricRowsDataset
from celeba_gan.gan.runs.cards import Origin, RunCard
from celeba_gan.gan.runs.run import Run, read_exported
from celeba_gan.gan.sampling.trained import TrainedGenerator
from kedro_here import TRAINED, kedro_run


def run(project: Path, params: str, *arguments: str, status: int = 0) -> str:
    """Runs the train stage; returns what it said, in one line."""
    return kedro_run(project, "--env", "smoke", *arguments, "--params", params, status=status).words


@pytest.fixture
def project(tmp_path: Path, copy_trained: Callable[..., Path]) -> Path:
    return copy_trained(tmp_path / "project")


def models(project: Path, experiment: str = "smoke") -> Path:
    return project / "data/06_models" / experiment


def rows(project: Path) -> pd.DataFrame:
    return MetricRowsDataset(str(project / "data/07_model_output/smoke/metric_rows")).load()


def state(project: Path, name: str = "state") -> dict[str, torch.Tensor]:
    return load_file(models(project) / f"training_state/{name}.safetensors")


def card(project: Path, experiment: str = "smoke") -> RunCard:
    found = Run(models(project, experiment)).card()
    assert found is not None
    return found


def test_training_is_measured_and_its_best_networks_can_be_used(trained_project: Path) -> None:
    project = trained_project
    measured = rows(project).set_index("images")["swd_absolute_valid"].dropna()
    assert measured.index.tolist() == [320, 640, 960]
    best = json.loads((models(project) / "best_generator.json").read_text())
    assert best["images"] == best["best"]["images"] == measured.idxmin()
    assert best["best"]["value"] == measured.min()
    assert json.loads((models(project) / "best_discriminator.json").read_text()) == best
    generator = read_exported(models(project) / "best_generator.safetensors").generator
    assert TrainedGenerator(generator).sample(2).shape == (2, 16, 16, 3)
    kept = {path.name for path in (models(project) / "training_state").glob("state*")}
    assert {"state.safetensors", "state-000000000640.safetensors", "state-000000000320.safetensors"} == kept
    assert (rows(project)["swd_absolute_valid_floor"].dropna() > 0).all()


def test_going_back_to_a_kept_snapshot_is_exact_and_drops_what_came_later(project: Path) -> None:
    said = run(project, f"{TRAINED},train.resume_from=0.5", "--pipelines", "train", status=1)
    assert "no snapshot at 0.5 kimg" in said
    assert "Snapshots: 0.32, 0.64, 0.96" in said
    assert "Traceback" not in said
    before = state(project, "state-000000000640")
    run(project, f"{TRAINED},train.resume_from=0.32,train.kimg=0.64", "--pipelines", "train")
    after = state(project)
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert rows(project)["images"].max() == 640
    assert not (models(project) / "training_state/state-000000000640.safetensors").exists()
    assert json.loads((models(project) / "best_generator.json").read_text())["images"] <= 640


def test_new_experiment_starts_from_the_weights_of_another_and_measures_nothing(project: Path) -> None:
    start = "experiment=tuned,train.init_from=smoke,train.kimg=0.32,train.evaluate_every_kimg=null"
    said = run(project, f"{start},train.network.dcgan.width=16", "--pipelines", "train", status=1)
    assert "network.dcgan.width: 8 there, 16 here" in said
    assert "Traceback" not in said
    run(project, start, "--pipelines", "train")
    first, tuned = card(project), card(project, "tuned")
    assert tuned.init_from == Origin(id=first.id, images=first.images)
    assert tuned.id != first.id
    assert (tuned.images, tuned.best) == (320, None)
    last, best = (load_file(models(project, "tuned") / f"{name}generator.safetensors") for name in ("", "best_"))
    assert all(torch.equal(tensor, best[name]) for name, tensor in last.items())  # nothing was measured: the last one

    files = {path: path.stat().st_mtime_ns for path in models(project, "tuned").rglob("*.safetensors")}
    run(project, start.replace("=smoke", "=gone"), "--pipelines", "train", "--only-missing-outputs")
    assert {path: path.stat().st_mtime_ns for path in files} == files  # nothing was missing
    said = run(project, start.replace("=smoke", "=gone"), "--pipelines", "train")
    assert "Nothing to train" in said  # a training that resumes pays no attention to where others may start
    (models(project, "tuned") / "best_generator.json").unlink()
    said = run(project, start.replace("=smoke", "=gone"), "--pipelines", "train", "--only-missing-outputs")
    assert "Nothing to train" in said
    assert (models(project, "tuned") / "best_generator.json").is_file()
