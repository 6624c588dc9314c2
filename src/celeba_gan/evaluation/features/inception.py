"""Inception-V3 features, as in published Fréchet distances, if its weights are available.

The network and its weights are torch-fidelity's, converted from the original TensorFlow graph. Images are resized to
299 pixels as in clean-fid (Parmar et al. 2022): bicubic with antialiasing, which resizing inside the graph lacks.
"""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from celeba_gan.foundation.paths import normalised, start_of
from celeba_gan.foundation.pixels import Images
from celeba_gan.foundation.precision import full_float32

logger = logging.getLogger(__name__)

NAME = "weights-inception-2015-12-05-6726825d.pth"
SIDE = 299
_BATCH = 32


class InceptionError(ValueError):
    """The weights are not those of Inception-V3; the message says which file and what to do."""


def find_weights(requested: str | None) -> Path | None:
    """The file of the weights; None if none is requested and torch-fidelity has downloaded none.

    Raises:
        InceptionError: The requested file does not exist.
    """
    path = Path(requested).expanduser() if requested else _downloads() / NAME
    if path.is_file():
        return path
    if requested:
        raise InceptionError(
            f"evaluate.inception_weights: there is no file {normalised(path)}.{start_of(path)} Set it to none, or get "
            f"{NAME}"
        )
    return None


def say_skipped() -> None:
    """Logs that nothing is measured in features of Inception, and how to have it."""
    logger.info(
        "Skipping Inception features: their weights are not on this machine. To use them, put %s from "
        "github.com/toshas/torch-fidelity/releases into %s, or set evaluate.inception_weights",
        NAME,
        _downloads(),
    )


def _downloads() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


class InceptionFeatures:
    """The 2,048 features before the last layer, and from them the probabilities of its classes."""

    name = "inception"

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        """Reads the weights as tensors only, so that an untrusted file runs no code.

        Raises:
            InceptionError: They are not torch-fidelity's Inception-V3.
        """
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.device = device
        content = weights.read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()[:16]
        clean = io.BytesIO()  # torch-fidelity itself would unpickle anything
        try:
            torch.save(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), clean)
            clean.seek(0)
            self.network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], clean).to(device)
        except Exception as error:  # torch's own errors have no common class
            raise InceptionError(
                f"{weights} does not contain the weights of Inception-V3 ({str(error).splitlines()[0]}). Delete it, or "
                f"get {NAME} again from github.com/toshas/torch-fidelity/releases"
            ) from error

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Features (n, 2048) of uint8 images (n, height, width, 3)."""
        return self.describe(images)[0]

    def describe(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (n, 2048) and probabilities (n, 1008) of uint8 images (n, height, width, 3).

        The probabilities are those of the inception score: from logits without their bias, as in the original code.
        """
        features, probabilities = [], []
        with torch.inference_mode(), full_float32():
            for start in range(0, len(images), _BATCH):
                pixels = torch.from_numpy(np.array(images[start : start + _BATCH])).to(self.device)
                found, logits = self.network(resize(pixels))
                features.append(found.cpu())
                probabilities.append(logits.double().softmax(dim=1).float().cpu())
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


def resize(pixels: torch.Tensor) -> torch.Tensor:
    """Uint8 images (n, height, width, 3) to uint8 (n, 3, 299, 299)."""
    floats = pixels.permute(0, 3, 1, 2).float()
    resized = F.interpolate(floats, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
