from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_evaluation import Colours, NewDiscriminator, brightness, new_discriminator, no_labels
from torch import Tensor, nn

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.evaluate import EvaluationError, evaluate
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.evaluation.image_sets import Discriminator, Models, Reals
from reports import Reports

SPLITS = {"train": (0, 10), "valid": (10, 50), "test": (50, 130)}
SETTINGS = EvaluateSettings(swd_projections=32, swd_patches=8, two_sample_images=0)
TWO_SAMPLE = SETTINGS.model_copy(update={"two_sample_images": 1000})


def noise(count: int, seed: int, mean: float) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).normal(mean, 20, (count, 16, 16, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture
def reals() -> Reals:
    pixels = noise(130, 0, 140)
    return Reals(lambda indices: pixels[indices], no_labels, SPLITS, 16, "d", {"crop": 178})


@pytest.fixture
def models() -> Models:
    def sample(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        images = noise(count, seed, 110)
        for part in (images[: count // 3], images[count // 3 :]):
            yield part, no_labels(np.arange(len(part)))

    return Models(
        sample=sample,
        training_id="i",
        images=160,
        finished=True,
        size=16,
        data_digest="d",
        discriminator=Discriminator(brightness, "centred_sigmoid", "i", 160),
        new_discriminator=new_discriminator,
    )


def with_discriminator(models: Models, **changes: Any) -> Models:
    assert models.discriminator is not None
    return replace(models, discriminator=replace(models.discriminator, **changes))


def test_result_keeps_its_contract(models: Models, reals: Reals) -> None:
    result = evaluate(models, reals, SETTINGS).evaluation.to_json()
    assert result.keys() == {"format_version", "metrics", "intervals", "floor", "floor_train", "protocol"}
    assert {"age", "age_mean_square", "age_raw", "prob_real", "prob_fake", "swd"} <= result["metrics"].keys()
    assert result["floor"].keys() <= result["metrics"].keys()
    assert result["protocol"]["reals"] == result["protocol"]["samples"] == 80
    assert result["protocol"]["images_per_side"] == 40


def test_centre_lies_between_reals_and_fakes_of_the_valid_split(models: Models, reals: Reals) -> None:
    result = evaluate(models, reals, SETTINGS).evaluation.to_json()
    assert result["protocol"]["age_centre"] == pytest.approx(12.5, abs=0.1)
    assert result["metrics"]["age"] < 0.1  # brightness tells them apart
    assert result["metrics"]["age_raw"] > 0.9  # without a centre every score means "real"
    with_zero = evaluate(with_discriminator(models, probability="sigmoid"), reals, SETTINGS).evaluation.to_json()
    assert with_zero["protocol"]["age_centre"] == 0
    assert with_zero["metrics"]["age"] == with_zero["metrics"]["age_raw"]


def test_the_test_split_in_the_generators_place_scores_at_the_floor(models: Models, reals: Reals) -> None:
    def same_source(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        yield noise(count, seed + 1000, 140), no_labels(np.arange(count))

    perfect = evaluate(replace(models, sample=same_source), reals, SETTINGS).evaluation.to_json()
    assert perfect["metrics"]["swd"] == pytest.approx(perfect["floor"]["swd"], rel=0.25)
    assert perfect["metrics"]["age"] == pytest.approx(0.5, abs=0.02)


def test_no_more_than_the_images_asked_for(models: Models, reals: Reals) -> None:
    result = evaluate(models, reals, SETTINGS.model_copy(update={"images": 21})).evaluation.to_json()
    assert result["protocol"]["reals"] == 21
    assert result["protocol"]["images_per_side"] == 21


def test_what_cannot_be_measured_is_refused(models: Models, reals: Reals) -> None:
    other = replace(reals, size=32)
    with pytest.raises(EvaluationError, match=r"16 pixels a side, the packed images have 32"):
        evaluate(models, other, SETTINGS)
    with pytest.raises(EvaluationError, match="valid split has 1 image,"):
        evaluate(models, replace(reals, splits={**SPLITS, "valid": (10, 11)}), SETTINGS)


def test_unfinished_and_foreign_generators_are_said(
    models: Models, reals: Reals, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(models, finished=False, data_digest="other")
    assert evaluate(other, reals, SETTINGS).evaluation.to_json()["protocol"]["finished"] is False
    assert "unfinished, after 160 images" in caplog.text
    assert "trained on other images" in caplog.text


def test_generator_and_discriminator_must_be_of_one_training(
    models: Models, reals: Reals, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EvaluationError, match="different trainings"):
        evaluate(with_discriminator(models, training_id="another"), reals, SETTINGS)
    result = evaluate(with_discriminator(models, images=80), reals, SETTINGS).evaluation.to_json()
    assert "after 80 images and the generator after 160" in caplog.text
    assert result["protocol"]["discriminator_images"] == 80


def test_generator_of_random_crops_is_compared_with_the_centres_of_the_reals(models: Models, reals: Reals) -> None:
    """Packed images whose border would ruin every number: evaluation must not see it."""
    inner = reals.gather(np.arange(130))
    outer = np.random.default_rng(5).integers(0, 256, (130, 21, 21, 3), dtype=np.uint8)
    outer[:, 2:18, 2:18] = inner
    bordered = Reals(lambda indices: outer[indices], no_labels, SPLITS, 21, "d", {"crop": 178})
    cropped = replace(models, random_crop=16)
    result, expected = (
        evaluate(cropped, bordered, SETTINGS).evaluation.to_json(),
        evaluate(models, reals, SETTINGS).evaluation.to_json(),
    )
    assert result["protocol"] == {**expected["protocol"], "centre_crop": 16}
    assert (result["metrics"], result["floor"]) == (expected["metrics"], expected["floor"])
    assert expected["protocol"]["centre_crop"] is None
    with pytest.raises(EvaluationError, match="16 pixels a side, the packed images have 21"):
        evaluate(models, bordered, SETTINGS)
    small = replace(reals, size=12)
    with pytest.raises(EvaluationError, match="16 pixels a side, the packed images have 12"):
        evaluate(cropped, small, SETTINGS)


@pytest.fixture
def more_reals(reals: Reals) -> Reals:
    pixels = noise(700, 0, 140)
    splits = {"train": (0, 300), "valid": (300, 500), "test": (500, 700)}
    return replace(reals, gather=lambda indices: pixels[indices], splits=splits)


def test_distances_between_features_come_with_floors_intervals_and_the_features_digest(
    models: Models, more_reals: Reals
) -> None:
    result = evaluate(models, more_reals, TWO_SAMPLE, [Colours()]).evaluation.to_json()
    metrics, floor, intervals = result["metrics"], result["floor"], result["intervals"]
    assert result["protocol"]["features"] == {"colours": "c"}
    for name in ("frechet_colours", "kernel_distance_colours"):
        assert intervals[name]["low"] < metrics[name] < intervals[name]["high"]
        assert metrics[name] > 10 * abs(floor[name])  # darker samples are far from the reals
        assert abs(result["floor_train"][name]) < metrics[name] / 10
    assert metrics["precision_colours"] < 0.1
    assert floor["precision_colours"] > 0.8
    assert metrics["memorised_colours"] < 0.05
    assert metrics["c2st_accuracy"] > 0.9
    assert metrics["ms_ssim"] < 0.5


def test_a_perfect_generator_scores_at_the_floors_and_one_that_copies_is_found_out(
    models: Models, more_reals: Reals
) -> None:
    def perfect(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        yield noise(count, seed, 140), no_labels(np.arange(count))

    def copying(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        chosen = np.random.default_rng(seed).integers(0, 300, count)
        yield more_reals.gather(chosen), no_labels(chosen)

    good = evaluate(replace(models, sample=perfect), more_reals, TWO_SAMPLE, [Colours()]).evaluation.to_json()
    assert good["metrics"]["frechet_colours"] == pytest.approx(good["floor"]["frechet_colours"], rel=0.4)
    low, high = (good["intervals"]["kernel_distance_colours"][end] for end in ("low", "high"))
    assert low < 0 < high
    assert good["metrics"]["c2st_auc"] == pytest.approx(0.5, abs=0.12)
    assert good["metrics"]["memorised_colours"] < 0.06
    copied = evaluate(replace(models, sample=copying), more_reals, SETTINGS, [Colours()]).evaluation.to_json()[
        "metrics"
    ]
    assert copied["memorised_colours"] > 0.95
    assert copied["distance_ratio_colours"] == 0
    assert copied["repeated_colours"] > 0.1


def test_the_same_command_gives_the_same_numbers(models: Models, more_reals: Reals) -> None:
    first, second = (evaluate(models, more_reals, TWO_SAMPLE, [Colours()]).evaluation.to_json() for _ in range(2))
    assert first == second


def test_features_of_reals_and_floors_are_kept_for_the_next_time(
    models: Models, more_reals: Reals, tmp_path: Path
) -> None:
    store, extractor = FeatureStore(tmp_path), Colours()
    first = evaluate(models, more_reals, SETTINGS, [extractor], store).evaluation.to_json()
    assert extractor.seen == 200 + 200 + 200 + 2 * 300  # samples, test, valid, train and its mirror images: each once
    again = evaluate(models, more_reals, SETTINGS, [extractor], store).evaluation.to_json()
    assert extractor.seen == 1200 + 200
    assert again == first
    assert evaluate(models, more_reals, SETTINGS, [extractor]).evaluation.to_json() == first
    assert extractor.seen == 1200 + 200 + 1200  # without a store, too, all metrics share what is computed once
    extractor.digest = "another"
    evaluate(models, more_reals, SETTINGS, [extractor], store)
    assert extractor.seen == 1200 + 200 + 2 * 1200


def test_every_part_is_reported_to_its_end(models: Models, more_reals: Reals, tmp_path: Path) -> None:
    store, first, again = FeatureStore(tmp_path), Reports(), Reports()
    evaluate(models, more_reals, TWO_SAMPLE, [Colours()], store, first)
    assert list(dict.fromkeys(first.parts)) == [
        "Sampling",
        "Scores of valid images",
        "Scores of test images",
        "Features (colours) of test images",
        "Reading test images",
        "Comparing samples",
        "Features (colours) of training images",
        "Features (colours) of training images, mirrored",
        "Searching for copies",
        "Reading valid images",
        "Training a new classifier",
        "Features (colours) of valid images",
        "Comparing valid images",
        "Reading training images",
        "Comparing training images",
    ]
    evaluate(models, more_reals, TWO_SAMPLE, [Colours()], store, again)
    assert set(first.parts) - set(again.parts) == {
        "Features (colours) of test images",
        "Features (colours) of training images",
        "Features (colours) of training images, mirrored",
        "Features (colours) of valid images",
        "Comparing valid images",
        "Comparing training images",
        "Reading training images",
    }


class Seen(nn.Module):
    """A discriminator that notes the mean brightness, which mirroring does not change, of all images it learns from."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = NewDiscriminator()
        self.learnt: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.learnt += images.mean(dim=(1, 2, 3)).tolist()
        scores: Tensor = self.inner(images)
        return scores


def test_the_new_discriminator_trains_on_four_fifths_of_valid_and_samples_of_their_own(
    models: Models, more_reals: Reals
) -> None:
    network, drawn = Seen(), []

    def sample(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        drawn.append(seed)
        yield noise(count, seed, 110), no_labels(np.arange(count))

    evaluate(replace(models, sample=sample, new_discriminator=lambda: network), more_reals, TWO_SAMPLE)
    learnt = np.unique(np.array(network.learnt)[:, None].round(6))
    seen = {
        split: int((np.abs(learnt - (images.mean((1, 2, 3)) / 127.5 - 1)[:, None]).min(axis=1) < 5e-6).sum())
        for split, bounds in more_reals.splits.items()
        if (images := more_reals.gather(np.arange(*bounds))).size
    }
    assert 160 <= seen["valid"] < 180  # the others are as bright as one of them by chance
    assert max(seen["train"], seen["test"]) < 20
    assert (
        len(set(drawn)) == len(drawn) == 6
    )  # measured, AGE's centre, AGE on valid, and the new discriminator's three sets


def test_mirrored_copies_are_copies(models: Models, more_reals: Reals) -> None:
    def mirroring(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        chosen = np.random.default_rng(seed).integers(0, 300, count)
        yield more_reals.gather(chosen)[:, :, ::-1], no_labels(chosen)

    found = evaluate(replace(models, sample=mirroring), more_reals, SETTINGS, [Colours()]).evaluation.to_json()[
        "metrics"
    ]
    assert found["memorised_colours"] > 0.95


def test_what_cannot_be_measured_with_features_is_said(models: Models, more_reals: Reals) -> None:
    class Holes(Colours):
        def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().__call__(images) * np.nan

    with pytest.raises(ValueError, match="features colours of some images are not finite"):
        evaluate(models, more_reals, SETTINGS, [Holes()])
    with pytest.raises(EvaluationError, match=r"evaluate\.neighbours is 100, but there are 40"):
        few = replace(more_reals, splits={**more_reals.splits, "valid": (300, 340)})
        evaluate(models, few, SETTINGS.model_copy(update={"neighbours": 100}), [Colours()])
    with pytest.raises(ValueError, match="Two numbers have the same name"):
        other = Colours()
        other.name = "infinity_colours"  # type: ignore[misc]
        evaluate(models, more_reals, SETTINGS, [Colours(), other])


def test_too_few_training_images_are_no_floor(models: Models, reals: Reals) -> None:
    card = evaluate(models, reals, SETTINGS).evaluation.to_json()  # 10 of them, 40 of valid
    assert card["floor_train"] == {}
    assert card["floor"]["swd"] > 0


def test_memory_holds_no_more_images_than_asked(models: Models, more_reals: Reals) -> None:
    largest = []

    def gather(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        largest.append(len(indices))
        return more_reals.gather(indices)

    settings = SETTINGS.model_copy(update={"swd_images": 20, "ms_ssim_pairs": 10})
    result = evaluate(models, replace(more_reals, gather=gather), settings, [Colours()])
    assert max(largest) <= 256
    assert result.evaluation.to_json()["protocol"]["images_per_side"] == 200
    assert len(result.samples) == 48


def test_without_a_discriminator_there_is_no_age(models: Models, reals: Reals) -> None:
    metrics = evaluate(replace(models, discriminator=None), reals, SETTINGS).evaluation.to_json()["metrics"]
    assert not [name for name in metrics if name.startswith(("age", "prob", "score"))]
    assert metrics["swd"] == evaluate(models, reals, SETTINGS).evaluation.to_json()["metrics"]["swd"]


def test_age_on_valid_uses_other_images_than_its_centre(models: Models, reals: Reals) -> None:
    """The first half of valid is much brighter: the centre moves, and AGE on the other half shows it."""
    pixels = reals.gather(np.arange(130)).copy()
    order = np.random.default_rng(0).permutation(40)
    pixels[10 + order[:20]] = 250
    metrics = evaluate(models, replace(reals, gather=lambda indices: pixels[indices]), SETTINGS).evaluation.to_json()[
        "metrics"
    ]
    expected = evaluate(models, reals, SETTINGS).evaluation.to_json()["metrics"]
    assert metrics["prob_real_valid"] < expected["prob_real_valid"] - 0.4
    assert metrics["score_real"] == expected["score_real"]


@pytest.mark.parametrize("features", [True, False])
def test_samples_that_copy_are_shown_beside_what_they_copy(models: Models, more_reals: Reals, features: bool) -> None:
    def copying(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        images = noise(count, seed, 110)
        images[9] = more_reals.gather(np.array([17]))[0]
        images[12] = more_reals.gather(np.array([80]))[0, :, ::-1]
        yield images, no_labels(np.arange(count))

    result = evaluate(replace(models, sample=copying), more_reals, SETTINGS, [Colours()] if features else [])
    found = result.neighbours
    assert found.names == [f"{name} {place}" for name in ("sample", "closest") for place in range(1, 6)]
    assert (found.distances[5:7, 0] == 0).all()
    assert (found.neighbours[5, 0] == more_reals.gather(np.array([17]))[0]).all()
    assert (found.neighbours[6, 0] == more_reals.gather(np.array([80]))[0, :, ::-1]).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert any(name.startswith("memorised") for name in result.evaluation.metrics) is features


def test_real_images_in_the_samples_place_score_exactly_at_their_floor(models: Models, more_reals: Reals) -> None:
    def in_its_place(split: str) -> Models:
        start, stop = more_reals.splits[split]
        order = start + np.random.default_rng(SETTINGS.seed).permutation(stop - start)

        def sample(count: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
            yield more_reals.gather(order[:count]), no_labels(order[:count])

        return replace(models, sample=sample)

    for split, floor in (("train", "floor_train"), ("valid", "floor")):
        card = evaluate(in_its_place(split), more_reals, SETTINGS, [Colours()]).evaluation.to_json()
        assert card[floor].keys() >= {"swd", "ms_ssim", "frechet_colours", "coverage_colours"}
        assert {name: card["metrics"][name] for name in card[floor]} == pytest.approx(card[floor], rel=1e-9)
    same = evaluate(in_its_place("test"), more_reals, SETTINGS, [Colours()]).evaluation.to_json()["metrics"]
    assert same["frechet_colours"] == pytest.approx(0, abs=1e-6)
    assert same["swd"] == 0
    assert same["coverage_colours"] == same["precision_colours"] == same["recall_colours"] == 1
