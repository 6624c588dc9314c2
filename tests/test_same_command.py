"""The same command gives the same weights in a fresh folder, whatever `auto` makes of the machine."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from celeba_gan.gan.runs.run import Run
from kedro_here import kedro_run

PARAMS = "train.kimg=0.32,train.tick_kimg=0.16,train.threads=null,train.precision=auto"


@pytest.mark.slow
def test_two_fresh_trainings_give_equal_tensors(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    projects = [copy_project(tmp_path / name) for name in ("one", "two")]
    arguments = ["--env", "smoke", "--pipelines", "ingest,preprocess,train", "--params", PARAMS]
    for project in projects:
        (project / "conf/smoke/mlflow.yml").write_text("disable: true\n")
        (project / "conf/smoke/catalog.yml").write_text(
            (project / "conf/smoke/catalog.yml").read_text().replace("images: 160", "images: 70")
        )

    command = [sys.executable, "-m", "kedro", "run", *arguments]
    done = subprocess.run(command, cwd=projects[0], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    kedro_run(projects[1], *arguments)  # whatever else this process has done

    runs = [Run(project / "data/06_models/smoke") for project in projects]
    one, two = (run.newest() for run in runs)
    assert one is not None
    assert two is not None
    assert one.card.hardware == two.card.hardware
    assert one.card.id != two.card.id  # they are two trainings
    same = {"id": "", "hardware": one.card.hardware}
    assert one.card.model_copy(update=same) == two.card.model_copy(update=same)
    assert one.tensors.keys() == two.tensors.keys()
    assert all(torch.equal(tensor, two.tensors[name]) for name, tensor in one.tensors.items())
    for name in ("generator", "discriminator", "best_generator", "best_discriminator"):
        exported, again = (load_file(run.folder / f"{name}.safetensors") for run in runs)
        assert exported.keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in exported.items())
