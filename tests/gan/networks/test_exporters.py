"""Every network leaves torch: as a program of torch.export and as ONNX, by both of torch's exporters."""

from pathlib import Path
from typing import Any, Literal

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.networks.layers import LeakyReLU, leaky_relu

FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "dcgan": ({"width": 4}, 16),
    "article": ({"width": 16}, 112),
    "resnet": ({"width": 4}, 32),
    "r3": ({"width": 16, "blocks": 1}, 32),
}
LATENT = 8
SLOW = pytest.mark.slow
Kind = Literal["generator", "discriminator"]
Inputs = tuple[Tensor, ...]


def build(family: str, kind: Kind, classes: int | None) -> nn.Module:
    """A tiny network whose output depends on every weight: labels and residual branches do not start at zero."""
    settings, size = FAMILIES[family]
    network = NetworkSettings.model_validate({"name": family, family: settings})
    if kind == "generator":
        built = build_generator(network, LatentSettings(size=LATENT), size, classes)
    else:
        built = build_discriminator(network, size, classes)
    with torch.no_grad():
        for weights in built.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    return built.eval()


def draw(family: str, kind: Kind, classes: int | None, count: int) -> Inputs:
    size = FAMILIES[family][1]
    first = torch.randn(count, LATENT) if kind == "generator" else torch.rand(count, 3, size, size) * 2 - 1
    return (first,) if classes is None else (first, (torch.rand(count, classes) < 0.5).float())


def largest_difference(file: Path, network: nn.Module, inputs: Inputs) -> float:
    session = onnxruntime.InferenceSession(file)
    names = [node.name for node in session.get_inputs()]
    (found,) = session.run(None, {name: values.numpy() for name, values in zip(names, inputs, strict=True)})
    with torch.no_grad():
        return float((torch.from_numpy(found) - network(*inputs)).abs().max())


# Labels, and the layers that others lack; generators of the small family are exported by other tests as well.
QUICK = [("dcgan", "discriminator", 3), ("r3", "generator", None)]
every_network = pytest.mark.parametrize(
    ("family", "kind", "classes"),
    [
        pytest.param(family, kind, classes, marks=[] if (family, kind, classes) in QUICK else SLOW)
        for family in FAMILIES
        for kind in ("generator", "discriminator")
        for classes in (None, 3)
    ],
)


@every_network
@pytest.mark.filterwarnings("ignore:# The axis name")  # of two inputs that share it
def test_the_program_and_the_onnx_of_it_compute_what_the_network_does(
    family: str, kind: Kind, classes: int | None, tmp_path: Path
) -> None:
    network = build(family, kind, classes)
    inputs = draw(family, kind, classes, 2)
    exported = torch.onnx.export(
        network,
        inputs,
        dynamo=True,
        dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in inputs),
        verbose=False,
    )
    assert exported is not None
    exported.save(tmp_path / "network.onnx")
    torch.export.save(exported.exported_program, tmp_path / "network.pt2")
    program = torch.export.load(tmp_path / "network.pt2").module()
    for count in (1, 3, 16):
        inputs = draw(family, kind, classes, count)
        assert largest_difference(tmp_path / "network.onnx", network, inputs) < 1e-4
        torch.testing.assert_close(program(*inputs), network(*inputs))


@every_network
@pytest.mark.filterwarnings(
    "ignore:.*legacy TorchScript-based",
    "ignore:The feature will be removed",  # in torch itself
    "ignore:Converting a tensor to a Python boolean",  # the shapes of labels are checked while they are recorded
    "ignore:Using len to get tensor shape",
)
def test_the_older_exporter_writes_the_network_too(
    family: str, kind: Kind, classes: int | None, tmp_path: Path
) -> None:
    network = build(family, kind, classes)
    names = ["inputs", "labels"][: 1 if classes is None else 2]
    torch.onnx.export(
        network,
        draw(family, kind, classes, 2),
        tmp_path / "network.onnx",
        dynamo=False,
        input_names=names,
        output_names=["outputs"],
        dynamic_axes={name: {0: "batch"} for name in [*names, "outputs"]},
    )
    for count in (1, 3, 16):
        inputs = draw(family, kind, classes, count)
        assert largest_difference(tmp_path / "network.onnx", network, inputs) < 1e-4


class Rectifier(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return leaky_relu(features, 0.2)


def operations(graph: torch.fx.Graph) -> set[Any]:
    return {node.target for node in graph.nodes if node.op == "call_function"}


def test_only_an_export_takes_torchs_own_leaky_relu() -> None:
    aten = torch.ops.aten
    exported = torch.export.export(Rectifier().eval(), (torch.randn(3),))
    assert operations(exported.graph) == {aten.leaky_relu.default}

    compiled = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        compiled.append(operations(graph.graph))
        return graph.forward

    for layer in (LeakyReLU(0.2).train(), LeakyReLU(0.2).eval()):
        torch._dynamo.reset()
        features = torch.randn(4, requires_grad=True)
        rectified = torch.compile(layer, fullgraph=True, backend=keep)(features)
        assert torch.equal(rectified, F.leaky_relu(features, 0.2))
    assert all(aten.leaky_relu_backward in found for found in compiled)
    assert len(compiled) == 2
