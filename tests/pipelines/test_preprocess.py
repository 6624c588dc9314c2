"""Ingest and preprocess as people run them, in a copy of the project."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from celeba_gan.reporting.data.findings import NOTHING

pytestmark = pytest.mark.slow

TRAP = """
with open({marker!r}, "a") as file:
    file.write(f"{{__name__}}\\n")
raise ImportError("torch was imported")
"""


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be searched before all others: who imports torch from there is caught, in whichever process."""
    folder = tmp_path_factory.mktemp("traps")
    for name in ("torch", "torchvision"):
        (folder / f"{name}.py").write_text(TRAP.format(marker=str(folder / "caught")))
    return folder


def run(traps: Path, *command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(traps), os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path], traps: Path
) -> tuple[Path, str]:
    """The project after the run, and what it said."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    parameters = "preprocess.workers=2,preprocess.condition_on=[Male]"
    done = run(
        traps, "-m", "kedro", "run", "--env", "smoke", "--pipelines", "ingest,preprocess", "--params", parameters,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, " ".join(done.stdout.split())


def test_no_process_imports_torch(project: tuple[Path, str], traps: Path, tmp_path: Path) -> None:
    caught = traps / "caught"
    assert not caught.exists(), caught.read_text()
    assert run(traps, "-c", "import torch", cwd=tmp_path).returncode != 0
    assert caught.read_text() == "torch\n"  # the trap works


def test_every_report_is_there(project: tuple[Path, str]) -> None:
    folder, said = project
    reports = folder / "data/08_reporting/datasets/smoke"
    report = json.loads((reports / "data_report.json").read_text())
    index = pd.read_parquet(folder / "data/03_primary/smoke/image_index.parquet")
    assert report["images"]["found"] == len(index) == 160
    assert report["images"]["packed"] == {"train": 128, "valid": 16, "test": 16, "all": 160}
    assert len(report["attributes"]) == 40
    assert all(0 < attribute["published"] < 1 for attribute in report["attributes"].values())
    assert NOTHING not in report["findings"]  # 128 images are few
    for finding in report["findings"]:
        assert finding in said

    for chart, title in (("attribute_chart", "Images with each attribute"), ("size_chart", "All 160 photographs")):
        assert title in json.loads((reports / f"{chart}.json").read_text())["layout"]["title"]["text"]
    page = (reports / "data.html").read_text()
    assert "160 images of 16 × 16 pixels" in page
    assert all(finding in page for finding in report["findings"])
    for picture in ("contact_sheet", "mean_image"):
        with Image.open(reports / f"{picture}.png") as image:
            assert np.asarray(image).std() > 10

    packed = folder / "data/05_model_input/smoke"
    labels, classes = pd.read_parquet(packed / "labels.parquet"), pd.read_csv(packed / "classes.csv")
    assert classes["name"].tolist() == ["not Male", "Male"]
    assert (
        classes["train"].tolist() == labels.loc[labels["split"] == "train", "Male"].value_counts().loc[[0, 1]].tolist()
    )
    assert pd.read_csv(packed / "duplicate_images.csv").columns.tolist() == ["image_id", "split", "group", "removed"]
