"""What the networks are told, and what the samples show, stands in the log."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from celeba_gan.gan.runs.cards import BestTick
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import save_best
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.packed import PackedImagesError, hash_texts
from celeba_gan.pipelines.generate.nodes import draw_sample_grid, generate_samples
from celeba_gan.pipelines.train.nodes import train_gan
from celeba_gan.samples.stored import StoredSamples


class Noise:
    """Forty images, thirty of them for training."""

    size, digest = 16, "noise"
    manifest = SimpleNamespace(count=40, images_digest=hash_texts(["x"] * 40, ["train"] * 40))

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 30), "valid": (30, 35), "test": (35, 40)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)[indices]


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Any:
    def begin(attributes: int, **condition: Any) -> Run:
        """A training after its first tick."""
        settings = TrainSettings.model_validate(
            {
                "kimg": 0.1,
                "tick_kimg": 0.1,
                "batch_size": 4,
                "network": {"dcgan": {"width": 4}},
                "precision": "float32",
                "threads": 1,
                "evaluate_every_kimg": None,
                "condition": condition,
            }
        )
        ones = {f"Attribute_{number}": np.arange(40) >> number % 5 & 1 for number in range(attributes)}
        labels = pd.DataFrame({"image_id": "x", "split": "train", **ones, "class": np.arange(40) % 2})
        classes = pd.DataFrame({"class": [0, 1], "name": ["not Hat", "Hat"]})
        folder = tmp_path_factory.mktemp("models")
        images: Any = Noise()
        run = Run(folder / "demo")
        run.append(next(train_gan(images, labels, classes, settings, None, Experiments(folder)))[2])
        return run

    return begin


def test_labels_of_other_images_are_refused(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed from another source, and killed before the labels were made."""
    monkeypatch.setattr(Noise.manifest, "images_digest", hash_texts(["y"] * 40, ["train"] * 40))
    start(3)  # without labels they do not matter
    with pytest.raises(PackedImagesError, match=r"The labels \(40 rows\) are of other images than the 40 packed ones"):
        start(3, name="attributes")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("Labels")]


def test_training_names_the_labels(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        start(3)
        assert said(caplog) == []
        start(3, name="class")
        start(12, name="attributes")
    by_class, by_attributes = said(caplog)
    assert by_class == "Labels, by the class of each image: not Hat, Hat"
    assert by_attributes.startswith("Labels, by the attributes of each image: Attribute_0, Attribute_1, ")
    assert by_attributes.endswith("Attribute_9, 2 more")


def test_samples_say_their_labels(start: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    nothing = StoredSamples(tmp_path / "samples")
    told, plain = start(3, name="attributes"), start(3)
    with caplog.at_level(logging.INFO, "celeba_gan.pipelines.generate"):
        caplog.clear()
        list(generate_samples(plain, GenerateSettings(count=2), nothing))
        assert said(caplog) == []
        list(generate_samples(told, GenerateSettings(count=2), nothing))
        list(generate_samples(told, GenerateSettings(count=2, labels=["Attribute_0", "Attribute_2"]), nothing))
    assert said(caplog) == [
        "Labels of the samples: as often as training images have them",
        "Labels of the samples: all Attribute_0 + Attribute_2",
    ]


def test_the_best_generator_samples_where_requested(start: Any, tmp_path: Path) -> None:
    nothing = StoredSamples(tmp_path / "samples")
    run = start(0)

    def sample(which: str) -> NDArray[np.uint8]:
        settings = GenerateSettings.model_validate({"count": 2, "checkpoint": which})
        grid = draw_sample_grid(run, settings)
        (batch,) = generate_samples(run, settings, nothing)
        return np.concatenate([batch.images.ravel(), grid.pixels.ravel()])

    last = sample("last")
    assert (last == sample("best")).all()  # none was measured

    newest = run.newest()
    best = BestTick(metric="swd_absolute_valid", evaluate_images=2, value=1.0, images=8)
    earlier = replace(
        newest,
        card=newest.card.model_copy(update={"images": 8, "best": best}),
        tensors={name: 2 * tensor for name, tensor in newest.tensors.items()},
    )
    save_best(earlier, run.snapshots / "best-000000000008.safetensors")
    run.append(replace(newest, card=newest.card.model_copy(update={"images": 16, "best": best})))
    assert (sample("last") == last).mean() > 0.9  # the grid's caption has another count
    assert (sample("best") != last).mean() > 0.1
    assert len(sample("best")) == len(last)
