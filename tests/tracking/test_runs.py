"""What a Kedro run leaves in MLflow, and which MLflow run that is. One process runs all the steps."""

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from celeba_gan.evaluation.documents import Evaluation

Runs = Callable[[str], list[Any]]


@pytest.fixture
def first(client: Any, scenario: dict[str, Any]) -> Any:
    return client.get_run(scenario["first"]["run_id"])


def test_disabled_tracking_neither_imports_mlflow_nor_has_a_summary(scenario: dict[str, Any], runs: Runs) -> None:
    assert scenario["mlflow_imported"] is False
    assert scenario["untracked"] is None
    assert runs("untracked") == []


def test_the_summary_names_the_run_and_the_store(first: Any, scenario: dict[str, Any], project: Path) -> None:
    assert scenario["first"] == {
        "run_id": first.info.run_id,
        "run_name": "demo default",
        "experiment_id": first.info.experiment_id,
        "experiment": "tiny",
        "tracking_uri": f"sqlite:///{project}/mlflow.db",
        "command": f"mlflow ui --backend-store-uri sqlite:///{project}/mlflow.db",  # this project has no Makefile
    }
    assert first.info.artifact_uri.startswith(f"file://{project}/mlartifacts/")


def test_parameters_of_the_pipeline_are_flattened_and_long_ones_cut(first: Any) -> None:
    params = first.data.params
    assert params["train.network.dcgan.width"] == "4"
    assert params["train.network.dcgan.max_width"] == "512"  # a default, so the typed model was dumped
    assert params["train.learning_rate"] == "0.01"
    assert params["train.notes"].endswith("... (10000 characters)")
    assert len(params["train.notes"]) == 6000
    assert not [name for name in params if name.startswith("unused")]
    assert params["chosen.samples.count"] == "5"  # a dataset marked `log: params`


def test_tags_are_what_runs_are_filtered_by(client: Any, first: Any, tmp_path: Path) -> None:
    tags = first.data.tags
    assert {name: value for name, value in tags.items() if not name.startswith("mlflow.")} == {
        "dataset": "dots",
        "experiment": "demo",
        "preset": "base",
        "pipelines": "default",
        "device": "cpu",
        "precision": "float32",
        "celeba_gan.training_id": tags["celeba_gan.training_id"],
        "celeba_gan.metric_rows_until": "300",
        "init_from.id": "earlier",
        "init_from.images": "70",
    }
    assert tags["mlflow.source.name"] == "scenario.py"
    text = Path(client.download_artifacts(first.info.run_id, "environment.json", str(tmp_path))).read_text()
    environment = json.loads(text)
    assert environment["hardware"]["device_name"] == "tiny"
    assert {"python", "torch", "kedro", "mlflow"} <= environment["versions"].keys()


def test_runs_and_models_are_described(client: Any, first: Any, scenario: dict[str, Any]) -> None:
    what, trained, measured, command = first.data.tags["mlflow.note.content"].split("\n\n")
    assert what == "`default`, experiment `demo`, dataset `dots`, preset `local`"
    assert trained == "Generator: dcgan, 16x16 pixels, objective wgan; trained on 300 images (finished)."
    assert measured == "Measured on the test split: SWD 0.5 (real images 0.125), AGE 0.25."
    assert command.startswith("To resume or repeat it: `kedro run --params 'experiment=demo,train.notes=")
    assert "long long long" in command
    (model,) = _models(client, first)
    assert model.tags["mlflow.note.content"].split("\n\n")[:3] == [what, trained, measured]
    note = client.get_run(scenario["promoted"]["run_id"]).data.tags["mlflow.note.content"]
    assert note.split("\n\n") == [
        "`evaluate`, experiment `broken`, dataset `dots`, preset `local`",
        measured,
        "To resume or repeat it: `kedro run --pipelines evaluate --params "
        "experiment=broken,evaluate.promote=true,evaluate.model=demo`",
    ]
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.description.startswith(what)


def test_metric_rows_are_points_over_images(client: Any, first: Any) -> None:
    points = client.get_metric_history(first.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [
        (50, 0.5),
        (100, 1 / 100),
        (150, 0.5),
        (200, 1 / 200),
        (250, 0.5),
        (300, 1 / 300),
    ]
    assert "train/images" not in first.data.metrics


def test_grids_are_a_series_of_images_over_training(client: Any, first: Any) -> None:
    names = [file.path for file in client.list_artifacts(first.info.run_id, "images")]
    steps = {name.split("+")[2] for name in names if name.startswith("images/samples+step+")}
    assert steps == {"100", "200", "300"}


def test_floors_intervals_and_protocol_are_in_one_artifact(client: Any, first: Any, tmp_path: Path) -> None:
    evaluation = Evaluation.read(Path(client.download_artifacts(first.info.run_id, "evaluation.json", str(tmp_path))))
    assert evaluation.floor == {"swd": 0.125}
    assert (evaluation.intervals["swd"].low, evaluation.intervals["swd"].high) == (0.375, 0.625)
    assert evaluation.protocol.samples == 10


def test_curves_of_training_come_first_on_the_page(first: Any) -> None:
    sections = sorted({name.split("/")[0] for name in first.data.metrics} - {"system"})  # which has a page of its own
    assert sections == ["train", "trained"]
    assert "train/swd_absolute_valid" in first.data.metrics
    assert not [name for name in first.data.metrics if "floor" in name]


def test_a_card_is_logged_for_reading_with_the_pictures_it_shows(
    client: Any, scenario: dict[str, Any], tmp_path: Path
) -> None:
    run_id = scenario["exported"]["run_id"]
    assert [file.path for file in client.list_artifacts(run_id, "export")] == ["export/README.md", "export/samples.png"]
    card = Path(client.download_artifacts(run_id, "export/README.md", str(tmp_path))).read_text(encoding="utf-8")
    assert card == "# Tiny – a card\n\n*Samples: `samples.png`, beside this file*\n\nWords.\n"
    with Image.open(client.download_artifacts(run_id, "export/samples.png", str(tmp_path))) as picture:
        assert picture.size == (3, 2)


def test_the_summary_is_given_what_happened_in_the_registry(scenario: dict[str, Any]) -> None:
    decisions = scenario["decisions"]
    assert decisions["promoted"] == "tiny version 1 is the first champion: swd 0.5 (0.375 to 0.625)"
    assert decisions["both"].startswith("tiny version 1, the champion, was measured again: swd 0.5")
    assert [decisions[step] for step in ("first", "exported", "threads", "after")] == [None] * 4


def test_files_are_artifacts(client: Any, first: Any) -> None:
    assert [file.path for file in client.list_artifacts(first.info.run_id, "data")] == ["data/dots.csv"]
    assert "evaluation.json" in [file.path for file in client.list_artifacts(first.info.run_id)]


def test_an_evaluation_counts_for_the_run_the_model_and_the_images(
    client: Any, first: Any, runs: Runs, scenario: dict[str, Any]
) -> None:
    expected = {"trained/age": 0.25, "trained/swd": 0.5}
    names = {name for name in first.data.metrics if not name.startswith(("train/", "system/"))}
    assert {name: first.data.metrics[name] for name in names} == expected  # no floor, no interval
    assert {metric.step for metric in client.get_metric_history(first.info.run_id, "trained/age")} == {300}
    (model,) = _models(client, first)
    assert {metric.key: metric.value for metric in model.metrics} == expected
    images = ("dots", "0123456789abcdef0123456789abcdef0123")  # as much of the digest as MLflow takes
    assert {(metric.dataset_name, metric.dataset_digest) for metric in model.metrics} == {images}
    measured = {run.info.run_id for run in runs("demo")} | {scenario[step]["run_id"] for step in ("promoted", "both")}
    assert {metric.run_id for metric in model.metrics} == measured


def test_runs_are_linked_to_the_images_they_work_with(client: Any, scenario: dict[str, Any], first: Any) -> None:
    for run, context in ((first, "training"), (client.get_run(scenario["evaluated"]["run_id"]), "evaluation")):
        (linked,) = run.inputs.dataset_inputs
        assert (linked.dataset.name, linked.dataset.digest) == ("dots", "0123456789abcdef0123456789abcdef0123")
        assert linked.dataset.source == '{"uri": "dots"}'
        assert {tag.key: tag.value for tag in linked.tags} == {"mlflow.data.context": context}


def test_a_model_is_promoted_by_the_run_that_measures_it(client: Any, scenario: dict[str, Any], first: Any) -> None:
    (model,) = _models(client, first)
    version = client.get_model_version_by_alias("tiny", "champion")
    assert (version.source, version.run_id) == (f"models:/{model.model_id}", first.info.run_id)
    assert version.tags["swd"] == "0.5"
    assert scenario["promoted"]["run_id"] != first.info.run_id
    assert scenario["promoted"]["run_name"] == "demo evaluate"  # named after the model that was measured


def test_the_model_that_is_named_takes_the_place_of_the_experiments_own(
    client: Any, scenario: dict[str, Any], first: Any
) -> None:
    (model,) = _models(client, first)
    for step in ("promoted", "both"):
        run = client.get_run(scenario[step]["run_id"])
        assert [one.model_id for one in run.inputs.model_inputs] == [model.model_id]
        assert run.data.tags["mlflow.parentRunId"] == first.info.run_id


def test_a_run_may_train_its_own_model_and_evaluate_another(client: Any, scenario: dict[str, Any], first: Any) -> None:
    both = client.get_run(scenario["both"]["run_id"])
    assert both.info.status == "FINISHED"
    assert both.data.tags["celeba_gan.training_id"] != first.data.tags["celeba_gan.training_id"]
    assert {"train/loss", "trained/age"} <= both.data.metrics.keys()
    (own,) = _models(client, both)
    assert own.params["images"] == "300"
    assert own.metrics is None or not [metric for metric in own.metrics if metric.key.startswith("trained")]


def test_a_model_that_was_never_logged_is_refused_before_it_is_measured(scenario: dict[str, Any], runs: Runs) -> None:
    assert "only models that training logged there can be promoted" in scenario["errors"]["unlogged"]
    assert scenario["unlogged"] is None
    assert runs("untracked") == []


def test_the_model_is_logged_once_and_linked_with_its_clock(client: Any, first: Any) -> None:
    (model,) = _models(client, first)  # although the same training was run twice more
    assert model.name == "generator"
    assert model.params["images"] == "300"
    assert model.params["training_id"] == first.data.tags["celeba_gan.training_id"]
    assert [(output.model_id, output.step) for output in first.outputs.model_outputs] == [(model.model_id, 300)]


@pytest.mark.slow
def test_the_model_loads_where_celeba_gan_is_not_installed(client: Any, first: Any, project: Path) -> None:
    from celeba_gan.gan.runs.run import Run
    from celeba_gan.gan.sampling.trained import TrainedGenerator

    (model,) = _models(client, first)
    program = """
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path = [entry for entry in sys.path if not (Path(entry) / "celeba_gan").is_dir()]
assert find_spec("celeba_gan") is None
import mlflow.pyfunc, numpy as np, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
latents = np.load("latents.npy")
model.predict(pd.DataFrame({"latents": list(latents)})).to_json("answers.json", orient="records")
np.save("images.npy", model.unwrap_python_model().generator.images(latents))
assert "kedro" not in sys.modules
assert find_spec("celeba_gan") is None
for bad, params, reason in (
    (pd.DataFrame({"latents": list(latents[:, :7])}), None, "row 0: latents has 7 numbers; give 8"),
    (pd.DataFrame({"latents": list(np.full_like(latents, np.nan))}), None, "finite numbers"),
    (pd.DataFrame({"seed": [5]}), {"labels": "Male"}, "takes no labels"),
    (pd.DataFrame({"seed": [5, -1]}), None, "row 1: seed is -1"),
    (pd.DataFrame({"seed": []}, dtype=int), None, "The request has no rows"),
    (latents, None, "Give latents as pandas.DataFrame({'latents': list(latents)})"),
):
    try:
        model.predict(bad, params)
    except mlflow.exceptions.MlflowException as error:
        assert reason in str(error), error
        assert error.error_code == "INVALID_PARAMETER_VALUE"
    else:
        raise AssertionError(f"it answered where there should be an error: {reason}")
"""
    latents = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    np.save(project / "latents.npy", latents)
    command = [sys.executable, "-IB", "-c", program, model.artifact_location]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr

    generator = TrainedGenerator(Run(project / "data" / "demo").networks().generator)
    expected = generator.images(latents)
    images = np.load(project / "images.npy")
    assert images.dtype == np.uint8
    assert images.shape == (3, 16, 16, 3)
    assert np.array_equal(images, expected)
    for answer, image in zip(json.loads((project / "answers.json").read_text()), expected, strict=True):
        file = io.BytesIO(base64.b64decode(answer["image"]))
        assert np.array_equal(np.asarray(Image.open(file)), image)


def test_the_logged_model_holds_no_pickle(client: Any, first: Any) -> None:
    (model,) = _models(client, first)
    suffixes = {path.suffix for path in Path(model.artifact_location.removeprefix("file://")).rglob("*.*")}
    assert suffixes <= {".py", ".json", ".yaml", ".txt", ".safetensors", ".typed"}


def test_a_finished_training_that_runs_again_stays_the_same_run(scenario: dict[str, Any], first: Any) -> None:
    assert scenario["finished"]["run_id"] == first.info.run_id
    before, after, _ = scenario["pages"]
    assert before["ended"][0] == "FINISHED"
    assert {**after, "dots": None} == {**before, "dots": None}  # no tag, no picture twice
    assert after["dots"] > before["dots"]  # and yet what it made is logged there


def test_a_refused_training_leaves_the_former_run_as_it_is(scenario: dict[str, Any], first: Any) -> None:
    assert scenario["refused"]["run_id"] == first.info.run_id
    _, before, after = scenario["pages"]
    assert after == before

    before, after = scenario["pages_of_interrupted"]
    assert scenario["refused_after"]["run_id"] == scenario["interrupted"]["run_id"]
    assert before["ended"][0] == "KILLED"
    assert after == before


def test_a_run_that_skips_everything_leaves_nothing(scenario: dict[str, Any], runs: Runs) -> None:
    assert scenario["skipped"] is None
    assert len(runs("demo")) == 2  # training and evaluation


def test_a_later_evaluation_is_nested_and_has_the_model_as_input(
    client: Any, scenario: dict[str, Any], first: Any
) -> None:
    evaluated = client.get_run(scenario["evaluated"]["run_id"])
    (model,) = _models(client, first)
    assert evaluated.info.run_name == "demo evaluate"
    assert evaluated.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert [one.model_id for one in evaluated.inputs.model_inputs] == [model.model_id]
    assert evaluated.data.metrics["trained/age"] == 0.25
    assert not [name for name in evaluated.data.params if name.startswith("train")]


def test_a_failed_training_is_continued_and_says_what_changed(client: Any, scenario: dict[str, Any]) -> None:
    assert scenario["failed_was"] == "FAILED"
    run = client.get_run(scenario["failed"]["run_id"])
    assert scenario["repaired"]["run_id"] == run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["train.learning_rate"] == "0.01"
    changed = {name: value for name, value in run.data.tags.items() if name.startswith("resumed.")}
    assert changed == {"resumed.train.learning_rate": "0.1", "resumed.train.fault": "none"}
    assert run.data.tags["celeba_gan.resumed"] == "1"
    assert [model.params["images"] for model in _models(client, run)] == ["200", "300"]


def test_kedros_thread_runner_is_tracked_too(client: Any, scenario: dict[str, Any]) -> None:
    run = client.get_run(scenario["threads"]["run_id"])
    assert run.info.status == "FINISHED"
    assert {"train/loss", "trained/age"} <= run.data.metrics.keys()
    (model,) = _models(client, run)
    assert model.params["images"] == "300"


def test_what_an_interrupt_leaves_open_in_a_notebook_is_killed_by_the_next_run(
    client: Any, scenario: dict[str, Any]
) -> None:
    assert scenario["interrupted_was"] == "RUNNING"
    assert client.get_run(scenario["interrupted"]["run_id"]).info.status == "KILLED"
    assert client.get_run(scenario["after"]["run_id"]).info.status == "FINISHED"


def _models(client: Any, run: Any) -> list[Any]:
    """The logged models of a run, the oldest first."""
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(models, key=lambda model: model.creation_timestamp)
