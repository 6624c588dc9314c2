import pickle
from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from celeba_gan.hooks.missing import MissingSpreads

ran: list[str] = []


def stage(name: str, inputs: list[str], outputs: list[str]) -> Node:
    def make(*values: object) -> list[str]:
        ran.append(name)
        return [name] * len(outputs)

    return Node(make, inputs, outputs, name=name)


# raw -> pack -> packed -> train -> state, grids -> film
#                                   state -> export -> (memory) network -> evaluate -> evaluation
PIPELINE = Pipeline(
    [
        stage("pack", ["raw"], ["packed"]),
        stage("train", ["packed"], ["state", "grids"]),
        stage("film", ["grids"], ["film"]),
        stage("export", ["state"], ["network"]),
        stage("evaluate", ["network"], ["evaluation"]),
    ]
)
ON_DISK = ("raw", "packed", "state", "grids", "film", "evaluation")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ON_DISK:
        (tmp_path / f"{name}.json").write_text('"old"')
    return tmp_path


def catalog_of(folder: Path) -> DataCatalog:
    return DataCatalog.from_config(
        {name: {"type": "json.JSONDataset", "filepath": str(folder / f"{name}.json")} for name in ON_DISK}
    )


def run(folder: Path, *, only_missing: bool = True) -> list[str]:
    """Names of the nodes that ran in Kedro's own runner, in order of name."""
    ran.clear()
    catalog = catalog_of(folder)
    MissingSpreads().before_pipeline_run({"only_missing_outputs": only_missing}, PIPELINE, catalog)
    SequentialRunner().run(PIPELINE, catalog, only_missing_outputs=only_missing)
    return sorted(ran)


def test_nothing_missing_runs_nothing(folder: Path) -> None:
    assert run(folder) == []


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("packed", ["evaluate", "export", "film", "pack", "train"]),
        ("state", ["evaluate", "export", "film", "train"]),
        ("grids", ["evaluate", "export", "film", "train"]),  # the node makes both anew
        ("film", ["film"]),
        ("evaluation", ["evaluate", "export"]),  # what is only in memory is made when it is needed
    ],
)
def test_missing_spreads_downstream_and_only_there(folder: Path, missing: str, expected: list[str]) -> None:
    (folder / f"{missing}.json").unlink()
    assert run(folder) == expected
    assert run(folder) == []


def test_a_plain_run_runs_everything_and_is_not_touched(folder: Path) -> None:
    assert run(folder, only_missing=False) == ["evaluate", "export", "film", "pack", "train"]


def test_the_mark_is_of_one_catalog_and_travels_to_other_processes(folder: Path) -> None:
    (folder / "packed.json").unlink()
    catalog = catalog_of(folder)
    MissingSpreads().before_pipeline_run({"only_missing_outputs": True}, PIPELINE, catalog)
    assert not catalog.exists("evaluation")
    assert not pickle.loads(pickle.dumps(catalog["evaluation"])).exists()
    assert catalog_of(folder).exists("evaluation")
