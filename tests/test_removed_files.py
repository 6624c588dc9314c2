"""Whatever a person removes from `data/`, the same command makes it again, or goes on without it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_gan.gan.runs.run import Run
from kedro_here import TRAINED, kedro_run

COMMAND = ("--env", "smoke", "--params", TRAINED)
FOLDERS = [
    "01_raw",
    "02_intermediate",
    "03_primary",
    "04_feature",
    "05_model_input",
    "05_model_input/smoke/images",
    "06_models",
    "06_models/datasets",
    "06_models/smoke",
    "06_models/smoke/training_state",
    "07_model_output",
    "07_model_output/smoke/metric_rows",
    "07_model_output/smoke/samples",
    "07_model_output/smoke/training_grids",
    "08_reporting",
    "08_reporting/smoke",
]
FILES = [
    "05_model_input/smoke/images/manifest.json",
    "05_model_input/smoke/images/shard-00001.npy",
    "05_model_input/smoke/labels.parquet",
    *(
        f"06_models/smoke/{prefix}{name}"
        for prefix in ("", "best_")
        for name in ("generator.json", "discriminator.json")
    ),
    *(
        f"06_models/smoke/{prefix}{name}.safetensors"
        for prefix in ("", "best_")
        for name in ("generator", "discriminator")
    ),
    "06_models/smoke/training_state/state.safetensors",
]
HISTORY = ["06_models/smoke/training_state/state-000000000640.safetensors"]  # not made again: that is past
NEW_TRAINING = {"06_models", "06_models/smoke", "06_models/smoke/training_state"}


@pytest.mark.slow
@pytest.mark.parametrize("removed", [*FOLDERS, *FILES, *HISTORY])
def test_the_same_command_runs_after_a_removal(tmp_path: Path, copy_trained: Callable[..., Path], removed: str) -> None:
    project = copy_trained(tmp_path / "project")
    path = project / "data" / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = kedro_run(project, *COMMAND)
    assert path.exists() != (removed in HISTORY)
    assert Run(project / "data/06_models/smoke").finished()
    assert ("is missing. Using the snapshot before it" in said.words) == (removed == FILES[-1])
    begun = "Starting a new training (its snapshot is gone)" in said.words
    assert begun == (removed in NEW_TRAINING)
    aside = sorted(folder.name for folder in (project / "data").glob("07*/smoke.*"))
    assert bool(aside) == begun  # nothing of the earlier training is lost or mixed with the new one's


def test_if_every_snapshot_is_damaged_what_the_error_advises_starts_anew(
    tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    project = copy_trained(tmp_path / "project")
    states = sorted((project / "data/06_models/smoke/training_state").glob("state*.safetensors"))
    assert len(states) > 1
    for path in states:
        content = path.read_bytes()
        path.unlink()  # it may be a link
        path.write_bytes(content[:-1])
    said = kedro_run(project, *COMMAND, "--pipelines", "train", status=1)
    assert [path.name for path in states if f"{path.name} is damaged" not in said.words] == []
    assert "--params train.resume=false" in said.words
    assert "Traceback" not in said.text
    kedro_run(project, *COMMAND[:-1], f"{TRAINED},train.resume=false", "--pipelines", "train")
    assert Run(project / "data/06_models/smoke").finished()
    (aside,) = (project / "data/06_models").glob("smoke.*")
    assert sorted(path.name for path in aside.glob("training_state/state*")) == [path.name for path in states]


@pytest.mark.parametrize(
    ("removed", "pipelines", "advice"),
    [
        pytest.param(
            "02_intermediate",
            "preprocess",
            "rejected_images.csv is missing. Make it with kedro run --pipelines ingest",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "03_primary",
            "preprocess",
            "image_index.parquet is missing. Make it with kedro run --pipelines ingest",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "05_model_input/smoke/labels.parquet",
            "train",
            "is missing. Make it with kedro run --pipelines preprocess",
            marks=pytest.mark.slow,
        ),
        ("05_model_input", "train", "missing. Make it with kedro run --pipelines preprocess"),
        ("05_model_input/smoke/images", "evaluate", "Pack them again: kedro run --pipelines preprocess"),
        ("06_models", "evaluate,generate", "Train one (kedro run --pipelines train"),
        ("07_model_output/smoke/training_grids", "generate", "Train (kedro run --pipelines train"),
    ],
)
def test_a_stage_without_its_inputs_says_what_makes_them(
    tmp_path: Path, copy_trained: Callable[..., Path], removed: str, pipelines: str, advice: str
) -> None:
    project = copy_trained(tmp_path / "project")
    path = project / "data" / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = kedro_run(project, *COMMAND, "--pipelines", pipelines, status=1)
    assert f"{advice} with the same --env and --params" in said.words  # else the files of another dataset would be made
    assert "Traceback" not in said.text


@pytest.mark.parametrize(
    ("kept", "pipelines", "stages"),
    [
        ([], "preprocess", "ingest"),
        pytest.param([], "train", "ingest,preprocess", marks=pytest.mark.slow),
        ([], "evaluate", "ingest,preprocess,train"),
        pytest.param([], "generate", "ingest,preprocess,train", marks=pytest.mark.slow),
        pytest.param([], "export", "ingest,preprocess,train", marks=pytest.mark.slow),
        ([], "train,evaluate", "ingest,preprocess"),
        (["02_intermediate", "03_primary"], "generate", "preprocess,train"),
        pytest.param(["06_models"], "evaluate", "ingest,preprocess", marks=pytest.mark.slow),
        (["05_model_input"], "evaluate", "train"),
    ],
)
def test_one_command_makes_all_that_a_stage_lacks(
    tmp_path: Path, copy_trained: Callable[..., Path], kept: list[str], pipelines: str, stages: str
) -> None:
    project = copy_trained(tmp_path / "project")
    for folder in (project / "data").iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)
    said = kedro_run(project, *COMMAND, "--pipelines", pipelines, status=1)
    assert f"kedro run --pipelines {stages} with the same --env and --params" in said.words
    assert "Traceback" not in said.text


@pytest.mark.slow
def test_after_that_command_the_stage_runs(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    project = copy_project(tmp_path / "project")
    said = kedro_run(project, *COMMAND, "--pipelines", "evaluate", status=1)
    stages = re.search(r"kedro run --pipelines (\S+) with the same", said.words)
    assert stages
    kedro_run(project, *COMMAND, "--pipelines", stages[1])
    kedro_run(project, *COMMAND, "--pipelines", "evaluate")


def test_another_model_is_evaluated_without_a_training_of_this_experiment(
    tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    project = copy_trained(tmp_path / "project")
    (project / "data/05_model_input/smoke/labels.parquet").unlink()
    named = ("--env", "smoke", "--params", f"{TRAINED},experiment=other,evaluate.model=smoke")
    said = kedro_run(project, *named, "--pipelines", "evaluate", status=1)
    assert "labels.parquet is missing. Make it with kedro run --pipelines preprocess with the same" in said.words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("emptied", "pipelines", "stage"),
    [
        ("02_intermediate/smoke/rejected_images.csv", "preprocess", "ingest"),
        ("03_primary/smoke/image_index.parquet", "preprocess", "ingest"),
        ("05_model_input/smoke/labels.parquet", "train", "preprocess"),
        ("05_model_input/smoke/images/manifest.json", "train", "preprocess"),
        ("05_model_input/smoke/images/shard-00001.npy", "evaluate", "preprocess"),
    ],
)
def test_an_empty_file_is_named_with_what_makes_it_again(
    tmp_path: Path, copy_trained: Callable[..., Path], emptied: str, pipelines: str, stage: str
) -> None:
    project = copy_trained(tmp_path / "project")
    path = project / "data" / emptied
    path.unlink()  # it may be a link
    path.touch()
    said = kedro_run(project, *COMMAND, "--pipelines", pipelines, status=1)
    assert path.name in said.words
    assert f"kedro run --pipelines {stage} with the same --env and --params" in said.words
    assert "Traceback" not in said.text


@pytest.mark.parametrize("folder", ["06_models/smoke", "07_model_output/smoke", "08_reporting/smoke"])
def test_a_file_in_the_place_of_a_folder_is_refused_first(
    tmp_path: Path, copy_trained: Callable[..., Path], folder: str
) -> None:
    project = copy_trained(tmp_path / "project")
    path = project / "data" / folder
    shutil.rmtree(path)
    path.write_text("notes")
    said = kedro_run(project, *COMMAND, "--pipelines", "train", status=1)
    assert f"data/{folder} is a file, and this run makes a folder of that name" in said.words
    assert "Traceback" not in said.text
