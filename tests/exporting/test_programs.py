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
from tiny import FAMILIES, make_family, make_network
from torch import Tensor

from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.errors import ExportError
from celeba_gan.exporting.folder import ExportedFolder, check_tools
from celeba_gan.exporting.programs import TOLERANCE, as_module, export_programs, input_names
from celeba_gan.exporting.web_runtime import WebRuntime
from celeba_gan.foundation.pixels import to_uint8
from celeba_gan.foundation.precision import full_float32
from celeba_gan.gan.inputs.conditions import draw_samples
from celeba_gan.gan.networks.layers import Generator
from celeba_gan.gan.sampling.trained import TrainedGenerator
from reports import Reports


def reference(trained: TrainedGenerator, latents: Tensor, truncation: float) -> Tensor:
    """The images of a generator without labels, as `TrainedGenerator` rounds them to pixels."""
    with torch.inference_mode(), full_float32():
        images = trained._forward(latents, torch.zeros(len(latents), 0), truncation).clamp(-1, 1)
    assert np.array_equal(to_uint8(images), trained.images(latents, truncation=truncation))
    return images


def runs_onnx(file: Path) -> Callable[..., Tensor]:
    session = onnxruntime.InferenceSession(file)
    names = [node.name for node in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        feeds = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(["images"], feeds)[0])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attributes", "class"])
def test_with_labels_every_file_makes_the_images_of_torch_in_any_batch(
    kind: str, export_tiny: Callable[..., ExportedFolder]
) -> None:
    network = make_network(kind)
    exported = export_tiny(network)
    trained = TrainedGenerator(network)
    run = runs_onnx(exported.path / "generator.onnx")
    program = torch.export.load(exported.path / "generator.pt2").module()
    for count in (1, 2, 5, 16):
        inputs = draw_samples(trained.latent, trained.condition, count, seed=50 + count)
        expected = trained.module(*inputs)
        for one in (run, program):
            torch.testing.assert_close(one(*inputs), expected, rtol=0, atol=TOLERANCE)


def by_the_newer_exporter(trained: TrainedGenerator, folder: Path) -> dict[str, Callable[..., Tensor]]:
    export_programs(trained, folder, torch_program=True)
    program = torch.export.load(folder / "generator.pt2").module()
    return {"onnx": runs_onnx(folder / "generator.onnx"), "torch": program}


def by_the_older_exporter(trained: TrainedGenerator, folder: Path) -> dict[str, Callable[..., Tensor]]:
    torch.onnx.export(
        as_module(trained),
        (torch.randn(2, trained.latent.size), torch.tensor([0.5])),
        folder / "older.onnx",
        dynamo=False,
        input_names=input_names(trained),
        output_names=["images"],
        dynamic_axes={"latents": {0: "batch"}, "images": {0: "batch"}},
    )
    return {"onnx": runs_onnx(folder / "older.onnx")}


@pytest.mark.parametrize("make_programs", [by_the_newer_exporter, by_the_older_exporter])
@pytest.mark.parametrize(
    "family", [name if name == "dcgan" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
@pytest.mark.filterwarnings(
    "ignore:.*legacy TorchScript-based", "ignore:The feature will be removed", "ignore:Using len to get"
)
def test_truncation_is_an_input_and_makes_the_images_of_the_trained_generator(
    family: str, make_programs: Callable[..., dict[str, Callable[..., Tensor]]], tmp_path: Path
) -> None:
    trained = TrainedGenerator(make_family(family))
    for name, run in make_programs(trained, tmp_path).items():
        for count in (1, 2, 5):
            latents, _ = trained.draw(count, seed=50 + count)
            made = {
                truncation: run(latents, torch.tensor([truncation])).clamp(-1, 1) for truncation in (1.0, 0.7, 0.3, 0.0)
            }
            for truncation, images in made.items():
                difference = (images - reference(trained, latents, truncation)).abs().max()
                assert difference < TOLERANCE, (name, count, truncation)
            distances = [(made[truncation] - made[0]).abs().mean() for truncation in (1.0, 0.7, 0.3)]
            assert distances[0] > distances[1] > distances[2] > 0.01


def test_writing_programs_unpickles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a file is unpickled")

    for module, name in ((torch.export, "load"), (torch, "load"), (pickle, "load"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    reports = Reports()
    found = export_programs(TrainedGenerator(make_network()), tmp_path, torch_program=True, report=reports)
    assert reports.parts == ["Exporting"]
    assert found.keys() == {"generator.onnx", "generator.pt2"}
    assert (tmp_path / "generator.pt2").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "attributes"])
def test_the_file_says_how_to_feed_it_and_holds_no_path(kind: str, export_tiny: Callable[..., ExportedFolder]) -> None:
    exported = export_tiny(make_network(kind, "uniform"))
    folder = exported.path
    model = onnx.load(folder / "generator.onnx")
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["latent_distribution"] == "uniform"
    assert json.loads(notes["labels"]) == (["Male", "Wearing_Hat", "Smiling"] if kind == "attributes" else [])
    assert notes["truncation"].startswith("no input" if kind == "attributes" else "float32 (1,) in [0, 1]")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    second = {"labels": ["batch", 3]} if kind == "attributes" else {"truncation": [1]}
    assert shapes == {"latents": ["batch", 12], **second, "images": ["batch", 3, 16, 16]}
    for file in folder.iterdir():
        content = file.read_bytes()
        assert b"layers.py" not in content, file.name
        assert str(Path.home()).encode() + b"/" not in content, file.name


class Noisy(Generator):
    """A generator that draws at random itself, so that no two runs agree."""

    def __init__(self, quiet: Generator) -> None:
        super().__init__()
        self.quiet, self.classes = quiet, quiet.classes

    def base(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        return self.quiet.base(latents, labels)

    def synthesize(self, features: Tensor, labels: Tensor | None) -> Tensor:
        images = self.quiet.synthesize(features, labels)
        return images + 0.1 * torch.randn_like(images)


def test_a_program_that_does_not_agree_is_an_error(tmp_path: Path) -> None:
    trained = TrainedGenerator(make_network())
    trained.module = Noisy(trained.module)
    with pytest.raises(ExportError, match=r"generator\.onnx does not compute what torch does: images differ by up to"):
        export_programs(trained, tmp_path, torch_program=False)


@pytest.mark.parametrize("kind", ["plain", pytest.param("class", marks=pytest.mark.slow)])
def test_exporting_prints_and_warns_nothing(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # that of conf/logging.yml
    caplog.set_level(logging.ERROR, "celeba_gan.exporting.programs")  # its own line is wanted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)  # torch 2.11
        export_programs(TrainedGenerator(make_network(kind)), tmp_path, torch_program=True)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert caplog.records == []


def test_a_missing_package_is_named_with_the_extra_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"needs onnxscript, which is not installed.*'celeba-gan\[onnx\]'"):
        check_tools(ExportSettings(web=False), WebRuntime(tmp_path))
