"""Every environment is complete, and every mistake in it is found before anything runs."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.exporting.config import ExportSettings
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.sources.config import IngestSettings
from kedro_here import configure

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENTS = sorted(
    folder.name for folder in (REPOSITORY / "conf").iterdir() if folder.is_dir() and folder.name != "local"
)
SECTIONS = {
    "ingest": IngestSettings,
    "preprocess": PreprocessSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "generate": GenerateSettings,
    "export": ExportSettings,
}


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def context_of(environment: str, **parameters: Any) -> KedroContext:
    configure()
    with KedroSession.create(REPOSITORY, env=environment, runtime_params=parameters) as session:
        return session.load_context()


loaded = functools.cache(context_of)  # without parameters, for tests that only read


@pytest.fixture
def context(environment: str) -> KedroContext:
    return loaded(environment)


def test_environments_are_those_we_know() -> None:
    assert ENVIRONMENTS == [
        "article",
        "base",
        "celeba",
        "celeba128",
        "celeba_small",
        "conditional_demo",
        "folder",
        "folder_small",
        "modern",
        "modern_demo",
        "smoke",
    ]


def test_every_dataset_is_declared_has_a_layer_and_its_file_in_the_data_folder(context: KedroContext) -> None:
    catalog, entries = context.catalog, context.config_loader["catalog"]
    every = pipelines["__default__"].datasets() | pipelines["export"].datasets()
    names = {name for name in every if not name.startswith("param")}
    for name in names:
        dataset = catalog.get(name)
        assert type(dataset).__name__ != "MemoryDataset", name
        assert dataset is not None
        assert dataset.metadata["kedro-viz"]["layer"], name
        assert Path(entries[name]["filepath"]).parts[0] == "data", name
    assert set(catalog.keys()) - {name for name in catalog.keys() if name.startswith("param")} == names  # noqa: SIM118


def test_the_graph_opens_as_five_stages_that_never_go_back_a_layer() -> None:
    """What kedro-viz draws outside of the collapsed stages, in layers named after the folders of data."""
    layers = ["raw", "intermediate", "primary", "model_input", "models", "model_output", "reporting"]
    stages = ("ingest", "preprocess", "train", "evaluate", "generate")
    entries = context_of("base").config_loader["catalog"]
    whole, shown = pipelines["__default__"], set()

    def rows(names: set[str]) -> set[int]:
        data = {name for name in names if not name.startswith("param")}
        shown.update(data)
        return {layers.index(entries[name]["metadata"]["kedro-viz"]["layer"]) for name in data}

    for stage in stages:
        inside = whole.only_nodes_with_namespaces([stage])
        others = whole - inside
        read, written = rows(inside.inputs()), rows(inside.outputs() | (others.inputs() & inside.all_outputs()))
        assert max(read) <= min(written), stage
        assert stage == "generate" or max(read) < min(written), stage  # it reads the classifier that evaluate wrote
        between = written - {layers.index("reporting")}
        assert len(between) == (2 if stage == "ingest" else 1), stage
    assert {node.namespace for node in whole.nodes} == set(stages)
    assert len(shown) <= 38


def test_the_page_about_the_data_is_written_before_training() -> None:
    """A wrong crop is seen before hours of training; Kedro sorts nodes by depth, then by name."""
    nodes = pipelines["__default__"].nodes
    (page,) = (place for place, node in enumerate(nodes) if "data_page" in node.outputs)
    (training,) = (place for place, node in enumerate(nodes) if node.name == "train.train_gan")
    assert page < training


def test_parameters_load_and_validate(context: KedroContext) -> None:
    for section, model in SECTIONS.items():
        assert section in context.params
        model.model_validate(context.params[section])


def test_small_folders_are_trained_with_augmentation_and_may_have_bad_files() -> None:
    params = context_of("folder_small").params
    assert params["train"].augment.find_too_few(238) is None
    assert params["ingest"].max_rejected_fraction == 0.05


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"trian": {"kimg": 5}}, "trian"),
    ({"train": {"kmig": 5}}, "kmig"),
    ({"train": {"network": {"dcgan": {"widht": 5}}}}, "widht"),
    ({"ingest": {"valid": 5}}, "valid"),
    ({"preprocess": {"sizes": 5}}, "sizes"),
    ({"evaluate": {"sed": 5}}, "sed"),
    ({"generate": {"image": 5}}, "image"),
    ({"export": {"wbe": False}}, "wbe"),
    ({"generate": {"directions": {"sample": 5}}}, "generate.directions.sample"),
    ({"generate": {"projection": {"steps": 0}}}, "generate.projection.steps"),
    ({"generate": {"directions": {"columns": 4}}}, "give an odd number"),
    ({"train": {"kimg": -1}}, "kimg"),
    ({"train": {"kimg": float("inf")}}, "kimg"),
    ({"preprocess": {"size": 48}}, "48x48"),
    ({"experiment": "../escape"}, "experiment"),
    ({"dataset": "a/b"}, "dataset"),
]


@pytest.mark.parametrize(
    ("environment", "parameters", "named"),
    [
        pytest.param(
            environment,
            *mistake,
            id=f"{environment}-{mistake[1]}-{number}",
            # each mistake in one environment and each environment with one or two; all of both are slow
            marks=[] if number % len(ENVIRONMENTS) == place else pytest.mark.slow,
        )
        for place, environment in enumerate(ENVIRONMENTS)
        for number, mistake in enumerate(MISTAKES)
    ],
)
def test_mistakes_are_refused_in_every_environment(environment: str, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(Exception, match=named):
        context_of(environment, **parameters)


def test_no_two_environments_write_the_same_experiment() -> None:
    experiments = [loaded(environment).config_loader["globals"]["experiment"] for environment in ENVIRONMENTS]
    assert len(set(experiments)) == len(experiments)


def test_environments_with_another_size_or_source_name_another_dataset() -> None:
    made: dict[str, tuple[Any, ...]] = {}
    for environment in ENVIRONMENTS:
        context = loaded(environment)
        params = PreprocessSettings.model_validate(context.params["preprocess"])
        recipe = (params.size, params.crop, params.filter, repr(context.catalog.get("celeba")))
        dataset = context.config_loader["globals"]["dataset"]
        assert made.setdefault(dataset, recipe) == recipe


def test_registry_imports_nothing_heavy() -> None:
    program = (
        "import sys; from pathlib import Path; from kedro.framework.startup import bootstrap_project;"
        f"bootstrap_project(Path({str(REPOSITORY)!r}));"
        "from kedro.framework.project import pipelines, settings; settings.HOOKS; list(pipelines.values());"
        "print([name for name in ('torch', 'mlflow', 'pandas', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_typed_parameters_are_active() -> None:
    """Kedro switches validation off with one log line when an annotation of a node cannot be resolved."""
    from typing import get_type_hints

    for node in (pipelines["__default__"] + pipelines["export"]).nodes:
        hints = get_type_hints(node.func)
        parameters = [name.removeprefix("params:") for name in node.inputs if name.startswith("params:")]
        assert {SECTIONS[name] for name in parameters} <= set(hints.values())
