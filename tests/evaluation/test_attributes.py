import numpy as np
import pytest

from celeba_gan.evaluation.attributes import compare_prevalence, compare_requested
from celeba_gan.evaluation.documents import RequestedAttribute

NAMES = ["Male", "Smiling", "Hat"]


def perfect(samples: int) -> RequestedAttribute:
    return RequestedAttribute(accuracy=1, having=1, lacking=1, samples=samples)


def test_shares_and_the_interval_of_their_difference() -> None:
    reals = np.array([[1, 0, 0.25]] * 50 + [[0, 1, 0.25]] * 50, np.float32)
    samples = np.array([[1, 0, 0.5]] * 25 + [[0, 0, 0.25]] * 75, np.float32)
    found = compare_prevalence(NAMES, reals, samples)
    assert found["reals"] == {"Male": 0.5, "Smiling": 0.5, "Hat": 0.25}  # seldom probable, but not never there
    assert found["samples"] == {"Male": 0.25, "Smiling": 0, "Hat": 0.3125}
    assert found["errors"]["Male"] == pytest.approx(1.96 * np.sqrt(0.25 / 100 + 0.1875 / 100))
    assert found["errors"]["Smiling"] == pytest.approx(1.96 * np.sqrt(0.25 / 100))


def test_the_interval_holds_the_difference_nineteen_times_of_twenty() -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        reals, samples = (random.random((size, 1)) < share for size, share in ((300, 0.3), (200, 0.4)))
        found = compare_prevalence(["Hat"], reals.astype(np.float32), samples.astype(np.float32))
        held += abs(found["samples"]["Hat"] - found["reals"]["Hat"] - 0.1) < found["errors"]["Hat"]
    assert 0.92 < held / 400 < 0.98


def test_requested_attributes() -> None:
    samples = np.array([[0.9, 0.9, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.2, 0.2, 0]], np.float32)
    labels = np.array([[1, 1], [1, 1], [0, 0], [0, 1]], np.float32)
    found = compare_requested(NAMES, samples, labels, ["Male", "Smiling"])
    assert found is not None
    assert found["Male"] == perfect(4)
    assert found["Smiling"].model_dump(by_alias=True) == {
        "accuracy": 0.25,
        "with": pytest.approx(1 / 3),
        "without": 0,
        "samples": 4,
    }


def test_requested_classes_are_taken_apart() -> None:
    names = ["not Male + not Hat", "not Male + Hat", "Male + not Hat", "Male + Hat"]
    labels = np.eye(4, dtype=np.float32)
    right = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]], np.float32)
    found = compare_requested(NAMES, right, labels, names)
    assert found == {name: perfect(4) for name in ("Male", "Hat")}
    wrong = compare_requested(NAMES, right[::-1], labels, names)
    assert wrong is not None
    assert wrong["Male"].accuracy == wrong["Hat"].accuracy == 0
    one = compare_requested(NAMES, right[[0, 3]], np.eye(2, dtype=np.float32), ["not Male", "Male"])
    assert one == {"Male": perfect(2)}
    assert compare_requested(NAMES, right, labels, ["anna", "bert", "carl", "doris"]) is None
