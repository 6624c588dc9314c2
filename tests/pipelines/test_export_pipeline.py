"""`kedro run --pipelines export`, as people type it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from celeba_gan.gan.runs.run import Run, read_exported
from kedro_here import kedro_run

WITHOUT_PAGE = "export.web=false,export.grid_rows=1,export.grid_columns=2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    """A trained project that is tracked in MLflow."""
    project = copy_trained(tmp_path_factory.mktemp("export") / "project")
    mlflow = project / "conf/base/mlflow.yml"
    mlflow.write_text(mlflow.read_text().replace("disable: true", "disable: false"))
    return project


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


def export(project: Path, params: str = WITHOUT_PAGE, status: int = 0) -> str:
    done = kedro_run(project, "--env", "smoke", "--pipelines", "export", "--params", params, status=status)
    return done.words


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_exports_the_generator_with_its_own_evaluation_and_logs_the_card(project: Path) -> None:
    said = export(project)
    folder = project / "data/07_model_output/smoke/export"
    assert f"Export {folder.relative_to(project)}" in said
    assert {path.name for path in folder.iterdir()} == {
        "LICENSE.md", "README.md", "generator.json", "generator.onnx", "generator.pt2", "generator.safetensors",
        "samples.png",
    }  # fmt: skip
    own = Run(project / "data/06_models/smoke").networks().generator
    exported = read_exported(folder / "generator.safetensors").generator
    assert exported.card == own.card
    assert all(torch.equal(exported.tensors[name], tensor) for name, tensor in own.tensors.items())
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "mit"  # the source is known: drawn portraits
    assert card.data.model_name == "smoke"
    assert any(result.metric_type == "swd" for result in card.data.eval_results)
    logged = {path.name: path for path in project.glob("mlartifacts/**/artifacts/export/*")}
    assert logged.keys() == {"README.md", "samples.png"}
    assert logged["README.md"].read_text(encoding="utf-8").startswith("# smoke: a face generator\n")


@pytest.mark.slow
def test_a_generator_that_was_not_evaluated_is_not_given_anothers_numbers(project: Path) -> None:
    (project / "data/08_reporting/smoke/evaluation.json").unlink()
    shutil.rmtree(project / "data/05_model_input")
    export(project)
    card = (project / "data/07_model_output/smoke/export/README.md").read_text(encoding="utf-8")
    assert "Not measured" in card
    assert ModelCard(card).data.license == "unknown"  # its images are not there any more


@pytest.mark.slow
def test_without_npm_nothing_is_done_and_the_former_folder_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(project)
    folder = project / "data/07_model_output/smoke/export"
    before = files(folder)
    monkeypatch.setenv("PATH", str(project))
    said = export(project, "export.grid_rows=1", status=1)
    assert "Error: npm was not found" in said
    assert "Install Node.js, or leave the page out with --params export.web=false" in said
    assert "Running node" not in said
    assert files(folder) == before


def test_a_missing_package_is_found_before_a_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    params = f"{WITHOUT_PAGE},train.resume=false"
    done = kedro_run(project, "--env", "smoke", "--pipelines", "train,export", "--params", params, status=1)
    assert "pip install 'celeba-gan[onnx]'" in done.words
    assert "Running node" not in done.words
    assert not list((project / "data/06_models").glob("smoke.*"))  # nothing was set aside


def test_without_a_trained_generator_the_error_says_how_to_train_one(project: Path) -> None:
    said = export(project, f"experiment=nothing,{WITHOUT_PAGE}", status=1)
    assert "There is no trained generator at" in said
    output = project / "data/07_model_output/nothing"
    assert [path.name for path in output.glob("*")] in ([], [".export.lock"])
