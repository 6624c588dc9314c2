"""The images that a generator was trained on: which of them are nearest to a face, and how photographs are framed."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.classifier import AttributeClassifier
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.evaluation.image_sets import Extractor, Reals, RealSet
from celeba_gan.evaluation.metrics.manifolds import nearest
from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.pixels import Images, from_uint8
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.images.packed import MANIFEST_FILE, PackedImages, PackedImagesError, Recipe

logger = logging.getLogger(__name__)

_PACKED: Final = "data/05_model_input"
_FEATURES: Final = "data/04_feature"
_CLASSIFIERS: Final = "data/06_models/datasets"
_SIDE: Final = 16  # of images that are compared in pixels


@dataclass(frozen=True)
class Neighbour:
    """A training image near a face."""

    image: Images
    """uint8 (size, size, 3), mirrored if that is nearer."""
    distance: float
    is_mirrored: bool


class SmallPixels:
    """Images as their pixels at 16x16, for images without a classifier."""

    name = "pixels"
    digest = f"box {_SIDE}"

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Images uint8 (n, size, size, 3) to (n, 768): their distance is the root mean square of grey levels."""
        small = F.adaptive_avg_pool2d((from_uint8(np.array(images)) + 1) * 127.5, _SIDE).flatten(1)
        result: NDArray[np.float32] = (small / small.shape[1] ** 0.5).contiguous().numpy()
        return result


@dataclass(frozen=True)
class TrainingImages:
    """The packed images of a training, and the network in whose features they are compared.

    Attributes:
        dataset: Its name.
        packed: The images.
        size: Side of the generator's images, in pixels; of larger packed images the centre counts.
        classifier: Trained on them by evaluate; None: pixels are compared.
        store: Where features are cached.
    """

    dataset: str
    packed: PackedImages
    size: int
    classifier: AttributeClassifier | None
    store: FeatureStore

    @property
    def recipe(self) -> Recipe:
        """How photographs became these images."""
        return self.packed.manifest.recipe

    @property
    def compared_in(self) -> str:
        """For people."""
        return "pixels" if self.classifier is None else "the attribute classifier's features"

    @cached_property
    def searched(self) -> RealSet:
        """Those that are searched: as evaluation chooses them by default, so that their features are cached already."""
        settings, manifest = EvaluateSettings(), self.packed.manifest
        start, stop = manifest.splits["train"]
        order = np.random.default_rng(settings.seed).permutation(stop - start)
        centre = None if self.packed.size == self.size else self.size
        reals = Reals(
            self.packed.gather,
            lambda indices: np.zeros((len(indices), 0), np.float32),
            manifest.splits,
            self.packed.size,
            self.packed.digest,
            centre=centre,
        )
        return RealSet(reals, start + order[: settings.train_images], self.store)

    def nearest(self, image: Images, count: int = 7) -> list[Neighbour]:
        """The `count` training images nearest to an image, uint8 (size, size, 3), or to its mirror image.

        Each is there once, mirrored if that is nearer; nearest first.
        """
        extractor: Extractor = self.classifier or SmallPixels()
        query = extractor(image[None])
        found: dict[int, Neighbour] = {}
        for images in (self.searched, self.searched.mirrored()):
            most = min(count, len(images.indices))
            distances, rows = nearest(query, images.describe(extractor).features, most)
            looks = images.look(images.indices[rows[0]])
            for row, look, distance in zip(rows[0].tolist(), looks, distances[0].tolist(), strict=True):
                if row not in found or distance < found[row].distance:
                    found[row] = Neighbour(look, distance, images.is_mirrored)
        return sorted(found.values(), key=lambda one: one.distance)[:count]

    def centre(self, photographs: Images) -> Images:
        """What the generator's images show of framed photographs (n, side, side, 3): the centre of random crops."""
        first = (photographs.shape[1] - self.size) // 2
        return photographs[:, first : first + self.size, first : first + self.size]


def find_training_images(project: Path, generator: TrainedGenerator) -> TrainingImages | None:
    """The packed images of a project that a generator was trained on; None if it has none of their content."""
    card = generator.card
    for manifest in sorted((project / _PACKED).glob(f"*/images/{MANIFEST_FILE}")):
        try:
            if parse_json(manifest.read_bytes()).get("digest") != card.data_digest:  # validation takes seconds
                continue
            packed = PackedImages(manifest.parent)
            packed.check()
        except (OSError, ValueError, AttributeError, PackedImagesError) as error:
            logger.warning("Ignoring %s: %s", manifest.parent, error)
            continue
        if packed.size < card.size or (packed.size != card.size and card.random_crop is None):
            logger.warning("Ignoring %s: its images have another size than the generator's", manifest.parent)
            continue
        dataset = manifest.parent.parent.name
        file = project / _CLASSIFIERS / dataset / "attribute_classifier.safetensors"
        store = FeatureStore(project / _FEATURES / dataset / "features")
        return TrainingImages(dataset, packed, card.size, _read_classifier(file, card.data_digest, generator), store)
    return None


def _read_classifier(file: Path, data_digest: str, generator: TrainedGenerator) -> AttributeClassifier | None:
    """Reads the attribute classifier; None if it is missing, damaged, or was trained on other images."""
    if not file.is_file():
        return None
    try:
        checkpoint = Checkpoint.load(file, "classifier", ClassifierCard)
    except (CheckpointError, OSError) as error:
        logger.warning("Ignoring the attribute classifier: %s", error)
        return None
    card = checkpoint.card
    if not card.attributes or card.made_from.get("data_digest") != data_digest:
        return None
    return AttributeClassifier(list(card.attributes), checkpoint.tensors, generator.device)
