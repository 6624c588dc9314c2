"""`evaluate.model` and `evaluate.compare_with` in the real catalog and pipelines."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.hooks.artifacts import path_of
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.hooks.guards import ParameterError
from celeba_gan.hooks.measured_models import MeasuredModelError, MeasuredModels, slug
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.fetch import FetchedModel

Load = Callable[..., KedroContext]


class Store:
    """One model under one name; what the tracking hook gives is tested with it."""

    def __init__(self, uri: str, file: Path) -> None:
        self.uri, self.file = uri, file

    def fetch_model(self, uri: str, folder: Path) -> FetchedModel:
        if uri != self.uri:
            raise TrackingError(f"There is no model {uri}")
        return FetchedModel(self.file, f"{uri} (version 3)")


def train(project: Path, experiment: str, images: int = 5) -> Path:
    folder = project / "data/06_models" / experiment
    folder.mkdir(parents=True)
    for kind in ("generator", "discriminator"):
        card = {"id": experiment, "images": images, "finished": True}
        Checkpoint(kind, card, {"w": torch.zeros(1)}).save(folder / f"{kind}.safetensors")
    return folder


@pytest.fixture
def prepare(load_context: Load, project: Path) -> Callable[..., DataCatalog]:
    """The catalog after the hook, for a pipeline run with these settings of `evaluate`."""
    train(project, "demo")
    train(project, "mine", images=7)

    def run(pipeline: Pipeline, hook: MeasuredModels | None = None, **evaluate: Any) -> DataCatalog:
        catalog = load_context(evaluate=evaluate).catalog
        store = Store("models:/faces@champion", project / "data/06_models/mine/generator.safetensors")
        (hook or MeasuredModels(store)).before_pipeline_run(pipeline, catalog)
        return catalog

    return run


def test_another_model_takes_the_place_of_the_experiments_own(
    prepare: Callable[..., DataCatalog], project: Path
) -> None:
    own = prepare(pipelines["evaluate"])
    assert own.load("generator").card["id"] == own.load("discriminator").card["id"] == "demo"
    other = prepare(pipelines["evaluate"], model="mine")
    assert other.load("generator").card["id"] == other.load("discriminator").card["id"] == "mine"
    assert other["generator"].card()["images"] == 7  # tracking links the run to the model by it
    assert other.load("best_measured") is None
    assert other["generator"].metadata == own["generator"].metadata
    reports = project / "data/08_reporting/demo"
    assert path_of(own, "evaluation") == reports / "evaluation.json"
    assert path_of(other, "evaluation") == reports / "mine/evaluation.json"


def test_the_experiments_own_name_is_no_exception(prepare: Callable[..., DataCatalog], project: Path) -> None:
    catalog = prepare(pipelines["evaluate"], model="demo")
    assert path_of(catalog, "evaluation") == project / "data/08_reporting/demo/demo/evaluation.json"


def test_a_model_of_mlflow_is_fetched_and_has_no_discriminator_there(
    prepare: Callable[..., DataCatalog], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        catalog = prepare(pipelines["evaluate"], model="models:/faces@champion")
    assert "models:/faces@champion (version 3) comes without its discriminator" in caplog.text
    assert "Replacing dataset" not in caplog.text
    assert catalog.load("generator").card["id"] == "mine"
    assert catalog.load("discriminator") is None
    assert path_of(catalog, "evaluation").parent.name.startswith("models-faces-champion-")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["__default__", "train", "generate"])
def test_stages_that_work_with_the_experiments_own_networks_are_refused(
    prepare: Callable[..., DataCatalog], name: str
) -> None:
    with pytest.raises(MeasuredModelError, match=r"kedro run --pipelines evaluate") as caught:
        prepare(pipelines[name], model="mine")
    assert message_for_people(caught.value) == str(caught.value)
    assert ("train_gan" in str(caught.value)) == (name != "generate")


def test_stages_that_read_no_networks_pay_no_attention(prepare: Callable[..., DataCatalog]) -> None:
    catalog = prepare(pipelines["ingest"], model="no such model")
    assert catalog.load("generator").card["id"] == "demo"


@pytest.mark.parametrize("setting", ["model", "compare_with"])
def test_a_wrong_name_is_refused_with_the_names_there_are(prepare: Callable[..., DataCatalog], setting: str) -> None:
    pipeline = pipelines["evaluate"]
    with pytest.raises(MeasuredModelError) as caught:
        prepare(pipeline, **{setting: "dmo"})
    assert str(caught.value).startswith(f"evaluate.{setting}: there is no experiment, file or folder 'dmo'.")
    assert str(caught.value).endswith(": demo, mine")
    with pytest.raises(MeasuredModelError, match=f"evaluate.{setting}: There is no model models:/nobody/1"):
        prepare(pipeline, **{setting: "models:/nobody/1"})


def test_the_networks_to_compare_with_are_loaded_with_their_name(prepare: Callable[..., DataCatalog]) -> None:
    pipeline = pipelines["evaluate"]
    assert prepare(pipeline).load("compared_networks") is None
    catalog = prepare(pipeline, compare_with="models:/faces@champion")
    label, generator, discriminator = catalog.load("compared_networks")
    assert label == "models:/faces@champion (version 3)"
    assert (generator.card["id"], discriminator) == ("mine", None)
    assert prepare(pipeline, compare_with="mine").load("compared_networks")[2].card["id"] == "mine"
    assert catalog.load("generator").card["id"] == "demo"
    assert path_of(catalog, "evaluation").parent.name == "demo"  # type: ignore[union-attr]


def test_a_model_in_a_file_of_parameters_is_refused(load_context: Load, project: Path) -> None:
    write = (project / "conf/local/parameters.yml").write_text
    write(yaml.safe_dump({"evaluate": {"model": "mine"}}))
    with pytest.raises(ParameterError, match=r"evaluate.model is 'mine' in the parameters.yml files.*--params"):
        load_context()
    with pytest.raises(ParameterError, match=r"--params evaluate.model=mine"):
        load_context(evaluate={"seed": 1})
    load_context(evaluate={"model": "other"})
    load_context(evaluate={"model": "none"})
    write(yaml.safe_dump({"evaluate": {"compare_with": "mine"}}))
    load_context()


def test_folders_names_are_told_from_each_other_and_stay_inside() -> None:
    names = ["a", "b", "models:/faces@champion", "models:/faces/2", "x" * 300, "x" * 301, "../a/b", "/", "..", "ü"]
    slugs = [slug(name) for name in names]
    assert [one[:-9] for one in slugs[2:4]] == ["models-faces-champion", "models-faces-2"]
    assert len(set(slugs[:7])) == 7
    for one in slugs:
        assert Path(one).name == one
        assert 0 < len(one) <= 100
        assert not one.startswith(".")
    assert slug("data/06_models/demo/generator.safetensors")[:-9] == "data-06_models-demo-generator.safetensors"
    alike = ("models:/faces/1", "models-faces-1", "a/b", "a-b", "лица.safetensors", "люди.safetensors", "лица", "люди")
    assert len({slug(name) for name in alike}) == len(alike)
