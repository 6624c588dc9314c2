"""Features from a file of the user's own, ONNX or TorchScript, named in `evaluate.features`.

Both are programs, made of tensor operations. An ONNX file's can only compute. A TorchScript file's can also read and
write files (`torch.from_file`, `torch.save`, and what other libraries bring, such as torchvision's `write_file`), so it
is checked twice before any of it runs: its archive and the text of its code before PyTorch sees them, and the
operators of all its methods after loading, of which only PyTorch's own for tensors (`aten`) and the language's
(`prim`) are taken. Python code and pickled objects are never run; files that are pickles are refused.

This guards against files and foreign operators, and not against faults in PyTorch's reader or operators, nor against
long runs or much memory: what remains is trust as in any program. Take such files from people you know.
"""

import hashlib
import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.foundation.precision import full_float32

Images = NDArray[np.uint8]
Run = Callable[[Tensor], Tensor]
"""Pixels float32 (n, 3, size, size) -> what the file gives for them, (n, ...)."""

_IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))
_RECORD = re.compile(
    r"code/[\w/]+\.py|(data|constants)\.pkl|(data|constants)/\d+|(\.data/)?version|byteorder", re.ASCII
)
"""What of a TorchScript archive is handed to PyTorch."""
_LEFT_OUT = re.compile(r"code/[\w/]+\.py\.debug_pkl|\.data/\w+|\.\w+|extra/.*|traced_inputs(\.pkl|/\d+)", re.ASCII)
"""What such an archive may hold besides, and features do not need."""
_BARRED_TEXT = re.compile(
    rb"\b(?:from_file|save|manual_seed|__setstate__|torch\.classes)\b"
    rb"|(?<![\w.])ops\b(?!\.(?:aten|prim)\.|\s*:)(?:\.\w+)*"  # `ops :` declares a module's attribute of that name
    # A name in quotes may be spelled in many ways: only the plain one is taken.
    rb"|\bgetattr\b(?!\((?:[\w.]+|getattr\([\w.]+, \"\w+\"\)[\w.]*), \"\w+\"\))"
)
_PICKLED = re.compile(
    r"__torch__\.(?!torch\.classes\b)[\w.]+|torch\.jit\._pickle\.\w+|torch\._utils\._rebuild_\w+|torch\.\w+Storage"
    r"|torch\.device|collections\.OrderedDict"
)
_OPERATORS = re.compile(
    r"aten::(?!(?:from_file|save|manual_seed)$)\w+|prim::(?:Constant|ConstantChunk|CreateObject|DictConstruct|EnumName"
    r"|EnumValue|GetAttr|If|ListConstruct|ListUnpack|Loop|NumToTensor|RaiseException|SetAttr|StringIndex|TupleConstruct"
    r"|TupleIndex|TupleSlice|TupleUnpack|Uninitialized|abs|data|device|dtype|index|is_\w+|isinstance|itemsize|layout|max"
    r"|min|nbytes|rangelist|requires_grad|tolist|type|unchecked_cast|unchecked_unwrap_optional)"
)
"""Calls are not among them: those that are left after inlining are of interfaces and of other libraries' classes."""
_EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


class FeatureFileError(ValueError):
    """The file gives no features; the message says which, why, and what to do."""


class FeatureFile:
    """Features (n, d) of images, as a user's file gives them."""

    def __init__(self, settings: FeatureFileSettings, device: str = "cpu") -> None:
        """Reads the file, and tries it on three images of noise.

        The digest is of the file, of the files that an ONNX one keeps its weights in, and of the settings that change
        features: all but name and batch size.

        Args:
            settings: With a path.
            device: Where it runs. ONNX on "cuda" needs onnxruntime-gpu, and runs on the CPU without.

        Raises:
            FeatureFileError: The file is not there or of neither format, onnxruntime is missing, or what it takes or
                gives is not what the settings say.
        """
        self.settings = settings
        self.name = settings.name
        self.path = Path(settings.path or "").expanduser()
        if not self.path.is_file():
            raise FeatureFileError(f"evaluate.features.path: there is no file {self.path}; name one, or leave it empty")
        content = self.path.read_bytes()
        digest = hashlib.sha256(content)
        digest.update(settings.model_dump_json(exclude={"path", "name", "batch_size"}).encode())
        if content[:2] == b"PK":
            self.run = _torch_script(self.path, content, settings, device)
        elif content[:1] == b"\x08":  # the field every ONNX file begins with, its version
            for part in _external_files(self.path, content):
                digest.update(part.read_bytes())
            self.run = _onnx(self.path, settings, device)
        else:
            raise _neither(self.path, "it begins like no such file")
        self.digest = digest.hexdigest()[:16]
        self._try()

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Features (n, d) of uint8 images (n, height, width, 3).

        Images are resized in floats and scaled. Maps (n, channels, height, width) are averaged over all places;
        where a file takes images with their channels last, so are those of its maps. Other shapes are refused.

        Raises:
            FeatureFileError: Running it fails, or its output has another shape, or numbers that are not finite.
        """
        size = self.settings.batch_size
        parts = [self._features(images[start : start + size]) for start in range(0, len(images), size)]
        return np.concatenate(parts)

    def _features(self, images: Images) -> NDArray[np.float32]:
        pixels = prepare(images, self.settings)
        try:
            with torch.inference_mode(), full_float32():
                found = self.run(pixels)
        except FeatureFileError:
            raise
        except Exception as error:  # neither runtime's errors have a common class
            raise FeatureFileError(
                f"{self.path} fails on float32 pixels of shape {tuple(pixels.shape)}: {_reason(error)}. Set "
                "evaluate.features.size to the size that it takes, or export it for any batch of float32 images"
            ) from error
        if not found.is_floating_point():
            raise FeatureFileError(
                f"{self.path}: its output is {found.dtype}, where floats are needed; name another with "
                "evaluate.features.output"
            )
        found = found.float()
        if found.dim() == 4:
            found = found.mean(dim=(2, 3))
        if found.dim() != 2 or len(found) != len(images):
            raise FeatureFileError(
                f"{self.path}: its output has the shape {tuple(found.shape)} for {len(images)} images, where (n, "
                "features) or (n, channels, height, width) is needed; name another with evaluate.features.output, or "
                "export it with such an output"
            )
        if not found.isfinite().all():
            raise FeatureFileError(
                f"{self.path}: features are not finite; is evaluate.features.scaling ({self.settings.scaling}) what "
                "it was trained with?"
            )
        return found.numpy()

    def _try(self) -> None:
        """One batch, and its images one by one: the file must neither mix images nor draw at random."""
        images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
        together = self._features(images)
        alone = np.concatenate([self._features(images[i : i + 1]) for i in range(3)])
        if not np.allclose(together, alone, rtol=1e-2, atol=1e-2 * float(np.abs(together).max())):
            raise FeatureFileError(
                f"{self.path}: the features of an image depend on the images beside it, or on chance; export it in "
                "evaluation mode (model.eval())"
            )


def prepare(images: Images, settings: FeatureFileSettings) -> Tensor:
    """Uint8 images (n, height, width, 3) to float32 pixels (n, 3, size, size), scaled as the settings say.

    Resizing is antialiased, in floats; what a bicubic filter overshoots is clipped, nothing is rounded.
    """
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().contiguous()
    if pixels.shape[2:] != (settings.size, settings.size):
        size = (settings.size, settings.size)
        pixels = F.interpolate(pixels, size=size, mode=settings.resize, antialias=True, align_corners=False)
        pixels = pixels.clamp_(0, 255)
    if settings.scaling == "bytes":
        return pixels
    if settings.scaling == "signed":
        return pixels / 127.5 - 1
    if settings.scaling == "unit":
        return pixels / 255
    mean, deviation = (values[:, None, None] for values in _IMAGENET)
    return (pixels / 255 - mean) / deviation


def _torch_script(path: Path, content: bytes, settings: FeatureFileSettings, device: str) -> Run:
    """A TorchScript file's program."""
    records = _records(path, content)
    _check_text(path, records)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it will go some day; people's files are still of it
            module: Any = torch.jit.load(_archive(records), map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _neither(path, _reason(error)) from error
    _check_operators(path, module)
    module.eval()

    def run(pixels: Tensor) -> Tensor:
        # Optimised, it would compile anew for the size of the last batch.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            found = _choose(module(pixels.to(device)), settings.output, path)
        return found.cpu()

    return run


def _records(path: Path, content: bytes) -> dict[str, bytes]:
    """What PyTorch needs of a TorchScript archive: name, without the archive's own -> content.

    PyTorch finds records whatever their case. So names are matched exactly here, and none may be there twice.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            full = archive.namelist()
            names = {name: name.partition("/")[2] for name in full}
            records = {short: archive.read(name) for name, short in names.items() if _RECORD.fullmatch(short)}
    except Exception as error:  # zipfile's errors have no common class
        raise _neither(path, f"its archive is damaged: {error}") from error
    if "constants.pkl" not in records or not any(name.endswith(".py") for name in records):
        raise _neither(path, "it is an archive without TorchScript code, such as torch.save makes of weights")
    odd = [name for name, short in names.items() if short not in records and not _LEFT_OUT.fullmatch(short)]
    if odd or len({name.partition("/")[0] for name in full}) > 1:
        raise _refused(
            path, f"its archive holds {odd[0] if odd else 'several folders'}, as torch.jit.save never writes"
        )
    if len({name.lower() for name in full}) < len(full):
        raise _refused(path, "its archive holds a name twice, but for upper and lower case")
    return records


def _archive(records: dict[str, bytes]) -> io.BytesIO:
    """A new archive of what was checked, so that two readers of a crafted one cannot see different things."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    made.seek(0)
    return made


def _check_text(path: Path, records: dict[str, bytes]) -> None:
    """Before loading, which runs code: `__setstate__`, default values, and making objects of libraries' classes.

    These last are in `torch.classes`.
    """
    for name, content in records.items():
        if name.endswith(".py") and (found := _BARRED_TEXT.search(content)):
            named = found[0].decode(errors="replace")
            raise _refused(path, f"its code names `{named}`, which could touch files, or run while it is loaded")
        if name.endswith(".pkl"):
            try:
                codes = [(code.name, str(value)) for code, value, _ in pickletools.genops(content)]
            except Exception as error:  # of any class, where a pickle is damaged
                raise _neither(path, f"its {name} is damaged: {error}") from error
            for code, value in codes:
                known = code != "GLOBAL" or _PICKLED.fullmatch(value.replace(" ", "."))
                if not known or code in ("INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                    raise _refused(path, f"its {name} holds an object {value}, where tensors and modules are usual")


def _check_operators(path: Path, module: Any) -> None:
    """After loading and before any run: what all methods and hooks of a module and of those inside would run."""
    for part in module.modules():
        inner = part._c
        runs = [inner._get_method(name) for name in inner._method_names()]
        for run in [*runs, *inner._get_forward_hooks(), *inner._get_forward_pre_hooks()]:
            for kind in _kinds(run.inlined_graph):
                if not _OPERATORS.fullmatch(kind):
                    raise _refused(path, f"it runs `{kind}`, which is not among the operators known to touch no files")


def _kinds(block: Any) -> Iterator[str]:
    """Operators of a graph or block, and of the blocks inside."""
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


def _choose(found: Any, output: str | None, path: Path) -> Tensor:
    """One tensor of what a TorchScript module returns."""
    if isinstance(found, Tensor):
        choices = {"0": found}
    elif isinstance(found, dict):
        choices = {str(key): value for key, value in found.items()}
    else:
        choices = {str(index): value for index, value in enumerate(found if isinstance(found, tuple | list) else ())}
    choices = {key: value for key, value in choices.items() if isinstance(value, Tensor)}
    return choices[_known(output, list(choices), path)]


def _known(output: str | None, choices: list[str], path: Path) -> str:
    """The output that was asked for, or the first."""
    if not choices:
        raise FeatureFileError(f"{path} gives no tensor; export it with an output (n, features)")
    if output is not None and output not in choices:
        raise FeatureFileError(
            f"evaluate.features.output: {path} has no output {output}, only {', '.join(choices)}; name one of these"
        )
    return output or choices[0]


def _onnx(path: Path, settings: FeatureFileSettings, device: str) -> Run:
    """An ONNX file's program."""
    try:
        import onnxruntime
    except ImportError as error:
        raise FeatureFileError(
            f"{path} is an ONNX file, which needs onnxruntime: pip install onnxruntime (or this project's extra, onnx)"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [*(set(wanted) & set(onnxruntime.get_available_providers())), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise _neither(path, _reason(error)) from error
    output = _known(settings.output, [node.name for node in session.get_outputs()], path)
    if len(session.get_inputs()) != 1:
        names = ", ".join(node.name for node in session.get_inputs())
        raise FeatureFileError(f"{path} takes {names}, where one input, images, is needed; export it so")
    node = session.get_inputs()[0]
    last = _channels_last(path, node.type, node.shape, settings)
    numbers = np.float16 if node.type == "tensor(float16)" else np.float32
    fixed = node.shape[0] if isinstance(node.shape[0], int) else None

    def run(pixels: Tensor) -> Tensor:
        values = (pixels.permute(0, 2, 3, 1) if last else pixels).contiguous().numpy().astype(numbers)
        if not fixed:
            return _as_tensor(session.run([output], {node.name: values})[0], last)
        parts = []
        for start in range(0, len(values), fixed):
            batch = values[start : start + fixed]
            filled = np.concatenate([batch, np.zeros((fixed - len(batch), *batch.shape[1:]), numbers)])
            parts.append(_as_tensor(session.run([output], {node.name: filled})[0], last)[: len(batch)])
        return torch.cat(parts)

    return run


def _channels_last(path: Path, kind: str, shape: list[Any], settings: FeatureFileSettings) -> bool:
    """Whether an ONNX file takes (n, size, size, 3), as TensorFlow does, and not (n, 3, size, size)."""
    if kind not in ("tensor(float)", "tensor(float16)"):
        raise FeatureFileError(f"{path} takes {kind}, where tensor(float) or tensor(float16) is needed; export it so")
    if len(shape) != 4 or (3 not in (shape[1], shape[3]) and all(isinstance(shape[axis], int) for axis in (1, 3))):
        raise FeatureFileError(f"{path} takes {shape}, where (n, 3, size, size) is needed; export it so")
    last = bool(shape[1] != 3 and shape[3] == 3)
    sides = shape[1:3] if last else shape[2:]
    if any(isinstance(side, int) and side != settings.size for side in sides):
        raise FeatureFileError(
            f"{path} takes images of {sides[0]}x{sides[1]} pixels, evaluate.features.size is {settings.size}: set it so"
        )
    return last


def _as_tensor(values: NDArray[Any], channels_last: bool) -> Tensor:
    """What onnxruntime gives; maps as (n, channels, height, width)."""
    found = torch.from_numpy(values)
    return found.permute(0, 3, 1, 2) if channels_last and found.dim() == 4 else found


def _external_files(path: Path, content: bytes) -> list[Path]:
    """Files that an ONNX file keeps its weights in: they are named in it, beside the word `location`."""
    found = (content[match.end() : match.end() + match[1][0]] for match in _EXTERNAL.finditer(content))
    paths = (path.parent / name.decode(errors="replace") for name in sorted(set(found)))
    return [part for part in paths if part.is_file()]


def _refused(path: Path, reason: str) -> FeatureFileError:
    return FeatureFileError(
        f"{path} is refused: {reason}; features need no such thing. Write it anew with torch.jit.save, of a module "
        "that only computes, or with torch.onnx.export"
    )


def _neither(path: Path, reason: str) -> FeatureFileError:
    return FeatureFileError(
        f"{path} is neither an ONNX nor a TorchScript file that can be run here ({reason}). Write one with "
        "torch.onnx.export or torch.jit.save; pickles and bare weights are not taken"
    )


def _reason(error: Exception) -> str:
    """The line of an error that says most: TorchScript's is the last one, behind a traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "Traceback" in str(error) else 0].strip()
