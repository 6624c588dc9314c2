from typing import Any

import pytest
from example_evaluation import example, nothing, read

from celeba_gan.evaluation.metrics.registry import read_name
from celeba_gan.reporting.evaluation import tables
from celeba_gan.reporting.evaluation.tables import Row, Section
from celeba_gan.reporting.evaluation.writing import enumerate_names, write, write_range


def make_row(evaluation: dict[str, Any], name: str) -> Row:
    return tables.make_row(read(evaluation), name)


def make_sections(evaluation: dict[str, Any]) -> list[Section]:
    return tables.make_sections(read(evaluation))


def choose_headlines(evaluation: dict[str, Any]) -> list[tuple[str, Row]]:
    return tables.choose_headlines(read(evaluation))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("frechet_infinity_attributes", ("frechet_infinity", "attributes", None)),
        ("frechet_my_own", ("frechet", "my_own", None)),
        ("swd_32", ("swd", None, "at 32 × 32 pixels")),
        ("age_mean_square_valid", ("age_mean_square", None, "on the valid split")),
        ("age", ("age", None, None)),
        ("c2st_age", ("c2st_age", None, None)),
        ("swd_of_mine", ("swd_of_mine", None, None)),
        ("aged", ("aged", None, None)),
    ],
)
def test_names_are_taken_apart_by_the_longest_known_beginning(
    name: str, parts: tuple[str, str | None, str | None]
) -> None:
    found = read_name(name)
    assert (found.number.name, found.features, found.detail) == parts


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (18.2049, "distance", "18.2"), (3.1, "number", "3.10"), (0.01234, "number", "0.012"), (0.0, "number", "0"),
        (-0.0301, "number", "−0.030"), (1234.5, "number", "1,234"), (0.0004, "number", "0.0004"),
        (0.012, "share", "1.2 %"), (1.0, "share", "100 %"), (0.0, "share", "0 %"), (0.9999, "share", "100 %"),
        (-0.05, "share", "−5.0 %"),
    ],
)  # fmt: skip
def test_numbers_have_about_three_digits_and_shares_percent(value: float, kind: str, text: str) -> None:
    assert write(value, kind) == text  # type: ignore[arg-type]


def test_an_interval_has_its_unit_once() -> None:
    assert write_range(0.919, 0.941, "share") == "91.9 to 94.1 %"
    assert enumerate_names(["a", "b", "c"]) == "a, b and c"


def all_rows(evaluation: dict) -> list[Row]:
    return [row for section in make_sections(evaluation) for row in [*section.rows, *section.minor]]


def test_no_number_is_left_out_and_none_stands_twice() -> None:
    evaluation = example()
    evaluation["metrics"] |= {"frechet_inception": 9.1, "inception_score_inception": 2.3, "unknown_to_all": 1.0}
    assert sorted(row.name for row in all_rows(evaluation)) == sorted(evaluation["metrics"])
    assert make_sections(evaluation)[-1].rows[0].label == "unknown to all"


def test_a_row_has_interval_and_both_floors() -> None:
    row = make_row(example(), "frechet_attributes")
    assert (row.value, row.interval, row.floor, row.floor_train) == ("18.2", "16.9 to 19.1", "3.10", "3.30")
    assert not row.by_definition
    assert row.detail == "in the features of the attribute classifier"


@pytest.mark.parametrize(
    ("name", "floor"),
    [("memorised_attributes", "1.0 %"), ("c2st_accuracy", "50.0 %"), ("distance_ratio_attributes", "1.00")],
)
def test_what_reals_score_by_definition_is_known_without_measuring(name: str, floor: str) -> None:
    row = make_row(example(), name)
    assert (row.floor, row.by_definition) == (floor, True)


def test_cues_keep_order_and_proportion_and_stay_on_their_scale() -> None:
    cue = make_row(example(), "frechet_attributes").cue
    assert cue.value / cue.floor == pytest.approx(18.2 / 3.1, rel=0.01)  # a distance's scale begins at 0
    assert cue.interval[0] < cue.value < cue.interval[1]
    for row in all_rows(example()):
        places = [row.cue.value, *(row.cue.interval or ()), row.cue.floor, row.cue.train]
        assert all(0 <= place <= 100 for place in places if place is not None), row


def test_shares_have_the_scale_of_shares_whatever_their_value() -> None:
    cue = make_row(example(), "recall_attributes").cue
    assert (cue.value, cue.ends) == (41.3, ("0 %", "100 %"))
    cue = make_row(example(), "c2st_accuracy").cue
    assert cue.ends == ("50.0 %", "100 %")
    assert cue.value == pytest.approx(86.2)


def test_a_classifier_below_chance_and_a_kernel_distance_below_zero_have_a_place() -> None:
    evaluation = example()
    evaluation["metrics"] |= {"c2st_accuracy": 0.47, "kernel_distance_attributes": -0.2}
    del evaluation["intervals"]["c2st_accuracy"]
    assert make_row(evaluation, "c2st_accuracy").cue.ends[0] == "47.0 %"
    cue = make_row(evaluation, "kernel_distance_attributes").cue
    assert 0 < cue.value < cue.floor < 100


def test_all_zero_has_a_scale() -> None:
    assert make_row(nothing() | {"metrics": {"swd": 0.0}}, "swd").cue.value == 0


def test_the_headline_of_a_group_is_its_first_number_there_is() -> None:
    evaluation = example()
    names = [row.name for _, row in choose_headlines(evaluation)]
    assert names == ["frechet_attributes", "coverage_attributes", "memorised_attributes", "c2st_accuracy"]
    evaluation["metrics"] = {"swd": 1.0, "ms_ssim": 0.3, "age": 0.4}
    assert [row.name for _, row in choose_headlines(evaluation)] == ["swd", "ms_ssim", "age"]
    assert choose_headlines(nothing()) == []


def test_gaps_are_named_where_numbers_are_missing_and_only_there() -> None:
    def gaps(evaluation: dict) -> dict[str, str]:
        return {section.title: " ".join(section.gaps) for section in make_sections(evaluation) if section.gaps}

    evaluation = example()
    assert list(gaps(evaluation)) == ["Quality"]
    assert "evaluate.inception_weights" in gaps(evaluation)["Quality"]
    evaluation["metrics"]["frechet_inception"] = 9.0
    assert not gaps(evaluation)
    evaluation["metrics"] = {"swd": 1.0}
    found = gaps(evaluation)
    assert list(found) == ["Quality", "Variety", "Originality", "The discriminator’s view"]
    assert "attributes a classifier is trained" in found["Quality"]
    assert "No new classifier" in found["The discriminator’s view"]
    assert "AGE is missing" in found["The discriminator’s view"]
    evaluation["protocol"] |= {"images_per_side": 12, "two_sample_images": 0}
    assert "12 images a side are too few" in gaps(evaluation)["Quality"]
    assert "evaluate.two_sample_images is 0" in gaps(evaluation)["The discriminator’s view"]


def test_numbers_on_images_that_were_used_for_training_rank_no_models() -> None:
    evaluation = example()
    evaluation["metrics"] |= {"c2st_accuracy_train": 1.0, "c2st_age": 0.1}
    rows = {name: make_row(evaluation, name) for name in ("c2st_accuracy", "c2st_accuracy_train", "c2st_age", "age")}
    assert {name: row.better for name, row in rows.items()} == {
        "c2st_accuracy": "less",
        "c2st_accuracy_train": "–",
        "c2st_age": "near 0.5",
        "age": "–",
    }
    assert rows["c2st_accuracy"].in_short == "unseen reals 50.0 %; less is better"
    assert rows["age"].in_short == "ranks no models"
    assert rows["c2st_age"].in_short == "unseen reals 0.500"
