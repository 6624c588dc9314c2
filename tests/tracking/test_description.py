from types import SimpleNamespace
from typing import Any

import pytest

from celeba_gan.tracking.description import describe_run, name_work, resuming_command, with_results

PIPELINE: Any = SimpleNamespace(nodes=[SimpleNamespace(name=f"evaluate.{name}") for name in ("fit", "measure", "draw")])
NAMES = {"dataset": "dots", "experiment": "demo"}


@pytest.mark.parametrize(
    ("run_params", "name"),
    [
        ({}, "default"),
        ({"pipeline_names": ["train", "evaluate"]}, "evaluate,train"),
        ({"pipeline_names": ["evaluate"], "node_names": [], "tags": (), "from_nodes": None}, "evaluate"),
        ({"from_nodes": ["evaluate.fit"]}, "evaluate.fit,evaluate.measure,1 more"),
        ({"tags": ["evaluate"]}, "evaluate.fit,evaluate.measure,1 more"),
    ],
)
def test_a_part_of_a_pipeline_is_named_by_its_nodes(run_params: dict[str, Any], name: str) -> None:
    assert name_work(run_params, PIPELINE) == name


@pytest.mark.parametrize(
    ("run_params", "command"),
    [
        ({}, "kedro run"),
        ({"env": "celeba", "pipeline_names": ["train"]}, "kedro run --env celeba --pipelines train"),
        ({"node_names": ["b.y", "a.x"], "tags": ("t",)}, "kedro run --nodes a.x,b.y --tags t"),
        (
            {"runtime_params": {"train": {"resume": False, "kimg": 0.5, "penalty": {"every": None}}, "dataset": "a b"}},
            "kedro run --params 'train.kimg=0.5,train.penalty.every=null,dataset=a b'",
        ),
        ({"runtime_params": {"train": {"resume_from": 120}}}, "kedro run"),
        ({"runtime_params": {"evaluate": {"promote": True}}}, "kedro run --params evaluate.promote=true"),
        (
            {"runtime_params": {"source": {"path": "sftp://me:secret@host/x"}}},
            "kedro run --params source.path=sftp://***@host/x",
        ),
    ],
)
def test_the_command_resumes_what_was_trained(run_params: dict[str, Any], command: str) -> None:
    assert resuming_command(run_params) == command


def test_results_take_the_place_of_earlier_ones_of_their_kind() -> None:
    start = describe_run(NAMES, {"env": "smoke"}, PIPELINE)
    first = with_results(start, ["Measured on the test split: SWD 9.", "Generator: half."])
    assert first.split("\n\n") == [
        "`default`, experiment `demo`, dataset `dots`, preset `smoke`",
        "Generator: half.",
        "Measured on the test split: SWD 9.",
        "To resume or repeat it: `kedro run --env smoke`",
    ]
    assert with_results(first, ["Generator: whole."]) == first.replace("half", "whole")


@pytest.mark.parametrize("own", ["", "My best one.\n\nKeep it."])
def test_what_a_person_wrote_is_kept(own: str) -> None:
    assert with_results(own, ["Generator: whole."]) == own
