"""What a later stage would refuse is refused before the first node, before packing, or before training."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from onnx import TensorProto, helper
from PIL import Image

from celeba_gan.hooks.early_checks import EarlyChecks
from celeba_gan.images.packed import PackedImages
from celeba_gan.tracking.promotion import PromotionError
from kedro_here import kedro_run

Context = Callable[..., Any]


@dataclass(frozen=True)
class Started:
    """A session whose pipeline was checked; the checks of its nodes use the same catalog, as in Kedro."""

    checks: EarlyChecks
    catalog: DataCatalog

    def before(self, node: str, **inputs: Any) -> None:
        """Runs the checks before a node, on these inputs."""
        found = next(one for one in pipelines["__default__"].nodes if one.short_name == node)
        inputs = dict.fromkeys(found.inputs) | {"source_report": SimpleNamespace(notes=[])} | inputs
        self.checks.before_node_run(found, self.catalog, inputs)


def check(context: Any, pipeline: str | Pipeline = "__default__") -> Started:
    started = Started(EarlyChecks(), context.catalog)
    started.checks.before_pipeline_run(pipelines[pipeline] if isinstance(pipeline, str) else pipeline, started.catalog)
    return started


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    """The means of the colours."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
    ]
    shapes = {"images": ["n", 3, 16, 16], "mean": ["n", 3]}
    images, mean = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "means", [images], [mean])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "a.onnx")
    return tmp_path / "a.onnx"


def index(valid: int = 30, test: int = 30, **attributes: int) -> pd.DataFrame:
    split = ["train"] * 100 + ["valid"] * valid + ["test"] * test
    return pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(len(split))], "split": split, **attributes})


FROM_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "no weights to start from": ({"train": {"init_from": "nowhere"}}, "init_from: there is no .* 'nowhere'"),
    "no snapshot": ({"train": {"resume_from": 7}}, "resume_from=7: .* no snapshot at 7 kimg"),
    "no such device": ({"train": {"device": "mps"}}, "train.device: mps is not available"),
    "no such precision": ({"train": {"precision": "tf32", "device": "cpu"}}, "train.precision: tf32"),
    "one class": ({"train": {"condition": {"name": "class"}}}, "there is only one class"),
    "no Inception": ({"evaluate": {"inception_weights": "no.pth"}}, "inception_weights: there is no file"),
    "no features": ({"evaluate": {"features": {"path": "no.onnx"}}}, r"features\.path: there is no file"),
    "a metric that ranks nothing": (
        {"evaluate": {"promote": True, "promote_metric": "frechet-atributes"}},
        "frechet-atributes, which ranks no models. did you mean 'frechet_attributes'",
    ),
    "a name that MLflow forbids": ({"evaluate": {"promote": True, "promote_as": "a/b"}}, "promote_as is 'a/b'"),
    "no photographs": (
        {"generate": {"project": "nowhere"}},
        r"generate\.project: there is no file or folder .*nowhere",
    ),
    "labels of a generator without": ({"generate": {"labels": "Male"}}, "this generator takes no labels"),
    "labels that it does not know": (
        {
            "train": {"condition": {"name": "attributes", "attributes": ["Smiling"]}},
            "generate": {"labels": "Male"},
        },
        "knows no 'Male'. There are: Smiling",
    ),
    "a class that it does not know": (
        {
            "preprocess": {"condition_on": ["Smiling"]},
            "train": {"condition": {"name": "class"}},
            "generate": {"labels": "Male"},
        },
        "knows no 'Male'. There are: not Smiling, Smiling",
    ),
}


@pytest.mark.parametrize("pipeline", ["__default__", pytest.param("plan", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", FROM_PARAMETERS)
def test_what_parameters_and_files_decide_is_refused_before_the_first_node(
    load_context: Context, case: str, pipeline: str
) -> None:
    parameters, message = FROM_PARAMETERS[case]
    context = load_context("smoke", **parameters)
    with pytest.raises(Exception, match=message):
        check(context, pipeline)


def test_neighbours_of_more_images_than_are_measured(load_context: Context, onnx_file: Path) -> None:
    features = {"path": str(onnx_file), "size": 16}
    context = load_context("smoke", evaluate={"images": 30, "neighbours": 30, "features": features})
    with pytest.raises(ValueError, match=r"neighbours is 30, but there are 30 images a side .* to at most 29"):
        check(context)
    check(load_context("smoke", evaluate={"images": 30, "neighbours": 29, "features": features}))


def test_only_the_stages_that_run_are_checked(load_context: Context) -> None:
    context = load_context("smoke", evaluate={"inception_weights": "no.pth"}, generate={"labels": "Male"})
    check(context, "ingest")
    check(context, "train")


INDEXES: dict[str, tuple[dict[str, Any], pd.DataFrame, str]] = {
    "one test image": ({}, index(test=1), "The test split has 1 image, evaluation needs at least 2"),
    "no valid images": ({}, index(valid=0), "The valid split has 0 images"),
    "no features for the metric that decides": (
        {"evaluate": {"promote": True}},
        index(),
        "frechet_attributes, and there are no features called 'attributes': the images have no attributes. Give",
    ),
    "a metric without an interval decides": (
        {"evaluate": {"promote": True, "promote_metric": "swd"}},
        index(Male=1),
        "swd, which has no interval that holds for other samples",
    ),
    "few test images": (
        {"evaluate": {"neighbours": 25}},
        index(test=25, Male=1),
        "neighbours is 25, but there are 25 images a side",
    ),
    "no attributes": (
        {"train": {"condition": {"name": "attributes"}}},
        index(),
        "is attributes, but these images have none",
    ),
    "unknown attribute": (
        {"train": {"condition": {"name": "attributes", "attributes": ["Hat"]}}},
        index(Male=1),
        "train.condition.attributes names 'Hat'",
    ),
    "unknown label": (
        {"train": {"condition": {"name": "attributes"}}, "generate": {"labels": "Hat"}},
        index(Male=1),
        "knows no 'Hat'. There are: Male",
    ),
    "unknown attribute of a direction": (
        {"generate": {"directions": {"orthogonal_to": "Male+Hat"}}},
        index(Male=1),
        r"generate\.directions\.orthogonal_to: the classifier knows no Hat\. There are: Male",
    ),
    "attributes of a direction without attributes": (
        {"generate": {"directions": {"orthogonal_to": "Male"}}},
        index(),
        r"generate\.directions\.orthogonal_to: there is no classifier that knows attributes",
    ),
    "unknown class": (
        {
            "preprocess": {"condition_on": ["label"]},
            "train": {"condition": {"name": "class"}},
            "generate": {"labels": "dogs"},
        },
        index().assign(label=["cats", "owls"] * 80),
        "knows no 'dogs'. There are: cats, owls",
    ),
}


SLOW = ("few test images", "unknown label", "attributes of a direction without attributes", "no attributes")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case in SLOW else []) for case in INDEXES]
)
def test_what_the_index_decides_is_refused_before_packing(load_context: Context, case: str) -> None:
    parameters, table, message = INDEXES[case]
    context = load_context("smoke", **parameters)
    started = check(context)
    with pytest.raises((ValueError, PromotionError), match=message):
        started.before("pack_images", image_index=table)
    check(context, "preprocess").before("pack_images", image_index=table)  # nothing is trained or measured


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    layers = ("03_primary", "05_model_input", "06_models", "07_model_output")
    return copy_trained(tmp_path_factory.mktemp("early") / "project", *layers)


def packed_inputs(project: Path) -> dict[str, Any]:
    folder = project / "data/05_model_input/smoke"
    return {
        "packed_images": PackedImages(folder / "images"),
        "labels": pd.read_parquet(folder / "labels.parquet"),
        "params:train": {},
    }


def test_what_packed_images_decide_is_refused_before_training(
    load_context: Context, trained: Path, project: Path
) -> None:
    (project / "data").symlink_to(trained / "data")
    context = load_context(
        "smoke", experiment="new", train={"condition": {"name": "attributes"}}, generate={"labels": "Hat"}
    )
    started = check(context, pipelines["train"] + pipelines["generate"])
    with pytest.raises(ValueError, match="knows no 'Hat'"):
        started.before("train_gan", **packed_inputs(trained))


@pytest.mark.parametrize(("stages", "node"), [("train", "train_gan"), ("evaluate", "fit_attribute_classifier")])
def test_a_damaged_shard_is_named_before_it_is_used(
    load_context: Context, trained: Path, project: Path, stages: str, node: str
) -> None:
    shutil.copytree(trained / "data", project / "data")
    shard = project / "data/05_model_input/smoke/images/shard-00001.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    context = load_context("smoke")
    inputs = packed_inputs(project) | {"params:evaluate": {}}
    with pytest.raises(ValueError, match=r"shard-00001\.npy has changed since .*kedro run --pipelines preprocess"):
        check(context, stages).before(node, **inputs)


def test_a_model_of_another_size_is_refused_before_the_attribute_classifier(
    load_context: Context, trained: Path, project: Path
) -> None:
    (project / "data").symlink_to(trained / "data")
    context = load_context("smoke", preprocess={"size": 32}, experiment="new", evaluate={"compare_with": "smoke"})
    with pytest.raises(ValueError, match="smoke makes images of 16 pixels, the measured model 32"):
        check(context)
    with pytest.raises(ValueError, match="There is no trained generator"):
        check(context, "evaluate")


def test_other_networks_than_those_to_start_from(load_context: Context, trained: Path, project: Path) -> None:
    (project / "data").symlink_to(trained / "data")
    for wrong in ({"latent": {"size": 32}}, {"condition": {"name": "attributes"}}):
        context = load_context("smoke", experiment="new", train={"init_from": "smoke", **wrong})
        with pytest.raises(RuntimeError, match="holds other networks than those requested"):
            check(context)
    check(load_context("smoke", experiment="new", train={"init_from": "smoke"}))


@pytest.mark.parametrize("pipeline", ["__default__", "generate"])
def test_files_that_are_no_photographs(
    load_context: Context, trained: Path, project: Path, tmp_path: Path, pipeline: str
) -> None:
    (project / "data").symlink_to(trained / "data")
    face = tmp_path / "face.png"
    context = load_context("smoke", generate={"project": str(face)})
    face.write_text("no picture")
    with pytest.raises(ValueError, match=r"face\.png cannot be used: not an image"):
        check(context, pipeline)
    Image.new("RGB", (9, 9)).save(face)
    with pytest.raises(ValueError, match=r"face\.png cannot be used: smaller than the crop of 178: 9x9"):
        check(context, pipeline)
    Image.new("RGB", (178, 218)).save(face)
    check(context, pipeline)


def test_attributes_of_directions_that_no_classifier_knows(load_context: Context, trained: Path, project: Path) -> None:
    (project / "data").symlink_to(trained / "data")
    check(load_context("smoke"), "generate")
    with pytest.raises(ValueError, match=r"orthogonal_to: the classifier knows no Hat\. There are: .*Male"):
        check(load_context("smoke", generate={"directions": {"orthogonal_to": "Hat"}}), "generate")
    context = load_context("smoke", dataset="other", generate={"directions": {"orthogonal_to": "Male"}})
    with pytest.raises(ValueError, match="there is no classifier that knows attributes"):
        check(context, "generate")


def test_the_plan_knows_the_packed_images(load_context: Context, trained: Path, project: Path) -> None:
    (project / "data").symlink_to(trained / "data")
    context = load_context(
        "smoke", experiment="new", train={"condition": {"name": "attributes"}}, generate={"labels": "Hat"}
    )
    with pytest.raises(ValueError, match="knows no 'Hat'"):
        check(context, "plan")


def test_a_refused_run_leaves_everything_in_place(trained: Path) -> None:
    said = kedro_run(trained, "--env", "smoke", "--params", "train.resume=false,generate.labels=Male", status=1)
    assert "Error: generate.labels=Male: this generator takes no labels" in said.text
    assert "Set the earlier results aside" not in said.text
    assert (trained / "data/06_models/smoke/generator.safetensors").is_file()


# --- a snapshot of other images or settings -----------------------------------------------------------------------


@pytest.mark.slow
def test_another_batch_size_is_refused_before_the_first_node(
    load_context: Context, trained: Path, project: Path
) -> None:
    (project / "data").symlink_to(trained / "data")
    with pytest.raises(RuntimeError, match=r"batch_size: 16 in the snapshot, 8 now[\s\S]*train\.init_from=smoke"):
        check(load_context("smoke", train={"batch_size": 8}))
    check(load_context("smoke", train={"batch_size": 8, "resume": False}))
    check(load_context("smoke", train={"batch_size": 8}), "preprocess")


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 150},
        {"shard_images": 32},
        pytest.param({"filter": "box"}, marks=pytest.mark.slow),
        pytest.param({"background": "#000000"}, marks=pytest.mark.slow),
    ],
)
def test_other_packing_is_refused_before_the_first_node(
    load_context: Context, trained: Path, project: Path, changes: dict[str, Any]
) -> None:
    (project / "data").symlink_to(trained / "data")
    name = next(iter(changes))
    with pytest.raises(RuntimeError, match=rf"preprocess\.{name}: .*[\s\S]*images were not replaced"):
        check(load_context("smoke", preprocess=changes))
    check(load_context("smoke", preprocess=changes), "train")  # trains on the packed images as they are


def test_added_images_are_refused_before_the_packed_ones_are_replaced(
    load_context: Context, trained: Path, project: Path
) -> None:
    (project / "data").symlink_to(trained / "data")
    table = pd.read_parquet(trained / "data/03_primary/smoke/image_index.parquet")
    context = load_context("smoke")
    check(context).before("pack_images", image_index=table)
    more = pd.concat([table, table.head(2).assign(image_id=["new.jpg", "newer.jpg"])], ignore_index=True)
    added = "2 images added to the 160, and nothing else changed"
    with pytest.raises(RuntimeError, match=rf"{added}[\s\S]*experiment=NAME,train\.init_from=smoke"):
        check(context).before("pack_images", image_index=more)
    other = more.iloc[1:].replace({"split": {"valid": "test"}})
    with pytest.raises(RuntimeError, match="images: 2 added, 1 removed, 16 in another split"):
        check(context).before("pack_images", image_index=other)
    for pipeline, parameters in (
        ("preprocess", {}),  # nothing is trained
        ("__default__", {"experiment": "new"}),  # nothing is resumed
    ):
        context = load_context("smoke", **parameters)
        check(context, pipeline).before("pack_images", image_index=more)
