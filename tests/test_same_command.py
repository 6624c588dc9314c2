"""The same command gives the same weights in a fresh folder, whatever `auto` makes of the machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from celeba_gan.gan.runs.run import Run

PARAMS = "train.kimg=0.32,train.tick_kimg=0.16,train.threads=null,train.precision=auto"


def test_two_fresh_trainings_give_equal_tensors(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    projects = [copy_project(tmp_path / name) for name in ("one", "two")]
    command = [sys.executable, "-m", "kedro", "run", "--env", "smoke", "--pipelines", "ingest,preprocess,train"]
    processes = []
    for project in projects:
        (project / "conf/smoke/mlflow.yml").write_text("disable: true\n")
        (project / "conf/smoke/catalog.yml").write_text(
            (project / "conf/smoke/catalog.yml").read_text().replace("images: 160", "images: 70")
        )
        processes.append(
            subprocess.Popen(
                [*command, "--params", PARAMS],
                cwd=project,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in processes:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said

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
