import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError
from torch import Tensor

from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.evaluation.features.file import FeatureFile, FeatureFileError, prepare

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 20, 20, 3), dtype=np.uint8)
WEIGHT = np.random.default_rng(1).normal(size=(5, 3, 3, 3)).astype(np.float32)


def settings(path: Path, **others: Any) -> FeatureFileSettings:
    return FeatureFileSettings(path=str(path), **{"size": 16, "scaling": "unit", **others})


def expected(pixels: Tensor) -> NDArray[np.float32]:
    """What the network below computes: means over places of one convolution."""
    return torch.nn.functional.conv2d(pixels, torch.from_numpy(WEIGHT)).relu().mean((2, 3)).numpy()


def onnx_file(
    path: Path, batch: int | str = "n", last: bool = False, kind: int = TensorProto.FLOAT, weight: Any = WEIGHT
) -> onnx.ModelProto:
    """A convolution of `WEIGHT`, with outputs `map` and `mean`."""
    shape = [batch, 16, 16, 3] if last else [batch, 3, 16, 16]
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["first"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]),
        helper.make_node("Conv", ["first", "weight"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["inner"]),
        helper.make_node("Transpose", ["inner"], ["map"], perm=[0, 2, 3, 1] if last else [0, 1, 2, 3]),
        helper.make_node("GlobalAveragePool", ["inner"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Shape", ["map"], ["count"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", kind, shape)],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 14, 14, 5] if last else [batch, 5, 14, 14]),
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 5]),
            helper.make_tensor_value_info("count", TensorProto.INT64, [4]),
        ],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return model


@pytest.mark.parametrize(("batch", "last"), [("n", False), ("n", True), (2, False)])
def test_features_are_the_networks_for_any_batch_and_order(tmp_path: Path, batch: int | str, last: bool) -> None:
    onnx_file(tmp_path / "file", batch, last)
    whole = FeatureFile(settings(tmp_path / "file"))
    features = whole(IMAGES)
    assert features.dtype == np.float32
    assert np.allclose(features, expected(prepare(IMAGES, whole.settings)), rtol=1e-5, atol=1e-6)
    parts = FeatureFile(settings(tmp_path / "file", batch_size=3))
    assert np.allclose(parts(IMAGES[::-1])[::-1], features, rtol=1e-5, atol=1e-6)
    assert parts.digest == whole.digest


def test_pixels_are_scaled_as_named() -> None:
    def scaled(scaling: Any) -> list[float]:
        image = np.array([[[[0, 51, 255]]]], np.uint8)
        return prepare(image, FeatureFileSettings(size=1, scaling=scaling)).flatten().tolist()

    assert scaled("bytes") == [0, 51, 255]
    assert scaled("unit") == pytest.approx([0, 0.2, 1])
    assert scaled("signed") == pytest.approx([-1, -0.6, 1])
    assert scaled("imagenet") == pytest.approx([-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_resizing_keeps_to_the_range_and_antialiases() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255  # finer than the small image can show: grey, or moiré without antialiasing
    for resize in ("bicubic", "bilinear"):
        small = prepare(stripes, FeatureFileSettings(size=12, scaling="bytes", resize=resize))
        assert np.abs(small[..., 2:-2].numpy() - 127.5).max() < 12
    large = prepare(stripes, FeatureFileSettings(size=128, scaling="bytes"))
    assert (large.min(), large.max()) == (0, 255)


def test_outputs_are_chosen_by_name(tmp_path: Path) -> None:
    onnx_file(tmp_path / "a")
    usual = FeatureFile(settings(tmp_path / "a"))(IMAGES)
    assert np.allclose(FeatureFile(settings(tmp_path / "a", output="mean"))(IMAGES), usual, rtol=1e-5, atol=1e-6)
    with pytest.raises(FeatureFileError, match="has no output logits, only map, mean, count"):
        FeatureFile(settings(tmp_path / "a", output="logits"))


def test_the_digest_is_of_weights_and_of_all_that_changes_features(tmp_path: Path) -> None:
    onnx_file(tmp_path / "a")
    onnx_file(tmp_path / "b", weight=2 * WEIGHT)
    digests = [
        FeatureFile(one).digest
        for one in (
            settings(tmp_path / "a"),
            settings(tmp_path / "b"),
            settings(tmp_path / "a", scaling="signed"),
            settings(tmp_path / "a", output="mean"),
            settings(tmp_path / "a", resize="bilinear"),
        )
    ]
    assert len(set(digests)) == len(digests)
    assert FeatureFile(settings(tmp_path / "a", name="other", batch_size=1)).digest == digests[0]


def test_weights_beside_an_onnx_file_are_read_and_in_the_digest(tmp_path: Path) -> None:
    """As torch.onnx.export writes them."""
    digests = []
    for factor in (1, 2):
        model = onnx_file(tmp_path / "inside.onnx", weight=factor * WEIGHT)
        inside = FeatureFile(settings(tmp_path / "inside.onnx"))
        (tmp_path / "weights.data").unlink(missing_ok=True)
        onnx.save(
            model, tmp_path / "beside.onnx", save_as_external_data=True, location="weights.data", size_threshold=0
        )
        beside = FeatureFile(settings(tmp_path / "beside.onnx"))
        assert np.array_equal(beside(IMAGES), inside(IMAGES))
        digests.append(beside.digest)
    assert digests[0] != digests[1]


def program(path: Path, *nodes: onnx.NodeProto) -> Path:
    """A graph from `images` to `found`, with the constants `zero` and `shape`."""
    graph = helper.make_graph(
        list(nodes),
        "program",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.array([5, 7]), "shape")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def mean(given: str, found: str, *axes: int, keepdims: int = 0) -> onnx.NodeProto:
    return helper.make_node("ReduceMean", [given], [found], axes=axes, keepdims=keepdims)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [
                mean("images", "each", 2, 3),
                mean("each", "all", 0, keepdims=1),
                helper.make_node("Sub", ["each", "all"], ["found"]),
            ],
            "depend on the other images of the batch",
        ),
        (
            [mean("images", "each", 2, 3), helper.make_node("Div", ["each", "zero"], ["found"])],
            r"not finite. Check that evaluate.features.scaling \(unit\)",
        ),
        ([mean("images", "found", 0, 1, 2, 3)], r"has the shape \(\) for 3 images"),
        (
            [helper.make_node("Reshape", ["images", "shape"], ["found"])],
            r"fails on float32 pixels of shape \(3, 3, 16, 16\).*Set evaluate.features.size",
        ),
    ],
)
def test_programs_that_give_no_features_are_refused(tmp_path: Path, nodes: list[onnx.NodeProto], message: str) -> None:
    with pytest.raises(FeatureFileError, match=message):
        FeatureFile(settings(program(tmp_path / "file", *nodes)))


def test_an_onnx_file_that_takes_other_images_is_refused(tmp_path: Path) -> None:
    onnx_file(tmp_path / "a")
    with pytest.raises(FeatureFileError, match=r"images of 16x16 pixels, but evaluate.features.size is 299"):
        FeatureFile(settings(tmp_path / "a", size=299))
    with pytest.raises(FeatureFileError, match="int64, not floats"):
        FeatureFile(settings(tmp_path / "a", output="count"))
    onnx_file(tmp_path / "b", kind=TensorProto.DOUBLE)
    with pytest.raises(FeatureFileError, match=r"takes tensor\(double\). Export it for tensor\(float\)"):
        FeatureFile(settings(tmp_path / "b"))


def test_half_precision_is_taken(tmp_path: Path) -> None:
    onnx_file(tmp_path / "half", kind=TensorProto.FLOAT16)
    half = FeatureFile(settings(tmp_path / "half"))
    assert np.allclose(half(IMAGES), expected(prepare(IMAGES, half.settings)), rtol=1e-2, atol=1e-3)


def test_what_is_no_onnx_file_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(tmp_path / "sprung"), "w")

    torch.save(Trap(), tmp_path / "zipped")
    torch.save(Trap(), tmp_path / "old", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "damaged").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "no graph").write_bytes(b"\x08\x07 and no more")
    for name in ("zipped", "old", "weights.pt", "pointer", "damaged", "no graph"):
        with pytest.raises(FeatureFileError, match=f"{name} is not a valid ONNX file"):
            FeatureFile(settings(tmp_path / name))
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(FeatureFileError, match="there is no file"):
        FeatureFile(settings(tmp_path / "none"))


def test_without_onnxruntime_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_file(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FeatureFileError, match=r"needs onnxruntime. Install it: pip install 'celeba-gan\[onnx\]'"):
        FeatureFile(settings(tmp_path / "a"))


@pytest.mark.parametrize("name", ["attributes", "inception", "a-b", "", "ä"])
def test_names_that_numbers_cannot_end_in_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        FeatureFileSettings(name=name)
