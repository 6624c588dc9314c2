"""Directions and projections as nodes: with a classifier and without, and photographs cropped as the images were."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.evaluate import EvaluationError
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.classifier import AttributeClassifier
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.models import Experiments
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.packed import PackedImages, Recipe, hash_texts
from celeba_gan.images.photographs import PhotographError
from celeba_gan.pipelines.evaluate.nodes import evaluate_generator, fit_attribute_classifier
from celeba_gan.pipelines.generate.control_nodes import find_directions, project_photographs
from celeba_gan.pipelines.train.nodes import train_gan
from celeba_gan.reporting.grids import ImageGrid

pytestmark = pytest.mark.slow

SPLITS = {"train": (0, 80), "valid": (80, 100), "test": (100, 120)}
NOTHING = ImageGrid.nothing(0)
RECIPE = Recipe(crop=20, size=16, filter="box", background="#ffffff", decoder=2, pillow="12")


COLOURS = np.random.default_rng(0).integers(20, 236, (120, 3))
NOISE = np.random.default_rng(1).integers(-10, 10, (120, 16, 16, 3))


class Images:
    """Plain colours with a little noise; those with a hat are redder than most."""

    size, digest = 16, "noise"
    manifest = SimpleNamespace(count=120, images_digest=hash_texts(["x"] * 120, ["train"] * 120), splits=SPLITS)

    def split(self, name: str) -> tuple[int, int]:
        return SPLITS[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (COLOURS[:, None, None] + NOISE).astype(np.uint8)[indices]


class Packed(PackedImages):
    """Packed images of which the recipe is known."""

    manifest = SimpleNamespace(recipe=RECIPE)  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    hat = (COLOURS[:, 0] > 128).astype(int)
    return pd.DataFrame({"image_id": "x", "split": "train", "Hat": hat, "class": hat})


@pytest.fixture(scope="module")
def classifier(labels: pd.DataFrame) -> Checkpoint[ClassifierCard]:
    images: Any = Images()
    return fit_attribute_classifier(
        images, labels, EvaluateSettings.model_validate({"classifier": {"epochs": 3}}), None
    )


@pytest.fixture(scope="module")
def run(labels: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training long enough that samples differ in colour."""
    values = {
        "kimg": 8,
        "tick_kimg": 8,
        "batch_size": 8,
        "n_critic": 1,
        "network": {"dcgan": {"width": 8}},
        "latent": {"size": 8},
        "precision": "float32",
        "threads": 1,
        "evaluate_every_kimg": None,
    }
    images: Any = Images()
    folder = tmp_path_factory.mktemp("models")
    classes = pd.DataFrame({"class": [0, 1], "name": ["not Hat", "Hat"]})
    run = Run(folder / "demo")
    for outputs in train_gan(images, labels, classes, TrainSettings.model_validate(values), None, Experiments(folder)):
        run.append(outputs[2])
    return run


def settings(**changes: Any) -> GenerateSettings:
    few = {"samples": 256, "effect_samples": 32, "closed_form": 2, "columns": 3, "least_share": 0.001}
    quick = {"steps": 2, "candidates": 16, "restarts": 2}
    return GenerateSettings.model_validate({"directions": few, "projection": quick, **changes})


@pytest.mark.slow
def test_directions_with_a_classifier(run: Run, classifier: Checkpoint[ClassifierCard]) -> None:
    found, grid = find_directions(run, classifier, settings())
    assert [one.name for one in found.directions] == ["Hat", "closed_form_1", "closed_form_2"]
    hat = found.named("Hat")
    assert hat.prediction is not None
    assert hat.prediction.auc > 0.8
    assert hat.effects["Hat"].forward > 0 > hat.effects["Hat"].backward
    assert classifier.card.report is not None
    assert hat.classifier_auc == classifier.card.report.attributes["Hat"].auc
    assert found.classifier_digest == AttributeClassifier(["Hat"], classifier.tensors).digest
    assert (found.images, grid.images) == (8000, 8000)
    assert not grid.is_empty


def test_without_a_classifier_there_are_those_in_closed_form(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, grid = find_directions(run, None, settings())
    assert [one.kind for one in found.directions] == ["closed_form"] * 2
    assert not grid.is_empty
    assert "For directions of attributes make it with kedro run --pipelines evaluate" in caplog.text
    nothing, empty = find_directions(run, None, settings(directions={"closed_form": 0}))
    assert nothing.directions == ()
    assert empty.is_empty


def test_images_without_attributes_and_a_classifier_of_other_images(
    run: Run, classifier: Checkpoint[ClassifierCard], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        without = Checkpoint("classifier", ClassifierCard(attributes=(), made_from={}), {})
        assert find_directions(run, without, settings())[0].of_kind("attribute") == []
        assert "These images have no attributes" in caplog.text
        assert "trained on other images" not in caplog.text
        card = classifier.card.model_copy(update={"made_from": {"data_digest": "others"}})
        assert find_directions(run, replace(classifier, card=card), settings())[0].of_kind("attribute")
        assert "The attribute classifier was trained on other images than the generator" in caplog.text


def photograph(file: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize("with_classifier", [False, True])
def test_photographs_are_cropped_as_the_images_were(
    run: Run, classifier: Checkpoint[ClassifierCard], tmp_path: Path, with_classifier: bool
) -> None:
    files = [photograph(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png"))]
    chosen = settings(project=str(tmp_path))
    found, grid = project_photographs(
        run, classifier if with_classifier else None, Packed(tmp_path), None, NOTHING, chosen
    )
    assert [one.name for one in found.photographs] == [str(file) for file in files]
    assert not grid.is_empty
    assert json.loads(json.dumps(found.to_json()))["steps"] == 2
    from celeba_gan.gan.sampling.trained import TrainedGenerator

    generator = TrainedGenerator(run.networks().generator)
    for one, file in zip(found.photographs, files, strict=True):
        with Image.open(file) as picture:
            cropped = np.asarray(picture.crop((2, 5, 22, 25)).resize((16, 16), Image.Resampling.BOX))
        image = generator.images(torch.tensor([one.latent]))[0]
        off = image.astype(float) - cropped
        assert one.error.rmse == pytest.approx(np.sqrt(np.square(off).mean()))
        assert (one.error.features is not None) == with_classifier


def test_without_photographs_nothing_is_needed_and_nothing_shown(run: Run) -> None:
    found, grid = project_photographs(run, None, None, None, NOTHING, settings())
    assert found.photographs == ()
    assert grid == ImageGrid(8000, grid.pixels)
    assert grid.is_empty


@pytest.mark.parametrize(
    ("change", "kept"), [({}, True), ({"training_id": "another"}, False), ({"images": 4000}, False)]
)
def test_without_photographs_those_of_an_earlier_run_are_kept_if_the_weights_are_the_same(
    change: dict[str, Any], kept: bool, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [str(photograph(tmp_path / "a.png", 0))]
    before, picture = project_photographs(run, None, Packed(tmp_path), None, NOTHING, settings(project=files))
    before = before.model_copy(update=change)
    with caplog.at_level(logging.INFO):
        found, grid = project_photographs(run, None, None, before, picture, settings(seed=5))
    assert (found is before, grid is picture) == (kept, kept)
    assert (found.photographs == (), grid.is_empty) == (not kept, not kept)
    assert ("Keeping" if kept else "Removing") + " the projections of 1 photograph" in caplog.text


def test_photographs_that_cannot_be_projected(run: Run, tmp_path: Path) -> None:
    chosen = settings(project=[str(photograph(tmp_path / "a.png", 0))])
    with pytest.raises(PhotographError, match=r"generate\.project: .* there are none\. Make them with kedro run"):
        project_photographs(run, None, None, None, NOTHING, chosen)

    class Larger(PackedImages):
        manifest = SimpleNamespace(recipe=RECIPE.model_copy(update={"size": 18}))  # type: ignore[assignment]

    with pytest.raises(PhotographError, match=r"the packed images have 18 pixels a side, the generator's 16"):
        project_photographs(run, None, Larger(tmp_path), None, NOTHING, chosen)


def test_an_evaluation_needs_the_classifier(run: Run, labels: pd.DataFrame) -> None:
    images: Any = Images()
    with pytest.raises(EvaluationError, match=r"no attribute classifier of these images\. Make it with kedro run"):
        evaluate_generator(run, None, images, labels, None, None, None, None, EvaluateSettings())  # type: ignore[arg-type]
