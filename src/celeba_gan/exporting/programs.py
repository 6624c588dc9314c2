"""A generator as programs that run without this project: ONNX, and torch.export."""

import copy
import json
import logging
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from celeba_gan.exporting.errors import ExportError
from celeba_gan.foundation.precision import full_float32
from celeba_gan.foundation.wording import Report, install_command, no_report
from celeba_gan.gan.inputs.conditions import draw_samples
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.sampling.truncation import TruncatedGenerator

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

logger = logging.getLogger(__name__)

ONNX_FILE: Final = "generator.onnx"
TORCH_FILE: Final = "generator.pt2"
TOLERANCE: Final = 1e-4
"""The largest difference to torch's own images, of values in [-1, 1]; a step of an 8-bit pixel is 0.008."""
BATCHES: Final = (1, 3, 16)
"""Images at once, of each comparison."""
TRUNCATIONS: Final = (1.0, 0.7, 0.3)
"""Of each comparison."""
_TRUNCATION: Final = (
    "float32 (1,) in [0, 1]; features after the first nonlinear layer become mean + truncation * (features - mean): "
    "1 changes nothing, less gives more typical faces, and fewer different ones"
)
_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")

Program = Callable[..., Tensor]
Inputs = tuple[Tensor, ...]


def check_packages() -> None:
    """Checks that what writes and runs ONNX is installed.

    Raises:
        ExportError: A package is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"An export needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            f"Install the extra: {install_command('onnx')}"
        )


def export_programs(
    trained: TrainedGenerator, folder: Path, *, torch_program: bool, report: Report = no_report
) -> dict[str, float]:
    """Writes `generator.onnx`, and `generator.pt2` if wanted, whose images are compared with torch's.

    The first input is latents, float32 (batch, latent size). The second is truncation, float32 (1,) in [0, 1], which
    does what it does in `TrainedGenerator.images`; or, for a generator with labels, labels, float32 (batch, names),
    and there is no truncation, since its mean depends on the labels. The output is images, float32
    (batch, 3, size, size) in [-1, 1]; values outside, of `r3`, are to be clipped.

    Args:
        trained: On the CPU.
        folder: Exists.
        torch_program: Whether to write `generator.pt2`.
        report: Called before each step, and after the last.

    Returns:
        The largest difference to torch's images, by file.

    Raises:
        ExportError: A program's images differ by more than `TOLERANCE`.
    """
    total = 4 if torch_program else 3
    module = as_module(trained)
    report("Exporting", 0, total)
    program = _record(module, trained)
    report("Exporting", 1, total)
    _write_onnx(program, trained, folder / ONNX_FILE)
    report("Exporting", 2, total)
    found = {ONNX_FILE: _compare(trained, module, _read_onnx(folder / ONNX_FILE), folder / ONNX_FILE)}
    if torch_program:
        report("Exporting", 3, total)
        # Compared before it is saved: to read the file is to unpickle.
        found[TORCH_FILE] = _compare(trained, module, program.module(), folder / TORCH_FILE)
        torch.export.save(program, folder / TORCH_FILE)
    report("Exporting", total, total)
    for name, difference in found.items():
        logger.info("%s agrees with torch to %.1e", name, difference)
    return found


def as_module(trained: TrainedGenerator) -> nn.Module:
    """What is exported: a copy of the network, which takes truncation where it takes no labels; see `input_names`."""
    # Weights in the plain layout: torch warns of others when it saves them.
    network = copy.deepcopy(trained.module).to(memory_format=torch.contiguous_format)
    return TruncatedGenerator(network, trained.latent) if trained.condition is None else network


def input_names(trained: TrainedGenerator) -> list[str]:
    """The names of a program's inputs, in order."""
    return ["latents", "truncation"] if trained.condition is None else ["latents", "labels"]


def _record(module: nn.Module, trained: TrainedGenerator) -> "ExportedProgram":
    """Its operations for any batch, without the places in the source, which are paths of this machine."""
    shapes = tuple({} if name == "truncation" else {0: torch.export.Dim("batch")} for name in input_names(trained))
    with torch.no_grad():
        program = torch.export.export(module, _draw(trained, 2, 0.5), dynamic_shapes=shapes)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def _write_onnx(program: "ExportedProgram", trained: TrainedGenerator, file: Path) -> None:
    import onnx

    names = input_names(trained)
    written = torch.onnx.export(
        program, (), input_names=names, output_names=["images"], dynamo=True, external_data=False, verbose=False
    )
    assert written is not None
    model = written.model_proto
    _tidy(model)
    onnx.helper.set_model_props(model, _describe(trained))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def _tidy(model: "ModelProto") -> None:
    """Names the batch, and leaves out the exporter's notes."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        if value.name == "truncation":
            continue
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    del graph.value_info[:]  # shapes inside, in terms of the batch's former name


def _describe(trained: TrainedGenerator) -> dict[str, str]:
    """What a program needs to know to feed the network."""
    card = trained.card
    return {
        "training_id": card.id,
        "images_seen": str(card.images),
        "size": str(card.size),
        "latent_size": str(card.latent.size),
        "latent_distribution": card.latent.distribution,
        "labels": json.dumps([] if card.condition is None else card.condition.names),
        "truncation": _TRUNCATION if card.condition is None else "no input: the mean depends on the labels",
    }


def _read_onnx(file: Path) -> Program:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        feeds = {name: values.numpy() for name, values in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(["images"], feeds)[0])

    return run


def _compare(trained: TrainedGenerator, module: nn.Module, program: Program, file: Path) -> float:
    """The largest difference between a program's images and torch's, for several batches and truncations."""
    largest = 0.0
    for count, truncation in product(BATCHES, TRUNCATIONS if trained.condition is None else (1.0,)):
        inputs = _draw(trained, count, truncation)
        with torch.inference_mode(), full_float32():
            expected, found = module(*inputs).clamp(-1, 1), program(*inputs).clamp(-1, 1)
        if found.shape != expected.shape:
            raise ExportError(f"{file} makes images of shape {tuple(found.shape)}, torch {tuple(expected.shape)}")
        largest = max(largest, float((found - expected).abs().max()))
    if not largest <= TOLERANCE:  # NaN is no agreement
        raise ExportError(
            f"{file} does not compute what torch does: images differ by up to {largest:.1e}, allowed is "
            f"{TOLERANCE:.0e}. Nothing is exported; please report it with the versions of torch, onnx and onnxruntime"
        )
    return largest


def _draw(trained: TrainedGenerator, count: int, truncation: float) -> Inputs:
    latents, labels = draw_samples(trained.latent, trained.condition, count, seed=count)
    return (latents, torch.tensor([truncation]) if trained.condition is None else labels)
