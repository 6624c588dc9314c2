import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.hooks.missing import MissingSpreads
from celeba_gan.hooks.set_aside import SetAside, SetAsideError

SAVED = time.mktime((2026, 11, 23, 5, 10, 0, 0, 0, -1))
STAMP = "2026-11-23T05-10-00"
LAYERS = ("06_models", "07_model_output", "08_reporting")

Start = Callable[..., None]


@pytest.fixture
def start(load_context: Callable[..., KedroContext]) -> Start:
    """What happens before a run of these pipelines, in Kedro's order."""

    def begin(*names: str, only_missing: bool = False, **runtime_params: object) -> None:
        context = load_context(**runtime_params)
        catalog = context.catalog
        running = sum((pipelines[name] for name in names), start=Pipeline([]))
        run_params = {"only_missing_outputs": only_missing}
        set_aside = SetAside()
        set_aside.after_context_created(context)
        MissingSpreads().before_pipeline_run(run_params, running, catalog)
        set_aside.before_pipeline_run(run_params, running, catalog)

    return begin


@pytest.fixture
def trained(project: Path) -> Path:
    """The data folder after a finished training, evaluation and generation of the experiment `demo`."""
    data = project / "data"
    card = {"finished": True, "images": 1000}
    Checkpoint("training_state", card, {}).save(data / "06_models/demo/training_state/state.safetensors")
    Checkpoint("generator", card, {}).save(data / "06_models/demo/generator.safetensors")
    Checkpoint("discriminator", card, {}).save(data / "06_models/demo/discriminator.safetensors")
    for name in (
        "06_models/demo/generator.json",
        "06_models/demo/discriminator.json",
        "07_model_output/demo/metric_rows/000000000000.json",
        "07_model_output/demo/training_grids/000000000000.png",
        "07_model_output/demo/samples/000000.png",
        "08_reporting/demo/evaluation.json",
        "06_models/other/generator.json",
    ):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("[]")
    for path in [data, *data.rglob("*")]:
        os.utime(path, (SAVED, SAVED))
    return data


def files(data: Path) -> set[str]:
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}


def names(data: Path, layer: str) -> list[str]:
    return sorted(path.name for path in (data / layer).iterdir())


def test_resume_false_renames_the_three_folders_and_loses_nothing(
    start: Start, trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = files(trained)
    with caplog.at_level(logging.INFO, "celeba_gan.hooks.set_aside"):
        start("train", train={"resume": False})
    assert files(trained) == {name.replace("/demo/", f"/demo.{STAMP}/") for name in before}
    assert names(trained, "06_models") == [f"demo.{STAMP}", "other"]
    (message,) = [record.getMessage() for record in caplog.records if record.name == "celeba_gan.hooks.set_aside"]
    assert all(f"{layer}/demo.{STAMP}" in message for layer in LAYERS)


def test_a_repeated_run_sets_aside_again_under_another_name(start: Start, trained: Path) -> None:
    start("train", train={"resume": False})
    again = trained / "06_models/demo/training_state/state.safetensors"
    again.parent.mkdir(parents=True)
    again.write_bytes(b"of the second training")
    for path in (again, again.parent):
        os.utime(path, (SAVED, SAVED))
    start("train", train={"resume": False})
    assert names(trained, "06_models") == [f"demo.{STAMP}", f"demo.{STAMP}-2", "other"]
    assert names(trained, "08_reporting") == [f"demo.{STAMP}"]


def test_with_nothing_there_nothing_happens(start: Start, project: Path) -> None:
    start("train", train={"resume": False})
    assert not (project / "data").exists()


@pytest.mark.parametrize("pipeline", ["ingest", "preprocess", "evaluate", "generate"])
def test_only_a_run_that_trains_sets_aside(start: Start, trained: Path, pipeline: str) -> None:
    before = files(trained)
    start(pipeline, train={"resume": False})
    assert files(trained) == before


def test_a_resumed_training_is_left_alone(start: Start, trained: Path) -> None:
    before = files(trained)
    start("__default__")
    assert files(trained) == before


@pytest.mark.parametrize("leftover", [False, True])
def test_ticks_without_their_state_are_set_aside(start: Start, trained: Path, leftover: bool) -> None:
    state = trained / "06_models/demo/training_state"
    (state / "state.safetensors").unlink()
    if leftover:  # of a process that was killed while it saved
        (state / ".state.safetensors.partial").mkdir()
    start("__default__")
    assert names(trained, "07_model_output") == [f"demo.{STAMP}"]
    assert names(trained, "06_models")[0].startswith("demo.")


def test_only_missing_outputs_leaves_a_complete_training_alone_but_not_one_that_has_to_run(
    start: Start, trained: Path
) -> None:
    before = files(trained)
    start("train", only_missing=True, train={"resume": False})
    assert files(trained) == before
    (trained / "07_model_output/demo/metric_rows/000000000000.json").unlink()
    start("train", only_missing=True, train={"resume": False})
    assert names(trained, "06_models") == [f"demo.{STAMP}", "other"]


def test_a_state_outside_a_folder_of_the_experiment_is_not_guessed_at(
    start: Start, trained: Path, project: Path
) -> None:
    catalog = project / "conf/base/catalog.yml"
    text = catalog.read_text().replace("06_models/${runtime_params:experiment,${globals:experiment}}/", "06_models/")
    catalog.write_text(text)
    (trained / "06_models/demo/training_state").rename(trained / "06_models/training_state")
    before = files(trained)
    with pytest.raises(SetAsideError, match="globals:experiment"):
        start("train", train={"resume": False})
    assert files(trained) == before
