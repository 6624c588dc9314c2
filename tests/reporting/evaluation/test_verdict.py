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
    del evaluation["intervals"]["c2st_accuracy"]
    text = said(evaluation, "Quality")
    assert text.startswith("No difference between samples and real images was found.") is reaches
    assert text.startswith("Samples can be told from real images.") is not reaches
    assert ("The interval includes the score of real images." in text) is reaches
    assert ("1.2 times" in text) is not reaches


@pytest.mark.parametrize("accuracy_low", [0.49, 0.91])
@pytest.mark.parametrize("distance_low", [2.9, 3.3])
def test_quality_concludes_once_from_the_strongest_evidence(accuracy_low: float, distance_low: float) -> None:
    evaluation = example()
    evaluation["intervals"]["c2st_accuracy"]["low"] = accuracy_low
    evaluation["intervals"]["frechet_attributes"]["low"] = distance_low
    text = said(evaluation, "Quality")
    by_classifier, by_distance = accuracy_low > 0.5, distance_low > 3.1
    assert text.startswith("Samples can be told from real images.") is (by_classifier or by_distance)
    assert text.startswith("No difference") is not (by_classifier or by_distance)
    assert ("this distance alone is too coarse" in text) is (by_classifier and not by_distance)
    assert ("it alone misses the difference" in text) is (by_distance and not by_classifier)


def test_without_an_interval_nothing_is_called_equal_and_the_doubt_is_said() -> None:
    evaluation = example() | {"intervals": {}}
    assert "how much of that is chance is unknown" in said(evaluation, "Quality")
    evaluation["metrics"]["frechet_attributes"] = 3.0  # below its floor
    text = said(evaluation, "Quality")
    assert "times" not in text
    assert not text.startswith(("No difference", "Samples can be told"))


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
    evaluation = example() | {"attributes": None}
    assert said(evaluation, "Variety").startswith("Samples miss a part of what real images show.")
    evaluation["floor"] |= {"recall_attributes": 0.42, "coverage_attributes": 0.46}
    assert said(evaluation, "Variety").startswith("No loss of variety was found.")
    evaluation["intervals"] = {}
    text = said(evaluation, "Variety")
    assert "miss a part" not in text
    assert "No loss" not in text


def test_variety_is_not_called_whole_beside_what_is_clearly_missing() -> None:
    evaluation = example()
    evaluation["floor"] |= {"recall_attributes": 0.42, "coverage_attributes": 0.46}
    text = said(evaluation, "Variety")
    assert "Eyeglasses, too rare" in text
    assert text.startswith("Samples miss a part of what real images show.")
    evaluation["attributes"] = None
    evaluation["metrics"]["ms_ssim"] = 0.4
    assert "more alike than" in said(evaluation, "Variety")
    assert said(evaluation, "Variety").startswith("Samples miss a part of what real images show.")


def test_attributes_that_only_seem_off_are_counted_beside_what_chance_gives() -> None:
    names = [f"attribute {number}" for number in range(40)]
    attributes = example()["attributes"] | {"names": names, "classifier": {}}
    attributes |= {"reals": dict.fromkeys(names, 0.4), "samples": dict.fromkeys(names, 0.4)}
    attributes |= {"errors": dict.fromkeys(names, 0.02)}
    evaluation = example() | {"attributes": attributes}
    assert "No single attribute is clearly rarer or more frequent than in real images." in said(evaluation, "Variety")
    attributes["samples"] |= dict.fromkeys(names[:2], 0.37)
    assert "2 of 40 seem rarer, 0 more frequent, which may be chance" in said(evaluation, "Variety")
    attributes["samples"] |= dict.fromkeys(names[:12], 0.37)
    assert "12 of 40 seem rarer, 0 more frequent, where chance alone makes about 2 seem so" in said(
        evaluation, "Variety"
    )


@pytest.mark.parametrize("count", [199, 200])
def test_with_few_images_the_verdict_begins_with_the_doubt_and_denies_nothing(count: int) -> None:
    evaluation = example() | {"attributes": None}
    evaluation["protocol"]["images_per_side"] = count
    evaluation["intervals"]["c2st_accuracy"]["low"] = 0.49
    evaluation["intervals"]["frechet_attributes"]["low"] = 3.0
    evaluation["floor"] |= {"recall_attributes": 0.42, "coverage_attributes": 0.46}
    few = count < 200
    assert (find_verdict(read(evaluation))[0].topic == "Few images") is few
    assert said(evaluation, "Few images").startswith("Little can be said: only 199 samples") is few
    assert ("so few images show only a large one" in said(evaluation, "Quality")) is few
    assert ("so few images hardly show one" in said(evaluation, "Variety")) is few
    assert ("Only 200 images a side" in said(evaluation, "Caveats")) is not few


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
    assert "No single attribute is clearly rarer or more frequent" in said(evaluation, "Variety")
    evaluation["attributes"] |= {"errors": dict.fromkeys(evaluation["attributes"]["names"], 0.001)}
    evaluation["attributes"]["samples"] = evaluation["attributes"]["reals"] | {"Male": 0.425}  # sure, and no matter
    assert "No single attribute" in said(evaluation, "Variety")


def test_a_generator_that_only_drops_is_not_said_to_make_something_too_often() -> None:
    evaluation = example()
    evaluation["attributes"]["samples"]["Smiling"] = 0.48
    text = said(evaluation, "Variety")
    assert "1 is clearly off, by 2 points or more: Eyeglasses, too rare" in text
    assert "too frequent" not in text


@pytest.mark.parametrize(
    ("share", "count", "words"),
    [
        (0.025, 5000, "Some samples may be copies"),
        (0.025, 400, "No sign of copies"),
        (0.012, 5000, "No sign of copies"),
        (0.0, 5000, "No sign of copies"),
        (0.0, 200, "Undecided with so few images"),
        (0.3, 200, "look at the picture of their nearest training images"),
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
        raised += "may be copies" in said(evaluation, "Originality")
    assert raised <= 0.06 * 200


def test_few_copies_say_little_of_samples_that_are_far_from_everything() -> None:
    evaluation = example()
    assert "overlooked" not in said(evaluation, "Originality")
    evaluation["metrics"]["distance_ratio_attributes"] = 1.6
    assert "overlooked: most samples are far from every training image, 1.6 times as far" in said(
        evaluation, "Originality"
    )
    evaluation["metrics"]["memorised_attributes"] = 0.2  # and these are copies
    assert "overlooked" not in said(evaluation, "Originality")


def test_repetition_is_said_beyond_chance() -> None:
    evaluation = example()
    assert "Samples repeat each other: 2.1 % are" in said(evaluation, "Originality")
    evaluation["metrics"]["repeated_attributes"] = 0.013
    assert "do not repeat each other more than chance explains" in said(evaluation, "Originality")


def test_a_classifier_above_chance_recognises_samples_and_another_proves_nothing() -> None:
    evaluation = example()
    del evaluation["metrics"]["frechet_attributes"]
    text = said(evaluation, "Quality")
    assert text.startswith(
        "Samples can be told from real images. A new classifier of samples and unseen images is right"
    )
    assert "for 93.1 % of them (95 % interval 91.9 to 94.1 %); guessing gives 50 %." in text
    evaluation["metrics"]["c2st_accuracy"] = 0.51
    evaluation["intervals"]["c2st_accuracy"] |= {"low": 0.49, "high": 0.53}
    text = said(evaluation, "Quality")
    assert text.startswith("No difference between samples and real images was found.")
    assert "no better than guessing (50 %): a larger one" in text
    evaluation["intervals"] = {}
    text = said(evaluation, "Quality")
    assert text.startswith("A new classifier of samples and unseen images is right for 51.0 % of them; guessing gives")


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
