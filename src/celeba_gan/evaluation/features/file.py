"""Features from an ONNX file of the user's own, named in `evaluate.features`.

An ONNX file holds tensor operations only: running it executes no Python code and opens no files but its own weights.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.foundation.paths import normalised, start_of
from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.precision import full_float32
from celeba_gan.foundation.wording import install_command

Run = Callable[[Tensor], Tensor]
"""Pixels float32 (n, 3, size, size) -> what the file gives for them, (n, ...)."""

_MEAN, _DEVIATION = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]  # of ImageNet
_EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


class FeatureFileError(ValueError):
    """The file gives no features; the message says which, why, and what to do."""


class FeatureFile:
    """Features (n, d) of images by a user's ONNX file."""

    def __init__(self, settings: FeatureFileSettings, device: str = "cpu") -> None:
        """Reads the file, and tries it on three images of noise.

        The digest covers the file, the files that it keeps weights in, and the settings that change features: all but
        name and batch size. The device "cuda" needs onnxruntime-gpu, and falls back to the CPU without it.

        Raises:
            FeatureFileError: The file does not exist or is no ONNX file, onnxruntime is missing, or its input or output
                differs from the settings.
        """
        self.settings = settings
        self.name = settings.name
        self.path = Path(settings.path or "").expanduser()
        if not self.path.is_file():
            raise FeatureFileError(
                f"evaluate.features.path: there is no file {normalised(self.path)}.{start_of(self.path)} Set it to an "
                "ONNX file, or to none"
            )
        content = self.path.read_bytes()
        digest = hashlib.sha256(content)
        digest.update(settings.model_dump_json(exclude={"path", "name", "batch_size"}).encode())
        if content[:1] != b"\x08":  # every ONNX file begins with this field, its version
            raise _not_onnx(self.path, "pickles, TorchScript and bare weights are not supported")
        for part in _external_files(self.path, content):
            digest.update(part.read_bytes())
        self.run = _onnx(self.path, settings, device)
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
        except Exception as error:  # onnxruntime's errors have no common class
            raise FeatureFileError(
                f"{self.path} fails on float32 pixels of shape {tuple(pixels.shape)}: {_reason(error)}. Set "
                "evaluate.features.size to the size that it takes, or export it for any batch of float32 images"
            ) from error
        if not found.is_floating_point():
            raise FeatureFileError(
                f"{self.path}: its output is {found.dtype}, not floats. Choose another with evaluate.features.output"
            )
        found = found.float()
        if found.dim() == 4:
            found = found.mean(dim=(2, 3))
        if found.dim() != 2 or len(found) != len(images):
            raise FeatureFileError(
                f"{self.path}: its output has the shape {tuple(found.shape)} for {len(images)} images, not (n, "
                "features) or (n, channels, height, width). Choose another with evaluate.features.output"
            )
        if not found.isfinite().all():
            raise FeatureFileError(
                f"{self.path}: features are not finite. Check that evaluate.features.scaling "
                f"({self.settings.scaling}) is what it was trained with"
            )
        return found.numpy()

    def _try(self) -> None:
        """One batch, and its images one by one: the network must neither mix images nor draw at random."""
        images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
        together = self._features(images)
        alone = np.concatenate([self._features(images[i : i + 1]) for i in range(3)])
        if not np.allclose(together, alone, rtol=1e-2, atol=1e-2 * float(np.abs(together).max())):
            raise FeatureFileError(
                f"{self.path}: the features of an image depend on the other images of the batch, or are random. "
                "Export it in evaluation mode (model.eval())"
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
    return pixels / 255 if settings.scaling == "unit" else (pixels / 255 - _MEAN) / _DEVIATION


def _onnx(path: Path, settings: FeatureFileSettings, device: str) -> Run:
    """An ONNX file's program."""
    try:
        import onnxruntime
    except ImportError as error:
        raise FeatureFileError(
            f"{path} is an ONNX file, which needs onnxruntime. Install it: {install_command('onnx')}"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [*(set(wanted) & set(onnxruntime.get_available_providers())), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise _not_onnx(path, _reason(error)) from error
    outputs = [node.name for node in session.get_outputs()]
    if (output := settings.output or outputs[0]) not in outputs:
        raise FeatureFileError(f"evaluate.features.output: {path} has no output {output}, only {', '.join(outputs)}")
    if len(session.get_inputs()) != 1:
        names = ", ".join(node.name for node in session.get_inputs())
        raise FeatureFileError(f"{path} takes {names}. Export it with one input, images")
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
        raise FeatureFileError(f"{path} takes {kind}. Export it for tensor(float) or tensor(float16)")
    if len(shape) != 4 or (3 not in (shape[1], shape[3]) and all(isinstance(shape[axis], int) for axis in (1, 3))):
        raise FeatureFileError(f"{path} takes {shape}. Export it for (n, 3, size, size)")
    last = bool(shape[1] != 3 and shape[3] == 3)
    sides = shape[1:3] if last else shape[2:]
    if any(isinstance(side, int) and side != settings.size for side in sides):
        raise FeatureFileError(
            f"{path} takes images of {sides[0]}x{sides[1]} pixels, but evaluate.features.size is {settings.size}. Set "
            "it to that size"
        )
    return last


def _as_tensor(values: NDArray[Any], channels_last: bool) -> Tensor:
    """What onnxruntime gives; maps as (n, channels, height, width)."""
    found = torch.from_numpy(values)
    return found.permute(0, 3, 1, 2) if channels_last and found.dim() == 4 else found


def _external_files(path: Path, content: bytes) -> list[Path]:
    """Files that an ONNX file keeps its weights in: their names follow the key `location`."""
    found = (content[match.end() : match.end() + match[1][0]] for match in _EXTERNAL.finditer(content))
    paths = (path.parent / name.decode(errors="replace") for name in sorted(set(found)))
    return [part for part in paths if part.is_file()]


def _not_onnx(path: Path, reason: str) -> FeatureFileError:
    return FeatureFileError(f"{path} is not a valid ONNX file ({reason}). Export the network with torch.onnx.export")


def _reason(error: Exception) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
