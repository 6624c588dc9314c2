import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset

from celeba_gan.gan.runs.cards import BestTick
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Snapshot, save_best
from celeba_gan.gan.sampling.control_documents import Direction, Directions, Prediction, Projections
from celeba_gan.hooks.summary import Summary
from celeba_gan.images.packed import Journal, Manifest, Shard
from celeba_gan.tracking.config import RunPage

TESTS = Path(__file__).parents[1]
Say = Callable[..., list[str]]


class Tracked:
    def __init__(self, uri: str, said: str | None = None) -> None:
        self.uri = uri
        self.said = said

    def decision(self) -> str | None:
        return self.said

    def page(self) -> RunPage:
        return RunPage("abc", "demo train", "1", "celeba_gan", self.uri, "KEDRO_ENV=mine make mlflow")


@pytest.fixture
def account(
    load_context: Callable[..., KedroContext], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Say:
    """The printed lines after a run of this pipeline, in the project's folder."""

    def say(name: str, summary: Summary | None = None, env: str | None = None, **runtime_params: object) -> list[str]:
        context = load_context(env, **runtime_params)
        monkeypatch.chdir(context.project_path)
        summary = summary or Summary()
        context._hook_manager.register(summary)
        catalog = context.catalog  # Kedro tells the hook where the entries are
        summary.before_pipeline_run(catalog)
        capsys.readouterr()
        run_params = {"env": env, "runtime_params": runtime_params}
        summary.after_pipeline_run(run_params, pipelines[name])
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return say


def measured(**parts: Any) -> dict[str, Any]:
    """An evaluation with these parts."""
    stored = TESTS / "evaluation" / "fixtures" / "evaluation_v1.json"
    content: dict[str, Any] = json.loads(stored.read_text())
    return content | {"intervals": {}, "floor": {}, "comparison": None} | parts


def write_findings(file: Path, findings: list[str]) -> None:
    report = json.loads((TESTS / "reporting/data/stored/data_report_v1.json").read_text())
    file.write_text(json.dumps(report | {"findings": findings}))


@pytest.fixture
def fill(make_snapshot: Callable[..., Snapshot]) -> Callable[..., None]:
    """Writes what the summary of a whole line reads."""
    return partial(_fill, make_snapshot)


def _fill(make_snapshot: Callable[..., Snapshot], data: Path, *, finished: bool) -> None:
    index = data / "03_primary/synthetic/image_index.parquet"
    rejected = data / "02_intermediate/synthetic/rejected_images.csv"
    manifest = data / "05_model_input/synthetic/images/manifest.json"
    evaluation = data / "08_reporting/demo/evaluation.json"
    for path in (index, rejected, manifest, evaluation):
        path.parent.mkdir(parents=True)
    pd.DataFrame({"image_id": [f"{i:06d}.jpg" for i in range(4096)]}).to_parquet(index)
    pd.DataFrame({"image_id": ["7.jpg", "9.jpg"], "reason": ["a,\nb", "c"]}).to_csv(rejected, index=False)
    unreadable = data / "05_model_input/synthetic/unreadable_images.csv"
    pd.DataFrame({"image_id": ["8.jpg"], "reason": ["damaged"]}).to_csv(unreadable, index=False)
    packed = data / "05_model_input/synthetic"
    classes = pd.DataFrame(
        {"class": [0, 1], "name": ["not Male", "Male"], "train": [2000, 1300], "valid": 1, "test": 1}
    )
    classes.to_csv(packed / "classes.csv", index=False)
    report = data / "08_reporting/datasets/synthetic/data_report.json"
    report.parent.mkdir(parents=True)
    (report.parent / "data.html").write_text("<html></html>")
    write_findings(report, [f"Finding {number}." for number in range(7)])
    manifest.write_text(json.dumps({
        "format_version": 2, "count": 4094, "size": 32, "shard_images": 4096, "source_digest": "", "images_digest": "",
        "recipe": {"crop": 178, "size": 32, "filter": "box", "background": "#ffffff", "decoder": 2, "pillow": "12"},
        "splits": {}, "shards": [], "unreadable": [],
        "leaks": [{"image_id": "7.jpg", "reason": "as 9.jpg"}], "duplicates": [], "digest": "",
    }))  # fmt: skip
    best = BestTick(metric="swd_absolute_valid", value=11.5, evaluate_images=256, images=150_000)
    run = Run(data / "06_models/demo")
    run.append(make_snapshot(150_000))
    save_best(make_snapshot(150_000), run.snapshots / "best-000000150000.safetensors")
    card = make_snapshot(180_000, finished=finished).card.model_copy(update={"best": best})
    run.append(replace(make_snapshot(180_000), card=card))
    metrics = {"age": 0.4321, "prob_real": 0.5, "swd": 12.345, "swd_32": 1.0}
    evaluation.write_text(json.dumps(measured(metrics=metrics, floor={"swd": 3.21})))
    write_control(data / "07_model_output/demo", rmse=[10, 30, 12.34])


def write_control(output: Path, rmse: Sequence[float]) -> None:
    """Directions of three attributes, two of which are predicted well, and projections with these errors."""
    output.mkdir(parents=True, exist_ok=True)
    found = [
        Direction(name=name, kind="attribute", vector=(1,), prediction=Prediction(auc=auc, accuracy=1, share=0.5))
        for name, auc in (("Male", 0.9), ("Hat", 0.8), ("Smiling", 0.79))
    ]
    closed = Direction(name="closed_form_1", kind="closed_form", vector=(1,), singular_value=2)
    common = {"training_id": "a", "images": 1, "seed": 0}
    sizes = {"latent_size": 1, "samples": 9, "held_out": 3, "strength": 3, "step": 3}
    directions = Directions(directions=(*found, closed), **common, **sizes)
    (output / "directions.json").write_text(json.dumps(directions.to_json()))
    photographs = [
        {"name": "a", "latent": [1], "labels": [], **dict.fromkeys(("error", "best_random", "mean_sample"), error)}
        for error in ({"rmse": value, "features": None} for value in rmse)
    ]
    projections = Projections.model_validate({**common, "steps": 3, "photographs": photographs})
    (output / "projections.json").write_text(json.dumps(projections.to_json()))
    report = output.parents[1] / "08_reporting" / output.name
    report.mkdir(parents=True, exist_ok=True)
    for name in ("training.gif", "training.mp4", "walk.webp"):
        (report / name).touch()


def test_the_whole_line_is_summarised_with_every_place(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=True)
    lines = account("__default__", Summary(Tracked("sqlite:////x/mlflow.db")))
    assert "Indexed 4,096 images" in lines
    listed = "listed with the reason in data"
    assert f"Rejected 2 other images when indexing, {listed}/02_intermediate/synthetic/rejected_images.csv" in lines
    assert f"Left out 1 indexed image when packing, {listed}/05_model_input/synthetic/unreadable_images.csv" in lines
    assert "Packed 4,094 images of 32x32 pixels; removed 1 of train that valid or test has, too" in lines
    assert (
        "Classes 2, with 1,300 to 2,000 training images each, listed in data/05_model_input/synthetic/classes.csv"
    ) in lines
    assert [line for line in lines if line.startswith("Data ")] == [
        *(f"Data Finding {number}." for number in range(5)),
        "Data 2 more findings in the report",
        "Data report data/08_reporting/datasets/synthetic/data.html",
    ]
    assert "Trained on 180,000 images (180 kimg), finished" in lines
    assert "Generator data/06_models/demo/generator.safetensors" in lines
    assert "Best swd_absolute_valid 11.5 after 150,000 images: data/06_models/demo/best_generator.safetensors" in lines
    assert "Grids data/07_model_output/demo/training_grids" in lines
    assert any(line.startswith("SWD 12.3 (real images 3.21): distance") for line in lines)
    assert any(line.startswith("AGE 0.432: of the discriminator: 0.5 for chance") for line in lines)
    assert "Pictures data/08_reporting/demo/sample_grid.png" in lines
    assert "Animation data/08_reporting/demo/training.gif, data/08_reporting/demo/training.mp4" in lines
    assert "Walk data/08_reporting/demo/walk.webp" in lines
    assert "Samples data/07_model_output/demo/samples" in lines
    directions = "data/07_model_output/demo/directions.json (3 attributes, 2 with AUC >= 0.8; 1 in closed form)"
    assert f"Directions {directions}" in lines
    projections = "3 photographs, median error 12.3 grey levels: data/07_model_output/demo/projections.json"
    assert f"Projections {projections}" in lines
    assert any(line.startswith("Look kedro viz run (") and line.endswith("or make viz") for line in lines)
    page = "http://127.0.0.1:5000/#/experiments/1/runs/abc?"
    assert any(line.startswith(f"Compare KEDRO_ENV=mine make mlflow, then {page}") for line in lines)


def test_what_does_not_exist_is_not_listed(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=True)
    packed = project / "data/05_model_input/synthetic"
    (packed / "unreadable_images.csv").write_text("image_id,reason\n")
    (packed / "classes.csv").write_text("class,name,train,valid,test\n0,all,9,1,1\n")
    report = project / "data/08_reporting/datasets/synthetic/data_report.json"
    write_findings(report, ["Nothing unusual was found."])
    lines = [line for line in account("preprocess") if line]
    assert lines[:3] == [
        "Packed 4,094 images of 32x32 pixels; removed 1 of train that valid or test has, too",
        "Data Nothing unusual was found.",
        "Data report data/08_reporting/datasets/synthetic/data.html",
    ]
    assert [line.split()[0] for line in lines[3:]] == ["Time", "Look"]


def test_projections_are_not_listed_without_photographs(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=True)
    write_control(project / "data/07_model_output/demo", rmse=[])
    labels = [line.split()[0] for line in account("generate") if line]
    assert labels == ["Pictures", "Animation", "Walk", "Samples", "Directions", "Time", "Look"]


def test_only_what_the_run_made_is_listed(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=True)
    labels = [line.split()[0] for line in account("ingest") if line]
    assert labels == ["Indexed", "Rejected", "Time", "Look"]


def test_an_export_says_how_to_open_its_page_and_where_its_card_is(account: Say, project: Path) -> None:
    folder = project / "data/07_model_output/mine/export"
    folder.mkdir(parents=True)
    card = "Export data/07_model_output/mine/export (its model card is README.md)"
    (folder / "index.html").touch()
    lines = account("export", experiment="mine")
    assert card in lines
    (page,) = [line for line in lines if line.startswith("Page ")]
    command, _, address = page.removeprefix("Page ").partition(", then ")
    assert shlex.split(command) == [
        *("python", "-m", "http.server", "--bind", "127.0.0.1", "--directory"), "data/07_model_output/mine/export",
    ]  # fmt: skip
    assert address.startswith("http://127.0.0.1:8000/")
    (folder / "index.html").unlink()  # as with export.web=false
    lines = account("export", experiment="mine")
    assert card in lines
    assert not [line for line in lines if line.startswith("Page ")]


def test_what_happened_in_the_registry_is_one_line(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=True)
    said = "faces version 2 is the new champion: frechet_attributes 10 (9 to 11) against 20 (19 to 21) of version 1"
    assert f"Registry {said}" in account("evaluate", Summary(Tracked("sqlite:////x/mlflow.db", said)))
    for summary in (Summary(Tracked("sqlite:////x/mlflow.db")), Summary()):
        assert not [line for line in account("evaluate", summary) if line.startswith("Registry")]


def test_an_unfinished_generator_and_a_server_are_named(account: Say, project: Path, fill: Callable[..., None]) -> None:
    fill(project / "data", finished=False)
    lines = account("train", Summary(Tracked("https://mlflow.example/")))
    assert "Trained on 180,000 images (180 kimg), not finished" in " ".join(lines)
    assert lines[-1].startswith("Compare https://mlflow.example/#/experiments/1/runs/abc")


def test_the_viz_command_shows_this_run(account: Say, project: Path, make_snapshot: Callable[..., Snapshot]) -> None:
    Run(project / "data/06_models/mine").append(make_snapshot(1, finished=True))
    lines = account("train", env="smoke", experiment="mine")
    assert not [line for line in lines if line.startswith("Best")]  # nothing was measured
    assert any(line.startswith("Look kedro viz run --env smoke --params experiment=mine (") for line in lines)


def test_another_models_numbers_come_from_its_own_folder_with_the_verdict_of_a_comparison(
    account: Say, project: Path, fill: Callable[..., None]
) -> None:
    fill(project / "data", finished=True)
    rows = [
        {"metric": "frechet_attributes", "model": 18.234, "against": 25, "low": -9, "high": -4, "better": "model"},
        {"metric": "swd", "model": 12.3, "against": 12, "low": None, "high": None, "better": "neither"},
        {"metric": "recall_attributes", "model": 0.5, "against": 0.7, "low": -0.3, "high": -0.1, "better": "against"},
    ]
    comparison = {"model": "mine", "against": "models:/faces/1", "rows": rows}
    file = project / "data/08_reporting/demo/mine/evaluation.json"
    file.parent.mkdir()
    file.write_text(json.dumps(measured(metrics={"swd": 77.7}, comparison=comparison)))
    lines = account("evaluate", evaluate={"model": "mine", "compare_with": "models:/faces/1"})
    assert any(line.startswith("SWD 77.7:") for line in lines)
    assert (
        "Compared mine with models:/faces/1: better in frechet_attributes (18.2 against 25); "
        "worse in recall_attributes (0.5 against 0.7); undecided in swd (12.3 against 12)"
    ) in lines
    assert any(line.startswith("Look kedro viz run --params evaluate.model=mine (") for line in lines)
    assert "Report data/08_reporting/demo/mine/evaluation.html" in lines
    assert not [line for line in account("evaluate") if line.startswith("Compared")]


@pytest.mark.parametrize(
    ("finished", "params", "words"),
    [
        (False, {"resume": True, "resume_from": None}, "training is saved at 12,800 images; the same command resumes"),
        (False, {"resume": False}, "the same command without train.resume=false resumes"),
        pytest.param(
            False, {"resume_from": 10}, "the same command without train.resume_from resumes", marks=pytest.mark.slow
        ),
        (True, {"resume": True}, "training is finished (12,800 images) and saved; the same command does the rest"),
    ],
)
def test_an_interruption_says_where_training_resumes(finished: bool, params: dict[str, Any], words: str) -> None:
    """A process of its own: what counts is what it says as it ends."""
    script = f"""
from kedro.io import DataCatalog, MemoryDataset
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.hooks.summary import Summary

summary = Summary()
params = {{f"params:train.{{name}}": MemoryDataset(value) for name, value in {params}.items()}}
summary.before_pipeline_run(DataCatalog(params))
card = RunCard.model_construct(images=12800, finished={finished})
summary.after_dataset_saved("training_run", Snapshot("training_state", card, {{}}))
summary.after_dataset_saved("training_curves", None)
raise SystemExit(143)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 143
    assert words in " ".join(ended.stdout.split())


@pytest.mark.parametrize("ending", ["success", "error"])
def test_a_run_that_ended_by_itself_prints_nothing_at_the_end_of_the_process(ending: str) -> None:
    script = f"""
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.hooks.summary import Summary

summary, catalog = Summary(), DataCatalog()
summary.before_pipeline_run(catalog)
card = RunCard.model_construct(images=1, finished=False)
summary.after_dataset_saved("training_run", Snapshot("training_state", card, {{}}))
if "{ending}" == "success":
    summary.after_pipeline_run({{}}, Pipeline([]))
else:
    summary.on_pipeline_error()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Stopped" not in ended.stdout


def test_an_interrupted_packing_says_that_its_shards_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary()
    summary.before_pipeline_run(DataCatalog({"params:train.resume": MemoryDataset(True)}))
    try:
        summary._print_interruption()
        finished = "Stopped  stages that were finished are kept; the same command does the rest"
        assert finished in capsys.readouterr().out
        journal = Journal.model_construct()
        summary.after_dataset_saved("packed_images", Shard(4, np.zeros((1, 8, 8, 3), np.uint8), journal))
        summary._print_interruption()
        assert "Stopped  5 packed shards kept; the same command continues" in capsys.readouterr().out
        summary.after_dataset_saved("packed_images", Manifest.model_construct())
        summary._print_interruption()
        assert finished in capsys.readouterr().out
    finally:
        summary.on_pipeline_error()
