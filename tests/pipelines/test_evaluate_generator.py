"""The node binds networks, images, labels and features together; here on tiny ones, of which every part is real."""

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

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.gan.runs.cards import BestTick
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Run, Which, export
from celeba_gan.gan.runs.snapshot import save_best
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.packed import hash_texts
from celeba_gan.pipelines.evaluate.nodes import evaluate_generator, fit_attribute_classifier, report_evaluation
from celeba_gan.pipelines.train.nodes import train_gan

SETTINGS = EvaluateSettings.model_validate(
    {
        "classifier": {"epochs": 1},
        "two_sample_images": 0,
        "bootstrap": 10,
        "swd_projections": 16,
        "swd_patches": 4,
        "ms_ssim_pairs": 8,
    }
)
SPLITS = {"train": (0, 70), "valid": (70, 95), "test": (95, 120)}


class Images:
    """A hundred and twenty noisy ones; those with a hat are bright."""

    size, digest = 16, "noise"
    manifest = SimpleNamespace(
        count=120,
        images_digest=hash_texts(["x"] * 120, ["train"] * 120),
        splits=SPLITS,
        model_dump=lambda mode: {"recipe": {"crop": 178}},
    )

    def split(self, name: str) -> tuple[int, int]:
        return SPLITS[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels = np.random.default_rng(0).integers(0, 156, (120, 16, 16, 3), dtype=np.uint8)
        pixels[1::2] += 100
        return pixels[indices]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    hat = np.arange(120) % 2
    return pd.DataFrame({"image_id": "x", "split": "train", "Hat": hat, "class": hat})


@pytest.fixture(scope="module")
def classifier(labels: pd.DataFrame) -> Checkpoint[ClassifierCard]:
    images: Any = Images()
    return fit_attribute_classifier(images, labels, SETTINGS, None)


@pytest.fixture(scope="module")
def train(labels: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def begin(condition: str, seed: int = 0) -> Run:
        """A training after its first tick."""
        values = {
            "seed": seed,
            "kimg": 0.1,
            "tick_kimg": 0.1,
            "batch_size": 4,
            "network": {"dcgan": {"width": 4}},
            "precision": "float32",
            "threads": 1,
            "evaluate_every_kimg": None,
            "condition": {"name": condition},
        }
        images: Any = Images()
        folder = tmp_path_factory.mktemp("models")
        classes = pd.DataFrame({"class": [0, 1], "name": ["not Hat", "Hat"]})
        settings = TrainSettings.model_validate(values)
        run = Run(folder / "demo")
        run.append(next(train_gan(images, labels, classes, settings, None, Experiments(folder)))[2])
        return run

    return begin


@pytest.fixture
def evaluate(labels: pd.DataFrame, classifier: Checkpoint[ClassifierCard], tmp_path: Path) -> Any:
    def run(training: Run, **changes: Any) -> Any:
        images: Any = Images()
        classes = pd.DataFrame({"class": [0, 1], "name": ["not Hat", "Hat"]})
        given = {"evaluated_model": None, "compared_model": None, "attribute_classifier": classifier, **changes}
        settings = SETTINGS.model_copy(update=given.pop("settings", {}))
        return evaluate_generator(
            training,
            packed_images=images,
            labels=labels,
            classes=classes,
            feature_store=FeatureStore(tmp_path),
            settings=settings,
            **given,
        )

    return run


def named(run: Run, label: str = "other", which: Which = "last") -> NamedModel:
    return NamedModel.at(run.folder, label, which)


def test_numbers_attributes_and_pictures(evaluate: Any, train: Any) -> None:
    found, beside, neighbours = evaluate(train("none"))
    card = found.to_json()
    assert {"age", "age_valid", "swd", "frechet_attributes", "recall_attributes"} <= card["metrics"].keys()
    assert card["attributes"]["reals"].keys() == {"Hat"}
    assert card["attributes"]["asked"] is None
    assert card["attributes"]["classifier"]["Hat"].keys() == {"accuracy", "auc"}
    assert "comparison" not in card
    assert beside.images == neighbours.images == card["protocol"]["images"]
    assert beside.pixels.shape[1] > 2 * 8 * 64
    assert neighbours.pixels.shape[1] > 8 * 64


def test_the_page_is_titled_by_the_experiment_or_else_by_the_named_model(evaluate: Any, train: Any) -> None:
    run = train("none")
    for settings, name in (({}, "demo"), ({"model": "a/b<c"}, "a/b&lt;c")):
        _, page = report_evaluation(*evaluate(run, settings=settings), pd.DataFrame(), run)
        assert f"<title>{name} after " in page


def test_the_page_names_how_the_nearest_training_images_were_found(evaluate: Any, train: Any) -> None:
    run = train("none")
    evaluation, *grids = evaluate(run)
    without = evaluation.model_copy(update={"protocol": evaluation.protocol.model_copy(update={"features": {}})})
    for one, words in ((evaluation, "found by the attribute classifier"), (without, "found by 16x16 pixels")):
        _, page = report_evaluation(one, *grids, pd.DataFrame(), run)
        assert words in page


@pytest.mark.parametrize("kind", ["class", "attributes"])
def test_what_a_conditional_generator_was_asked_for_is_checked(evaluate: Any, train: Any, kind: str) -> None:
    asked = evaluate(train(kind))[0].attributes.requested
    assert asked["Hat"].samples == 25
    assert 0 <= asked["Hat"].accuracy <= 1


def test_a_named_model_is_evaluated_in_place_of_the_experiments_own(evaluate: Any, train: Any) -> None:
    own, other = train("none"), train("none", seed=1)
    found = evaluate(own, evaluated_model=named(other), settings={"model": "other"})[0]
    assert found.protocol.training_id == other.card().id
    assert found.protocol.model == "other"
    assert found.metrics == evaluate(other)[0].metrics
    assert evaluate(own)[0].protocol.training_id == own.card().id


def test_another_model_is_compared_on_the_same_reals(evaluate: Any, train: Any) -> None:
    own, other = train("none"), train("none", seed=1)
    evaluation = evaluate(own, compared_model=named(other))[0]
    comparison = evaluation.comparison
    assert (comparison.model, comparison.against) == ("this model", "other")
    measured = comparison.measured.metrics
    assert measured == evaluate(other)[0].metrics
    assert measured["swd"] != evaluation.metrics["swd"]
    rows = {row.metric: row for row in comparison.rows}
    assert rows["swd"].against == measured["swd"]
    same = evaluate(own, compared_model=named(own, "itself"))[0].comparison
    assert {row.better for row in same.rows} == {"neither"}


def test_the_best_networks_are_measured_where_requested(evaluate: Any, train: Any) -> None:
    run = train("none")
    assert evaluate(run, settings={"checkpoint": "best"})[0] == evaluate(run)[0]  # none was measured
    newest, other = run.newest(), train("none", seed=1).newest()
    best = BestTick(metric="swd_absolute_valid", evaluate_images=2, value=1.0, images=8)
    earlier = newest.card.model_copy(update={"images": 8, "best": best})
    save_best(replace(other, card=earlier), run.snapshots / "best-000000000008.safetensors")
    run.append(replace(newest, card=newest.card.model_copy(update={"images": 16, "best": best})))

    last, chosen = evaluate(run)[0], evaluate(run, settings={"checkpoint": "best"})[0]
    assert (last.protocol.images, last.protocol.checkpoint) == (16, "last")
    assert (chosen.protocol.images, chosen.protocol.checkpoint) == (8, "best")
    assert chosen.metrics["swd"] != last.metrics["swd"]
    # Both models of a comparison are those of the requested tick.
    compared = evaluate(run, compared_model=named(run, "itself", "best"), settings={"checkpoint": "best"})[0].comparison
    assert compared.measured.metrics == chosen.metrics


def test_models_of_two_sizes_do_not_compare(evaluate: Any, train: Any) -> None:
    run, other = train("none"), named(train("none"))
    larger = replace(other, card=other.card.model_copy(update={"size": 32}))
    with pytest.raises(ValueError, match="compare_with: other makes images of 32 pixels, the measured model 16"):
        evaluate(run, compared_model=larger)


def test_without_attributes_and_discriminator_the_rest_is_measured(evaluate: Any, train: Any, tmp_path: Path) -> None:
    run = train("none")
    export(run.networks().generator, tmp_path / "alone")
    without = Checkpoint("classifier", ClassifierCard(attributes=(), made_from={}), {})
    alone = NamedModel.at(tmp_path / "alone.safetensors", "alone")
    found, _, neighbours = evaluate(run, evaluated_model=alone, attribute_classifier=without)
    card = found.to_json()
    assert card["attributes"] is None
    assert {"swd", "ms_ssim"} <= card["metrics"].keys()
    assert not [name for name in card["metrics"] if "age" in name or "frechet" in name]
    assert neighbours.pixels.shape == evaluate(run)[2].pixels.shape  # found by small pixels
