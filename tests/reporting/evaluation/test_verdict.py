from typing import Any

import pytest
from example_evaluation import example, nothing, read

from celeba_gan.reporting.evaluation.verdict import find_verdict


def said(evaluation: dict[str, Any], topic: str) -> str:
    return {statement.topic: statement.text for statement in find_verdict(read(evaluation))}.get(topic, "")


def test_quality_is_the_distance_with_its_interval_beside_its_floor() -> None:
    text = said(example(), "Quality")
    assert "Fréchet distance 18.2 (95 % interval 16.9 to 19.1) in the features of the attribute classifier" in text
    assert "unseen real images score 3.10" in text
    assert "5.9 times" in text
    assert "71.2 % of the samples lie among real images, 78.2 % of unseen real images do" in text


@pytest.mark.parametrize(("low", "reaches"), [(2.9, True), (3.1, True), (3.2, False)])
def test_samples_cannot_be_told_by_a_distance_whose_interval_reaches_the_floor(low: float, reaches: bool) -> None:
    evaluation = example()
    evaluation["metrics"]["frechet_attributes"] = 3.6
    evaluation["intervals"]["frechet_attributes"] |= {"low": low, "high": 4.2}
    text = said(evaluation, "Quality")
    assert ("cannot tell samples from real images" in text) is reaches
    assert ("1.2 times" in text) is not reaches


def test_without_an_interval_nothing_is_called_equal_and_the_doubt_is_said() -> None:
    evaluation = example() | {"intervals": {}}
    assert "unknown uncertainty" in said(evaluation, "Quality")
    evaluation["metrics"]["frechet_attributes"] = 3.0  # below its floor
    text = said(evaluation, "Quality")
    assert "times" not in text
    assert "cannot tell" not in text


def test_the_first_features_are_the_classifiers_then_inceptions_then_any() -> None:
    evaluation = example()
    evaluation["metrics"] |= {"frechet_inception": 5.5, "frechet_mine": 7.5}
    assert "attribute classifier" in said(evaluation, "Quality")
    del evaluation["metrics"]["frechet_attributes"]
    assert "Fréchet distance 5.50 in the features of Inception" in said(evaluation, "Quality")
    del evaluation["metrics"]["frechet_inception"]
    assert "Fréchet distance 7.50 in the features of “mine”" in said(evaluation, "Quality")


def test_without_features_the_patches_speak() -> None:
    evaluation = nothing() | {"metrics": {"swd": 11.2}, "floor": {"swd": 4.1}}
    assert said(evaluation, "Quality").startswith("Sliced Wasserstein distance 11.2; unseen real images score 4.10.")


def test_variety_is_missing_only_where_an_interval_lies_below_the_floor() -> None:
    evaluation = example()
    assert "samples miss a part" in said(evaluation, "Variety")
    evaluation["floor"] |= {"recall_attributes": 0.42, "coverage_attributes": 0.46}
    assert "no loss of variety" in said(evaluation, "Variety")
    evaluation["intervals"] = {}
    text = said(evaluation, "Variety")
    assert "miss a part" not in text
    assert "no loss" not in text


@pytest.mark.parametrize(
    ("value", "how"), [(0.35, "more alike than"), (0.25, "less alike than"), (0.30, "about as alike as")]
)
def test_likeness_of_samples_is_compared_beyond_what_the_draw_of_pairs_does(value: float, how: str) -> None:
    evaluation = example()
    evaluation["metrics"]["ms_ssim"] = value
    assert how in said(evaluation, "Variety")
    evaluation["protocol"]["ms_ssim_pairs"] = 10  # too few to tell these
    assert "about as alike as" in said(evaluation, "Variety")


def test_attributes_that_are_off_are_named_with_both_shares() -> None:
    evaluation = example()
    assert (
        "Of 4 attributes 2 are clearly off, by 2 points or more; most of all Eyeglasses, too rare (1.2 % of samples, "
        "6.5 % of reals) and Smiling, "
        "too frequent (56.0 % of samples, 48.0 % of reals)."
    ) in said(evaluation, "Variety")
    evaluation["attributes"]["errors"] = dict.fromkeys(evaluation["attributes"]["names"], 0.05)
    assert "No attribute is clearly rarer or more frequent than in real images" in said(evaluation, "Variety")
    evaluation["attributes"] |= {"errors": dict.fromkeys(evaluation["attributes"]["names"], 0.001)}
    evaluation["attributes"]["samples"] = evaluation["attributes"]["reals"] | {"Male": 0.425}  # sure, and no matter
    assert "No attribute" in said(evaluation, "Variety")


def test_a_generator_that_only_drops_is_not_said_to_make_something_too_often() -> None:
    evaluation = example()
    evaluation["attributes"]["samples"]["Smiling"] = 0.48
    text = said(evaluation, "Variety")
    assert "1 is clearly off, by 2 points or more: Eyeglasses, too rare" in text
    assert "too frequent" not in text


@pytest.mark.parametrize(
    ("share", "count", "words"),
    [
        (0.025, 5000, "more than by chance; look at their neighbours"),
        (0.025, 400, "no sign of copies"),
        (0.012, 5000, "no sign of copies"),
        (0.0, 5000, "no sign of copies"),
        (0.0, 200, "undecided with so few images"),
        (0.3, 200, "more than by chance"),
    ],
)
def test_copies_are_suspected_beyond_chance_only(share: float, count: int, words: str) -> None:
    evaluation = example()
    del evaluation["metrics"]["repeated_attributes"]
    evaluation["metrics"]["memorised_attributes"] = share
    evaluation["protocol"]["images_per_side"] = count
    assert words in said(evaluation, "Originality")


@pytest.mark.parametrize(("count", "remedy"), [(50, "evaluate.inception_weights=FILE"), (12, "ingest.valid_share")])
def test_without_features_originality_is_said_to_be_unmeasured_with_the_remedy(count: int, remedy: str) -> None:
    evaluation = nothing() | {"metrics": {"swd": 11.2}}
    evaluation["protocol"] |= {"features": {}, "images_per_side": count}
    text = said(evaluation, "Originality")
    assert text.startswith("Not measured: whether samples are copies of training images.")
    assert "found by 16x16 pixels" in text
    assert remedy in text


def test_chance_seldom_raises_the_suspicion() -> None:
    """The share of 5,000 equal draws that lie below the 0.01 quantile of 5,000 others."""
    import numpy as np

    random = np.random.default_rng(0)
    raised = 0
    for _ in range(200):
        of_test, of_samples = random.normal(size=(2, 5000))
        evaluation = example()
        evaluation["metrics"]["memorised_attributes"] = float((of_samples < np.quantile(of_test, 0.01)).mean())
        raised += "look at" in said(evaluation, "Originality")
    assert raised <= 0.06 * 200


def test_few_copies_say_little_of_samples_that_are_far_from_everything() -> None:
    evaluation = example()
    assert "means little" not in said(evaluation, "Originality")
    evaluation["metrics"]["distance_ratio_attributes"] = 1.6
    assert "That means little: samples lie 1.6 times as far" in said(evaluation, "Originality")


def test_repetition_is_said_beyond_chance() -> None:
    evaluation = example()
    assert "the generator repeats itself" in said(evaluation, "Originality")
    evaluation["metrics"]["repeated_attributes"] = 0.013
    assert "no more than by chance" in said(evaluation, "Originality")


def test_a_classifier_above_chance_recognises_samples_and_another_proves_nothing() -> None:
    evaluation = example()
    assert "an accuracy of 93.1 % (95 % interval 91.9 to 94.1 %)" in said(evaluation, "A new classifier")
    assert "it recognises samples" in said(evaluation, "A new classifier")
    evaluation["metrics"]["c2st_accuracy"] = 0.51
    evaluation["intervals"]["c2st_accuracy"] |= {"low": 0.49, "high": 0.53}
    text = said(evaluation, "A new classifier")
    assert "no better than chance" in text
    assert "A larger network" in text
    evaluation["intervals"] = {}
    text = said(evaluation, "A new classifier")
    assert text.endswith("an accuracy of 51.0 %; 50 % is chance.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"finished": False}, "unfinished, after 1,024,000 images"),
        ({"trained_on": "other"}, "trained on other images"),
        ({"discriminator_images": 8}, "another point of training"),
        ({"images_per_side": 999}, "Only 999 images a side"),
    ],
)
def test_what_to_distrust_is_said_where_it_is_so(changes: dict[str, Any], words: str) -> None:
    evaluation = example()
    assert not said(evaluation, "Caveats")
    evaluation["protocol"] |= changes
    assert words in said(evaluation, "Caveats")


def test_inception_with_fewer_images_than_dimensions_is_distrusted() -> None:
    evaluation = example()
    evaluation["protocol"]["images_per_side"] = 2000
    assert not said(evaluation, "Caveats")
    evaluation["metrics"]["frechet_inception"] = 9.0
    assert "2,048 dimensions" in said(evaluation, "Caveats")


def test_a_weak_classifier_is_distrusted_by_its_area_and_else_by_its_accuracy() -> None:
    evaluation = example()
    classifier = evaluation["attributes"]["classifier"]
    for one in classifier.values():
        one |= {"auc": 0.7}
    assert "mean AUC 0.700" in said(evaluation, "Caveats")
    for one in classifier.values():
        one |= {"auc": None, "accuracy": 0.8}
    assert "mean accuracy 80.0 %" in said(evaluation, "Caveats")
    for one in classifier.values():
        one["accuracy"] = 0.93
    assert not said(evaluation, "Caveats")


def test_a_comparison_counts_what_is_sure() -> None:
    row = {"metric": "swd", "model": 1.0, "against": 2.0, "low": None, "high": None}
    rows = [{**row, "better": better} for better in ("model", "model", "against", "neither")]
    evaluation = example() | {"comparison": {"model": "this", "against": "that", "rows": rows}}
    assert "Compared with that it is better in 2 of 4 metrics and worse in 1" in said(evaluation, "Compared")


def test_no_numbers_give_no_verdict() -> None:
    evaluation = nothing()
    (only,) = find_verdict(read(evaluation))
    assert only.text == "These numbers do not show how good the generator is."
