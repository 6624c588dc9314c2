import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError
from torch import Tensor, nn

from celeba_gan.evaluation.feature_file import FeatureFile, FeatureFileError, prepare
from celeba_gan.evaluation.feature_settings import FeatureFileSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 20, 20, 3), dtype=np.uint8)
WEIGHT = np.random.default_rng(1).normal(size=(5, 3, 3, 3)).astype(np.float32)


def settings(path: Path, **others: Any) -> FeatureFileSettings:
    return FeatureFileSettings(path=str(path), **{"size": 16, "scaling": "unit", **others})


def script(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def expected(pixels: Tensor) -> NDArray[np.float32]:
    """What the networks below compute: means over places of one convolution."""
    return torch.nn.functional.conv2d(pixels, torch.from_numpy(WEIGHT)).relu().mean((2, 3)).numpy()


class Network(nn.Module):
    """A convolution of `WEIGHT`, as a map."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(images, self.weight).relu()


class Several(Network):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found = torch.nn.functional.conv2d(images, self.weight).relu()
        return {"map": found, "mean": found.mean(dim=[2, 3]), "twice": 2 * found}


class Pair(Network):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.nn.functional.conv2d(images, self.weight).relu()
        return 2 * found, found


def onnx_file(
    path: Path, batch: int | str = "n", last: bool = False, kind: int = TensorProto.FLOAT, weight: Any = WEIGHT
) -> onnx.ModelProto:
    """The same network, with outputs `map` and `mean`."""
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


def make(path: Path, form: str) -> None:
    if form == "torchscript":
        script(path, Network())
    else:
        onnx_file(path, batch=2 if form == "onnx of two" else "n", last=form == "onnx, channels last")


@pytest.mark.parametrize("form", ["torchscript", "onnx", "onnx, channels last", "onnx of two"])
def test_features_are_the_networks_for_any_batch_and_order(tmp_path: Path, form: str) -> None:
    make(tmp_path / "file", form)
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


def test_outputs_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    several, pair = script(tmp_path / "several", Several()), script(tmp_path / "pair", Pair())
    onnx_file(tmp_path / "onnx")
    usual = FeatureFile(settings(several))(IMAGES)
    for path, output, factor in (
        (several, "mean", 1),
        (several, "twice", 2),
        (pair, None, 2),
        (pair, 1, 1),
        (tmp_path / "onnx", "mean", 1),
    ):
        features = FeatureFile(settings(path, output=output))(IMAGES)
        assert np.allclose(features, factor * usual, rtol=1e-5, atol=1e-6)
    for path, known in ((several, "map, mean, twice"), (pair, "0, 1"), (tmp_path / "onnx", "map, mean, count")):
        with pytest.raises(FeatureFileError, match=f"has no output logits, only {known}"):
            FeatureFile(settings(path, output="logits"))


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


class Mixing(Network):
    def forward(self, images: Tensor) -> Tensor:
        found = images.mean(dim=[2, 3])
        return found - found.mean(dim=0)


class Infinite(Network):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=[2, 3]) / 0


class Flat(Network):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean()


class Whole(Network):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=[2, 3]).long()


class Fixed(Network):
    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(-1, 3 * 8 * 8) @ torch.ones(3 * 8 * 8, 2) + torch.zeros(images.shape[0], 2)


class Writing(Network):
    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, "sprung")
        return images.mean(dim=[2, 3])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Mixing, "depend on the images beside it"),
        (Infinite, r"not finite; is evaluate.features.scaling \(unit\)"),
        (Flat, r"has the shape \(\) for 3 images"),
        (Whole, "is torch.int64, where floats"),
        (Fixed, r"fails on float32 pixels of shape \(3, 3, 16, 16\).*size of tensor.*Set evaluate.features.size"),
        (Writing, "its code names `save`"),
    ],
)
def test_programs_that_give_no_features_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Callable[[], nn.Module], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FeatureFileError, match=message):
        FeatureFile(settings(script(tmp_path / "file", module())))
    assert not (tmp_path / "sprung").exists()


def test_an_onnx_file_that_takes_other_images_is_refused(tmp_path: Path) -> None:
    onnx_file(tmp_path / "a")
    with pytest.raises(FeatureFileError, match=r"images of 16x16 pixels, evaluate.features.size is 299: set it so"):
        FeatureFile(settings(tmp_path / "a", size=299))
    with pytest.raises(FeatureFileError, match="int64, where floats"):
        FeatureFile(settings(tmp_path / "a", output="count"))
    onnx_file(tmp_path / "b", kind=TensorProto.DOUBLE)
    with pytest.raises(FeatureFileError, match=r"takes tensor\(double\), where tensor\(float\)"):
        FeatureFile(settings(tmp_path / "b"))


def test_half_precision_is_taken(tmp_path: Path) -> None:
    onnx_file(tmp_path / "half", kind=TensorProto.FLOAT16)
    half = FeatureFile(settings(tmp_path / "half"))
    assert np.allclose(half(IMAGES), expected(prepare(IMAGES, half.settings)), rtol=1e-2, atol=1e-3)


def test_what_is_neither_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(tmp_path / "sprung"), "w")

    torch.save(Trap(), tmp_path / "zipped")
    torch.save(Trap(), tmp_path / "old", _use_new_zipfile_serialization=False)
    torch.save(Network().state_dict(), tmp_path / "weights")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "damaged").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "no graph").write_bytes(b"\x08\x07 and no more")
    for name in ("zipped", "old", "weights", "pointer", "damaged", "no graph"):
        with pytest.raises(FeatureFileError, match=f"{name} is neither an ONNX nor a TorchScript file"):
            FeatureFile(settings(tmp_path / name))
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(FeatureFileError, match="there is no file"):
        FeatureFile(settings(tmp_path / "none"))


def test_without_onnxruntime_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_file(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FeatureFileError, match="needs onnxruntime: pip install onnxruntime"):
        FeatureFile(settings(tmp_path / "a"))


@pytest.mark.parametrize("name", ["attributes", "inception", "a-b", "", "ä"])
def test_names_that_numbers_cannot_end_in_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        FeatureFileSettings(name=name)


def test_a_number_on_the_command_line_names_an_output() -> None:
    assert FeatureFileSettings.model_validate({"output": 1}).output == "1"
