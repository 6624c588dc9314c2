"""`evaluate.model` and `evaluate.compare_with` in the real catalog and pipelines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines, settings
from kedro.io import DataCatalog, DatasetError

from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.hooks.guards import ParameterError, ParameterGuard
from celeba_gan.tracking.hook import MLflowTracking

Load = Callable[..., KedroContext]


@pytest.fixture
def catalog_of(load_context: Load, project: Path, make_snapshot: Callable[..., Snapshot]) -> Callable[..., DataCatalog]:
    """The catalog of a session with these settings of `evaluate`."""
    for name, images in (("demo", 5), ("mine", 7)):
        Run(project / "data/06_models" / name).append(make_snapshot(images, id=name, finished=True))

    def load(**evaluate: Any) -> DataCatalog:
        return load_context(evaluate=evaluate).catalog

    return load


def place(catalog: DataCatalog, name: str) -> Path:
    return Path(catalog.get(name)._filepath)


def test_another_model_is_read_beside_the_experiments_own_and_evaluated_into_its_own_folder(
    catalog_of: Callable[..., DataCatalog], project: Path
) -> None:
    own, other = catalog_of(), catalog_of(model="mine")
    assert own.load("evaluated_model") is None
    assert own.load("training_run").networks().generator.card.id == "demo"
    assert other.load("training_run").networks().generator.card.id == "demo"
    networks = other.load("evaluated_model").networks()
    assert networks.generator.card.id == networks.discriminator.card.id == "mine"
    assert other["evaluated_model"].card().images == 7  # tracking links the run to the model by it
    reports = project / "data/08_reporting/demo"
    evaluated = {"evaluation", "measured_grid", "neighbour_grid", "attribute_shares", "evaluation_page"}
    for name in evaluated:
        assert place(own, name).parent == reports
        assert place(other, name).parent == reports / "mine"
    for name in pipelines["__default__"].all_outputs() - evaluated - {"training_run", "packed_images"}:
        assert place(own, name) == place(other, name)


def test_the_experiments_own_name_is_no_exception(catalog_of: Callable[..., DataCatalog], project: Path) -> None:
    assert place(catalog_of(model="demo"), "evaluation") == project / "data/08_reporting/demo/demo/evaluation.json"


def test_the_model_to_compare_with_is_loaded_with_its_name(catalog_of: Callable[..., DataCatalog]) -> None:
    assert catalog_of().load("compared_model") is None
    catalog = catalog_of(compare_with="mine")
    model = catalog.load("compared_model")
    assert (model.label, model.networks().discriminator.card.id) == ("mine", "mine")
    assert catalog.load("evaluated_model") is None
    assert place(catalog, "evaluation").parent.name == "demo"


@pytest.mark.parametrize("name", sorted(set(pipelines) | {"__default__"}))
def test_only_evaluate_reads_named_models(name: str) -> None:
    evaluates = name in ("evaluate", "__default__")
    assert ({"evaluated_model", "compared_model"} <= pipelines[name].inputs()) is evaluates


def test_the_tracking_hook_is_the_store_of_all_that_read_models(catalog_of: Callable[..., DataCatalog]) -> None:
    (tracking,) = (hook for hook in settings.HOOKS if isinstance(hook, MLflowTracking))
    catalog = catalog_of(model="models:/nobody/1", compare_with="models:/nobody/2")
    for name in ("evaluated_model", "compared_model"):
        assert catalog.get(name).store is tracking
        with pytest.raises(DatasetError) as caught:
            catalog.load(name)
        assert "There is no model models:/nobody" in str(message_for_people(caught.value))
    assert catalog.get("experiments").store is tracking
    with pytest.raises(CheckpointError, match=r"There is no model models:/nobody/3"):
        catalog.load("experiments").find("models:/nobody/3")


@pytest.mark.parametrize("key", ["model", "compare_with"])
def test_a_model_in_a_file_of_parameters_is_refused(load_context: Load, project: Path, key: str) -> None:
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump({"evaluate": {key: "mine"}}))
    with pytest.raises(ParameterError, match=rf"evaluate\.{key} is 'mine' in the parameters.yml files.*--params"):
        load_context()
    with pytest.raises(ParameterError, match=rf"--params evaluate\.{key}=mine"):
        load_context(evaluate={"seed": 1})
    load_context(evaluate={key: "other"})


@pytest.mark.parametrize("key", ["model", "compare_with"])
def test_a_wrong_name_is_refused_before_any_node_runs(catalog_of: Callable[..., DataCatalog], key: str) -> None:
    with pytest.raises(DatasetError, match=rf"evaluate\.{key}: there is no experiment.*'mina'.*demo, mine"):
        ParameterGuard().before_pipeline_run(pipelines["evaluate"], catalog_of(**{key: "mina"}))
    ParameterGuard().before_pipeline_run(pipelines["train"], catalog_of(**{key: "mina"}))  # reads no models


@pytest.mark.parametrize("word", ["none", "null"])
def test_none_is_no_name(catalog_of: Callable[..., DataCatalog], word: str) -> None:
    catalog = catalog_of(model=word, compare_with=word)
    assert catalog.load("evaluated_model") is catalog.load("compared_model") is None
    assert place(catalog, "evaluation").parent.name == "demo"


@pytest.mark.parametrize("others", ["__default__", "train", "generate"])
def test_stages_that_use_the_experiments_own_networks_are_refused_beside_another_model(
    catalog_of: Callable[..., DataCatalog], others: str
) -> None:
    both = pipelines["evaluate"] + pipelines[others]
    with pytest.raises(ParameterError, match=r"evaluate\.model .*(train_gan|generate_samples).*--pipelines evaluate"):
        ParameterGuard().before_pipeline_run(both, catalog_of(model="mine"))
    ParameterGuard().before_pipeline_run(both, catalog_of(compare_with="mine"))
    ParameterGuard().before_pipeline_run(both, catalog_of(model="none"))


def test_the_requested_tick_of_a_named_model_is_given_where_the_catalog_reads_it(
    load_context: Load, project: Path
) -> None:
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump({"evaluate": {"checkpoint": "best"}}))
    load_context()
    load_context(evaluate={"model": "mine", "checkpoint": "last"})
    with pytest.raises(ParameterError, match=r"--params evaluate\.checkpoint=best"):
        load_context(evaluate={"model": "mine"})
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump({"evaluate": {"model": "none"}}))
    load_context()
