"""ONNX and torch.export: the same images as torch's, or an error."""

import json
import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny import make_network
from torch import Tensor, nn

from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.errors import ExportError
from celeba_gan.exporting.folder import ExportedFolder, check_tools
from celeba_gan.exporting.programs import TOLERANCE, export_programs
from celeba_gan.exporting.web_runtime import WebRuntime
from celeba_gan.gan.inputs.conditions import draw_samples
from celeba_gan.gan.sampling.trained import TrainedGenerator


@pytest.mark.parametrize("kind", ["plain", "attributes", "class"])
def test_every_file_makes_the_images_of_torch_in_any_batch(
    kind: str, export_tiny: Callable[..., ExportedFolder]
) -> None:
    network = make_network(kind)
    exported = export_tiny(network)
    folder = exported.path
    trained = TrainedGenerator(network)
    session = onnxruntime.InferenceSession(folder / "generator.onnx")
    program = torch.export.load(folder / "generator.pt2").module()
    for count in (1, 2, 5, 16):
        latents, labels = draw_samples(trained.latent, trained.condition, count, seed=50 + count)
        inputs = (latents,) if kind == "plain" else (latents, labels)
        expected = trained.module(*inputs)
        names = ["latents", "labels"][: len(inputs)]
        (found,) = session.run(["images"], {name: one.numpy() for name, one in zip(names, inputs, strict=True)})
        assert np.abs(found - expected.numpy()).max() < TOLERANCE
        torch.testing.assert_close(program(*inputs), expected, rtol=0, atol=TOLERANCE)


def test_writing_programs_unpickles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a file is unpickled")

    for module, name in ((torch.export, "load"), (torch, "load"), (pickle, "load"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    found = export_programs(TrainedGenerator(make_network()), tmp_path, torch_program=True)
    assert found.keys() == {"generator.onnx", "generator.pt2"}
    assert (tmp_path / "generator.pt2").stat().st_size > 1000


def test_the_file_says_how_to_feed_it_and_holds_no_path(export_tiny: Callable[..., ExportedFolder]) -> None:
    exported = export_tiny(make_network("attributes", "uniform"))
    folder = exported.path
    model = onnx.load(folder / "generator.onnx")
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["latent_distribution"] == "uniform"
    assert json.loads(notes["labels"]) == ["Male", "Wearing_Hat", "Smiling"]
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"latents": ["batch", 12], "labels": ["batch", 3], "images": ["batch", 3, 16, 16]}
    for file in folder.iterdir():
        content = file.read_bytes()
        assert b"layers.py" not in content, file.name
        assert str(Path.home()).encode() + b"/" not in content, file.name


class Noisy(nn.Module):
    """A generator that draws at random itself, so that no two runs agree."""

    def __init__(self, quiet: nn.Module) -> None:
        super().__init__()
        self.quiet = quiet

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.quiet(latents)
        return images + 0.1 * torch.randn_like(images)


def test_a_program_that_does_not_agree_is_an_error(tmp_path: Path) -> None:
    trained = TrainedGenerator(make_network())
    trained.module = Noisy(trained.module)
    with pytest.raises(ExportError, match=r"generator\.onnx does not compute what torch does: images differ by up to"):
        export_programs(trained, tmp_path, torch_program=False)


def test_exporting_prints_and_warns_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # that of conf/logging.yml
    caplog.set_level(logging.ERROR, "celeba_gan.exporting.programs")  # its own line is wanted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_programs(TrainedGenerator(make_network("class")), tmp_path, torch_program=True)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert caplog.records == []


def test_a_missing_package_is_named_with_the_extra_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"needs onnxscript, which is not installed.*'celeba-gan\[onnx\]'"):
        check_tools(ExportSettings(web=False), WebRuntime(tmp_path))
