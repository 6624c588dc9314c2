"""The attribute classifier is trained once for images and their attributes, and anew when either changes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.images.packed import PackedImagesError, hash_texts
from celeba_gan.pipelines.evaluate.nodes import fit_attribute_classifier

Classifier = Checkpoint[ClassifierCard]
SETTINGS = EvaluateSettings.model_validate({"classifier": {"epochs": 1}})


class Noise:
    """A hundred images, seventy of them for training."""

    size, digest = 16, "noise"
    manifest = SimpleNamespace(
        count=100,
        images_digest=hash_texts(["x"] * 100, ["train"] * 100),
        splits={"train": (0, 70), "valid": (70, 90), "test": (90, 100)},
    )

    def split(self, name: str) -> tuple[int, int]:
        return self.manifest.splits[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), dtype=np.uint8)[indices]


def fit(labels: pd.DataFrame, before: Classifier | None = None) -> Classifier:
    images: Any = Noise()
    return fit_attribute_classifier(images, labels, SETTINGS, before)


@pytest.fixture
def labels() -> pd.DataFrame:
    return pd.DataFrame({"image_id": "x", "split": "train", "Hat": np.arange(100) % 2, "class": 0})


def test_it_stands_for_the_same_data_and_is_trained_anew_for_other_attributes(labels: pd.DataFrame) -> None:
    threads = torch.get_num_threads()
    try:
        first = fit(labels)
        assert first.card.attributes == ("Hat",)
        assert fit(labels, first) is first
        corrected = labels.assign(Hat=1 - labels["Hat"])
        assert fit(corrected, first) is not first
    finally:
        torch.set_num_threads(threads)


def test_labels_of_other_images_are_refused(labels: pd.DataFrame) -> None:
    with pytest.raises(PackedImagesError, match="are of other images"):
        fit(labels.assign(image_id="y"))


def test_images_without_attributes_have_none(labels: pd.DataFrame) -> None:
    assert fit(labels.drop(columns="Hat")).card.attributes == ()
