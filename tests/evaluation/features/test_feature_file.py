import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
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

from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.evaluation.features.file import FeatureFile, FeatureFileError, prepare

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


def rewritten(path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> Path:
    """The archive, with each record as `change` says."""
    with zipfile.ZipFile(path) as archive:
        records = [record for name in archive.namelist() for record in change(name, archive.read(name))]
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        for name, content in records:
            archive.writestr(name, content)
    return path


CODE = "file/code/__torch__/test_feature_file.py"


@pytest.mark.parametrize(
    ("name", "decoy", "message"),
    [
        (CODE.replace("code", "CODE"), "file/code/decoy.py", "holds file/CODE/.*, as torch.jit.save never writes"),
        (CODE.replace(".py", ".PY"), "file/code/decoy.py", r"holds file/.*\.PY, as torch.jit.save never writes"),
        (CODE.upper().replace("FILE/CODE", "file/code").replace(".PY", ".py"), "file/code/decoy.py", "names `save`"),
        (CODE, CODE.replace("test", "TEST"), "a name twice, but for upper and lower case"),
        (CODE, CODE, "a name twice"),
        (CODE, CODE.replace("file/", "other/", 1), "holds several folders"),
        (CODE, "file/model.json", "holds file/model.json"),
    ],
)
def test_code_is_not_hidden_from_the_check_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoy: str, message: str
) -> None:
    """PyTorch finds records whatever their case."""
    monkeypatch.chdir(tmp_path)

    def renamed(old: str, content: bytes) -> list[tuple[str, bytes]]:
        return [(name, content), (decoy, b"x = 1\n")] if old.endswith(".py") else [(old, content)]

    path = rewritten(script(tmp_path / "file", Writing()), renamed)
    with pytest.raises(FeatureFileError, match=message):
        FeatureFile(settings(path))
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def stranger() -> Iterator[None]:
    """An operator of another library, which writes a file, as torchvision's `image::write_file` does."""

    def write(images: Tensor) -> Tensor:
        Path("sprung").touch()
        return images.clone()

    library = torch.library.Library("stranger", "DEF")
    library.define("write(Tensor images) -> Tensor")
    library.impl("write", write, "CompositeExplicitAutograd")
    yield
    library._destroy()


class Foreign(Network):
    def forward(self, images: Tensor) -> Tensor:
        return torch.ops.stranger.write(images).mean(dim=[2, 3])


class AtLoading(Network):
    """Runs while it is loaded."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=[2, 3])

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight = torch.ops.stranger.write(state[0])
        self.training = state[1]


class Inner(Network):
    def forward(self, images: Tensor) -> Tensor:
        if images.shape[0] > 1000:
            for _ in range(2):
                images = torch.ops.stranger.write(images)
        return images


class Outer(Network):
    """The operator is deep inside, in a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images).mean(dim=[2, 3])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Foreign, r"its code names `ops\.stranger\.write`"),
        (AtLoading, r"its code names `(ops\.stranger\.write|__setstate__)`"),
        (Outer, r"its code names `ops\.stranger\.write`"),
    ],
)
@pytest.mark.usefixtures("stranger")
def test_operators_of_other_libraries_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Callable[[], nn.Module], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = script(tmp_path / "file", module())
    with pytest.raises(FeatureFileError, match=message):
        FeatureFile(settings(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("module", "operator"), [(Outer, "stranger::write"), (Foreign, "stranger::write"), (Writing, "aten::save")]
)
@pytest.mark.usefixtures("stranger")
def test_operators_are_found_in_all_blocks_without_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Callable[[], nn.Module], operator: str
) -> None:
    """The second check alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("celeba_gan.evaluation.features.file._check_text", lambda path, records: None)
    with pytest.raises(FeatureFileError, match=f"it runs `{operator}`"):
        FeatureFile(settings(script(tmp_path / "file", module())))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("module", "written", "spelled"),
    [
        (Writing, b"torch.save(", rb'getattr(torch, "sa\166e")('),
        (Writing, b"torch.save(", b'getattr(torch, "sa" "ve")('),
        (Network, b"images: Tensor)", b'images: Tensor, more: Tuple[()]=getattr(torch, "sa" "ve")([1], "sprung"))'),
    ],
)
def test_operators_are_found_however_they_are_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Callable[[], nn.Module], written: bytes, spelled: bytes
) -> None:
    """The last is a default value, which runs while it is loaded."""
    monkeypatch.chdir(tmp_path)

    def respelled(name: str, content: bytes) -> list[tuple[str, bytes]]:
        assert written in content or not name.endswith(".py")
        return [(name, content.replace(written, spelled) if name.endswith(".py") else content)]

    with pytest.raises(FeatureFileError, match="its code names `getattr`"):
        FeatureFile(settings(rewritten(script(tmp_path / "file", module()), respelled)))
    assert not (tmp_path / "sprung").exists()


def test_objects_of_other_libraries_are_refused(tmp_path: Path) -> None:
    """Loading makes them."""

    def changed(name: str, content: bytes) -> list[tuple[str, bytes]]:
        found = content.replace(b"c__torch__.test_feature_file\nNetwork", b"c__torch__.torch\nclasses.x.Y")
        assert found != content or not name.endswith("/data.pkl")
        return [(name, found)]

    with pytest.raises(FeatureFileError, match=r"data\.pkl holds an object __torch__\.torch classes\.x\.Y"):
        FeatureFile(settings(rewritten(script(tmp_path / "file", Network()), changed)))


class Ordinary(Network):
    """What people's modules have: lists of modules, branches, loops, buffers, and an attribute `ops`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ops = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sequential(nn.GELU(), nn.Dropout(0.5))])

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            raise ValueError(f"{images.shape[1]} channels")
        for operation in self.ops:
            images = operation(images)
        return torch.cat([images.mean((2, 3)), images.amax((2, 3))], dim=1)


def test_ordinary_modules_are_taken_however_they_are_exported(tmp_path: Path) -> None:
    module = Ordinary().eval()
    images = prepare(IMAGES, FeatureFileSettings(size=16, scaling="unit"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        scripted, traced = torch.jit.script(module), torch.jit.trace(module, images)
        for export in (scripted, traced, torch.jit.freeze(scripted)):
            torch.jit.save(export, tmp_path / "file", _extra_files={"notes/of mine.txt": "x"})
            features = FeatureFile(settings(tmp_path / "file"))(IMAGES)
            assert np.allclose(features, module(images).numpy(), rtol=1e-4, atol=1e-5)


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
