"""The whole line as people run it: `kedro run` in a copy of the project."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.checkpoint import read_card
from celeba_gan.gan.runs.snapshot import SNAPSHOT
from celeba_gan.portraits.synthetic import SyntheticCelebA
from celeba_gan.sources.tables.celeba_tables import read_attributes, read_partition
from kedro_here import TRAINED, kedro_run

TRAIN = ["--env", "smoke", "--pipelines", "train", "--params", "train.kimg=3.2,train.tick_kimg=0.8,train.threads=1"]
PACKED = ("01_raw", "03_primary", "05_model_input")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    return copy_trained(tmp_path_factory.mktemp("project"))


def test_every_artifact_of_the_contract_is_there(trained_project: Path) -> None:
    data = trained_project / "data"
    assert (data / "01_raw/smoke/img_align_celeba.zip").is_file()
    assert (data / "02_intermediate/smoke/rejected_images.csv").is_file()
    index = pd.read_parquet(data / "03_primary/smoke/image_index.parquet")
    assert len(index) == 160
    assert {"image_id", "split", "width", "height", "identity", "Smiling", "Eyeglasses"} <= set(index.columns)

    packed = data / "05_model_input/smoke"
    manifest = json.loads((packed / "images/manifest.json").read_text())
    shards = [np.load(packed / "images" / f"shard-{number:05d}.npy") for number in range(3)]
    assert [len(shard) for shard in shards] == [64, 64, 32]
    assert all(shard.shape[1:] == (16, 16, 3) and shard.dtype == np.uint8 for shard in shards)
    labels = pd.read_parquet(packed / "labels.parquet")
    for split, (start, stop) in manifest["splits"].items():
        part = labels.iloc[start:stop]
        assert set(part["split"]) == {split}
        assert part["image_id"].is_monotonic_increasing
    assert (packed / "unreadable_images.csv").is_file()

    models = data / "06_models/smoke"
    for name in ("generator", "discriminator", "best_generator", "best_discriminator"):
        card = json.loads((models / f"{name}.json").read_text())
        assert card["finished"] is True
        assert card["images"] == 960
        assert load_file(models / f"{name}.safetensors")
    assert list((models / "training_state").iterdir())

    output = data / "07_model_output/smoke"
    ticks = ["000000000000", "000000000320", "000000000640", "000000000960"]
    assert sorted(file.stem for file in (output / "metric_rows").glob("*.json")) == ticks
    assert sorted(file.stem for file in (output / "training_grids").glob("*.png")) == ticks
    assert len(list((output / "samples").glob("*.png"))) == 8
    directions = json.loads((output / "directions.json").read_text())
    assert {one["kind"] for one in directions["directions"]} >= {"closed_form"}
    assert directions["classifier_digest"] is not None  # evaluate made it before
    assert json.loads((output / "projections.json").read_text())["photographs"] == []

    report = data / "08_reporting/smoke"
    with Image.open(report / "sample_grid.png") as grid:
        assert grid.width > grid.height > 100
    with Image.open(report / "directions.png") as moved:
        assert moved.height > 100
    assert not (report / "projections.png").exists()  # no photographs were given
    with Image.open(report / "training.gif") as animation:
        assert animation.n_frames == 4  # type: ignore[attr-defined]
    assert json.loads((report / "training_curves.json").read_text())["data"]
    evaluation = json.loads((report / "evaluation.json").read_text())
    assert evaluation.keys() == {
        "format_version",
        "metrics",
        "intervals",
        "floor",
        "floor_train",
        "protocol",
        "attributes",
    }
    assert {"age", "age_mean_square", "prob_real", "prob_fake", "swd"} <= evaluation["metrics"].keys()
    assert "swd" in evaluation["floor"]
    assert evaluation["protocol"]["images"] == 960


def test_mlflow_has_the_directions_and_no_picture_of_what_was_not_projected(trained_project: Path) -> None:
    logged = {f"{file.parent.name}/{file.name}" for file in (trained_project / "mlartifacts").rglob("*.*")}
    assert {"directions/directions.json", "directions/directions.png", "pictures/sample_grid.png"} <= logged
    assert not [name for name in logged if name.startswith("projections/")]
    assert "failed to log" not in (trained_project.parent / "trained.log").read_text()


def test_nothing_is_left_half_done(trained_project: Path) -> None:
    assert not [
        path
        for path in (trained_project / "data").rglob("*")
        if ".partial" in path.name or path.name.startswith(".tmp")
    ]


def test_running_again_changes_nothing_and_says_so(project: Path) -> None:
    folder = project / "data"
    files = [file for part in ("05_model_input", "06_models") for file in (folder / part).rglob("*") if file.is_file()]
    before = {file: file.read_bytes() for file in files}
    assert "Nothing to train" in kedro_run(project, "--env", "smoke", "--params", TRAINED).words
    assert {file: file.read_bytes() for file in files} == before
    rows = json.loads((folder / "07_model_output/smoke/metric_rows/000000000960.json").read_text())
    assert rows


def test_evaluate_runs_alone_also_in_the_old_spelling(project: Path) -> None:
    evaluation = project / "data/08_reporting/smoke/evaluation.json"
    before = json.loads(evaluation.read_text())
    evaluation.unlink()
    done = kedro_run(project, "--env", "smoke", "--pipeline", "evaluate")
    assert json.loads(evaluation.read_text()) == before
    assert "evaluation.html" in done.text
    page = evaluation.with_suffix(".html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "data:image/png;base64," in page
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*(src|href)=.(https?:)?//", page)  # it needs no network
    for name in ("measured_samples.png", "nearest_training_images.png", "attribute_shares.json"):
        assert evaluation.with_name(name).stat().st_size


def test_another_model_is_measured_into_a_folder_of_its_own(project: Path) -> None:
    folder = project / "data/08_reporting/smoke"
    before = (folder / "evaluation.json").read_bytes()
    kedro_run(
        project,
        "--env",
        "smoke",
        "--pipelines",
        "evaluate",
        "--params",
        "evaluate.model=smoke,evaluate.compare_with=smoke",
    )
    assert (folder / "evaluation.json").read_bytes() == before
    found = json.loads((folder / "smoke/evaluation.json").read_text())
    assert found["metrics"] == json.loads(before)["metrics"]
    assert {row["better"] for row in found["comparison"]["rows"]} == {"neither"}
    assert (folder / "smoke/evaluation.html").is_file()


def test_another_experiment_leaves_this_one_alone_and_may_evaluate_it(project: Path) -> None:
    data = project / "data"
    files = [file for part in ("06_models", "08_reporting") for file in (data / part / "smoke").rglob("*.*")]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    params = "train.kimg=0.32,experiment=short"
    refused = kedro_run(project, "--env", "smoke", "--params", f"{params},evaluate.model=smoke", status=1)
    using = "draw_sample_grid, film_walk, find_directions, generate_samples, project_photographs".replace(
        ", ", ", generate."
    )
    assert f"generate.{using}, train.train_gan" in refused.words
    kedro_run(project, "--env", "smoke", "--pipelines", "train", "--params", params)
    kedro_run(project, "--env", "smoke", "--pipelines", "evaluate", "--params", "experiment=short,evaluate.model=smoke")
    assert json.loads((data / "06_models/short/generator.json").read_text())["images"] == 320
    assert {file: file.read_bytes() for file in before} == before
    assert not (data / "08_reporting/short/evaluation.json").exists()
    found = json.loads((data / "08_reporting/short/smoke/evaluation.json").read_text())
    assert (found["protocol"]["images"], found["protocol"]["model"]) == (960, "smoke")


def test_missing_celeba_is_one_clear_error(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    project = copy_project(tmp_path / "project")
    text = kedro_run(project, "--env", "celeba", status=1).words
    assert "img_align_celeba.zip" in text
    assert "mmlab.ie.cuhk.edu.hk" in text
    assert "source.path=" in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_odd_celeba_runs_through(project: Path) -> None:
    """Unpacked, LF line ends, no identity file, only some of the images, all of them marked as train."""
    folder = project / "odd"
    SyntheticCelebA(images=80, seed=1, workers=1).write(folder)
    (folder / "identity_CelebA.txt").unlink()
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        text = (folder / name).read_bytes().replace(b"\r\n", b"\n")
        (folder / name).write_bytes(text)
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        archive.extractall(folder, members=archive.namelist()[:60])
    (folder / "img_align_celeba.zip").unlink()
    names = f"dataset=odd,experiment=odd,source.path={folder},train.threads=1"
    kedro_run(project, "--env", "celeba", "--params", f"{names},{SMALL}")
    splits = pd.read_parquet(project / "data/03_primary/odd/image_index.parquet")["split"].value_counts().to_dict()
    assert splits.keys() == {"train", "valid", "test"}
    evaluation = json.loads((project / "data/08_reporting/odd/evaluation.json").read_text())
    assert evaluation["protocol"]["reals"] == splits["test"]


SMALL = (
    "preprocess.size=16,train.network.name=dcgan,train.network.dcgan.width=8,train.batch_size=8,"
    "train.kimg=0.08,train.tick_kimg=0.04"
)


@pytest.mark.slow
def test_kaggles_archive_runs_as_it_was_downloaded(project: Path) -> None:
    """One zip with doubled folders and the tables as CSV in it, nothing unpacked."""
    drawn = project / "drawn"
    SyntheticCelebA(images=80, seed=2, workers=1).write(drawn)
    with (
        zipfile.ZipFile(drawn / "img_align_celeba.zip") as official,
        zipfile.ZipFile(project / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in official.namelist():
            archive.writestr(f"img_align_celeba/{name}", official.read(name))
        attributes = (drawn / "list_attr_celeba.txt").read_text().splitlines()[1:]
        table = "\n".join(",".join(line.split()) for line in ["image_id " + attributes[0], *attributes[1:]])
        archive.writestr("list_attr_celeba.csv", table)
        splits = (drawn / "list_eval_partition.txt").read_text().splitlines()
        archive.writestr(
            "list_eval_partition.csv", "\n".join(["image_id,partition", *(",".join(s.split()) for s in splits)])
        )
    names = f"dataset=kaggle,experiment=kaggle,source.path={project / 'archive.zip'},train.threads=1"
    kedro_run(project, "--env", "celeba", "--pipelines", "ingest,preprocess", "--params", f"{names},{SMALL}")
    index = pd.read_parquet(project / "data/03_primary/kaggle/image_index.parquet").set_index("image_id")
    truth = read_attributes(drawn / "list_attr_celeba.txt")
    pd.testing.assert_frame_equal(index[list(truth.columns)], truth, check_names=False, check_index_type=False)
    assert index["split"].tolist() == read_partition(drawn / "list_eval_partition.txt").loc[index.index].tolist()


def test_any_folder_runs_through_with_its_subfolders_as_classes(project: Path) -> None:
    folder = project / "shapes"
    dice = np.random.default_rng(0)
    for number in range(60):
        pixels = dice.integers(0, 255, (24 + number % 5, 30, 3), dtype=np.uint8)
        kind, suffix = [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "BMP")][number % 4]
        path = folder / ("round" if number % 2 else "square, big") / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, kind)
    (folder / "notes.txt").write_text("not an image")
    (folder / "round" / "tiny.png").write_bytes((folder / "round" / "1.png").read_bytes())
    names = f"dataset=shapes,experiment=shapes,source.path={folder},source.labels=subfolders,train.threads=1"
    kedro_run(project, "--env", "folder", "--params", f"{names},preprocess.condition_on=label,{SMALL}")
    labels = pd.read_parquet(project / "data/05_model_input/shapes/labels.parquet")
    assert set(labels["class"]) == {0, 1}
    assert (labels["label"].map({"round": 0, "square, big": 1}) == labels["class"]).all()
    assert json.loads((project / "data/08_reporting/shapes/evaluation.json").read_text())["protocol"]["size"] == 16
    report = project / "data/08_reporting/datasets/shapes"
    for name in ("data_report.json", "attribute_chart.json", "size_chart.json", "contact_sheet.png", "mean_image.png"):
        assert (report / name).stat().st_size > 100, name


def start_training(project: Path) -> "subprocess.Popen[bytes]":
    log = (project / "train.log").open("ab")
    command = [sys.executable, "-m", "kedro", "run", *TRAIN]
    return subprocess.Popen(command, cwd=project, stdout=log, stderr=log, start_new_session=True)


def wait_for_tick(project: Path, images: int, process: "subprocess.Popen[bytes]") -> None:
    """Waits until this tick is committed: its state's card says so."""
    state = project / "data/06_models/smoke/training_state/state.safetensors"
    deadline = time.monotonic() + 120
    while not (state.is_file() and read_card(state, SNAPSHOT, RunCard).images >= images):
        assert process.poll() is None, (project / "train.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> dict[str, torch.Tensor]:
    target = copy_trained(tmp_path_factory.mktemp("undisturbed"), *PACKED)
    kedro_run(target, *TRAIN)
    return load_file(target / "data/06_models/smoke/training_state/state.safetensors")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGKILL, -9, id="kill -9"),
        pytest.param(signal.SIGINT, 128 + signal.SIGINT, id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, id="SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_stopped_training_resumes_to_the_same_weights(
    undisturbed: dict[str, torch.Tensor],
    tmp_path: Path,
    copy_trained: Callable[..., Path],
    number: int,
    status: int,
) -> None:
    target = copy_trained(tmp_path / "project", *PACKED)
    process = start_training(target)
    wait_for_tick(target, 800, process)
    time.sleep(0.2)  # into the next tick
    os.killpg(process.pid, number)
    assert process.wait(timeout=60) == status, (target / "train.log").read_text()
    assert json.loads((target / "data/06_models/smoke/generator.json").read_text())["finished"] is False

    kedro_run(target, *TRAIN)
    state = load_file(target / "data/06_models/smoke/training_state/state.safetensors")
    assert state.keys() == undisturbed.keys()
    assert all(torch.equal(state[name], undisturbed[name]) for name in state)
    ticks = sorted(int(file.stem) for file in (target / "data/07_model_output/smoke/metric_rows").glob("*.json"))
    rows = [
        row["images"]
        for tick in ticks
        for row in json.loads((target / f"data/07_model_output/smoke/metric_rows/{tick:012d}.json").read_text())
    ]
    assert rows == sorted(set(rows))
    assert rows[-1] == 3200


@pytest.mark.slow
def test_unfinished_training_is_not_taken_for_complete_but_can_be_looked_at(
    tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    target = copy_trained(tmp_path / "project", *PACKED)
    process = start_training(target)
    wait_for_tick(target, 800, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kedro_run(target, "--env", "smoke", "--pipelines", "evaluate,generate")
    protocol = json.loads((target / "data/08_reporting/smoke/evaluation.json").read_text())["protocol"]
    assert protocol["finished"] is False

    kedro_run(target, *TRAIN, "--only-missing-outputs")
    assert json.loads((target / "data/06_models/smoke/generator.json").read_text())["images"] == 3200
