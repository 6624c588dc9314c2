from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.evaluation.features import classifier as classifier_module
from celeba_gan.evaluation.features.classifier import (
    FEATURES,
    AttributeClassifier,
    ClassifierError,
    ClassifierReport,
    GroupNorm,
    LabelledImages,
    area_under_curve,
    fit_classifier,
)

NAMES = ["bright", "left", "chance"]


def labelled(count: int, seed: int) -> LabelledImages:
    """Pictures that are bright or not, with a mark on their left or not; the third attribute is a coin's."""
    random = np.random.default_rng(seed)
    attributes = random.integers(0, 2, (count, 3))
    pictures = random.normal(90, 20, (count, 16, 16, 3)) + 70 * attributes[:, 0, None, None, None]
    pictures[:, 4:12, 2:14] -= 60 * attributes[:, 1, None, None, None]
    images = np.clip(pictures, 0, 255).astype(np.uint8)
    return LabelledImages(lambda indices: images[indices], attributes)


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, torch.Tensor], ClassifierReport]:
    return fit_classifier(labelled(640, 0), labelled(200, 1), NAMES, epochs=4, seed=0)


def test_it_learns_what_can_be_seen_and_only_that(
    fitted: tuple[dict[str, torch.Tensor], ClassifierReport],
) -> None:
    report = fitted[1].attributes
    assert report["bright"].auc > 0.98
    assert report["left"].auc > 0.95
    assert report["chance"].auc == pytest.approx(0.5, abs=0.12)
    assert report["bright"].accuracy > 0.95


def test_features_and_probabilities_do_not_depend_on_the_batch(fitted: tuple[dict[str, torch.Tensor], object]) -> None:
    classifier = AttributeClassifier(NAMES, fitted[0])
    images = labelled(300, 2).gather(np.arange(300))
    features, probabilities = classifier.describe(images)
    assert features.shape == (300, FEATURES)
    assert probabilities.shape == (300, 3)
    one_by_one = [classifier.describe(images[i : i + 1])[0] for i in range(0, 300, 37)]
    assert np.allclose(np.concatenate(one_by_one), features[::37], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_seed_same_weights_and_the_global_generator_is_left_alone(
    precision: Literal["float32", "bfloat16"],
) -> None:
    before = torch.random.get_rng_state()
    train, valid = labelled(128, 0), labelled(20, 1)
    fits = [fit_classifier(train, valid, NAMES, epochs=1, seed=seed, precision=precision) for seed in (0, 0, 1)]
    assert torch.equal(before, torch.random.get_rng_state())
    digests = [AttributeClassifier(NAMES, tensors).digest for tensors, _ in fits]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("native", [True, False])
def test_it_trains_in_bfloat16_where_the_hardware_computes_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "computes_bfloat16", lambda device: native)
    few, valid = labelled(64, 0), labelled(200, 1)
    chosen, _ = fit_classifier(few, valid, NAMES, epochs=1, seed=0)
    named, _ = fit_classifier(few, valid, NAMES, epochs=1, seed=0, precision="bfloat16" if native else "float32")
    other, _ = fit_classifier(few, valid, NAMES, epochs=1, seed=0, precision="float32" if native else "bfloat16")
    assert all(torch.equal(tensor, named[name]) for name, tensor in chosen.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in chosen.items())
    assert {tensor.dtype for tensor in chosen.values()} == {torch.float32}
    if native:  # and learns by it
        _, report = fit_classifier(labelled(640, 0), valid, NAMES, epochs=4, seed=0)
        assert report.attributes["bright"].auc > 0.98
        assert report.attributes["left"].auc > 0.95


def test_its_norms_are_torchs_in_float32_and_lose_nothing_to_bfloat16() -> None:
    """So a classifier that was trained before gives the same features."""
    torch.manual_seed(0)
    ours, theirs, features = GroupNorm(8, 32), torch.nn.GroupNorm(8, 32), torch.randn(4, 32, 5, 5)
    assert torch.equal(ours(features), theirs(features))
    half = features.bfloat16()
    assert torch.equal(ours(half), theirs(half.float()))


def test_progress_goes_from_the_first_step_to_all_images() -> None:
    shown: list[tuple[int, int]] = []
    fit_classifier(
        labelled(200, 0), labelled(20, 1), NAMES, epochs=2, seed=0, progress=lambda *seen: shown.append(seen)
    )
    assert shown == [(16 * step, 384) for step in range(1, 25)]  # the rest of a batch is left out of each epoch


def test_area_under_curve_counts_pairs() -> None:
    ones, zeros = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    pairs: list[float] = [1.0 if a > b else 0.5 if a == b else 0.0 for a in ones for b in zeros]
    assert area_under_curve(ones, zeros) == pytest.approx(np.mean(pairs))
    empty: NDArray[np.float64] = ones[:0]
    assert area_under_curve(ones, empty) is None


def test_an_attribute_that_all_have_spoils_no_mean() -> None:
    train, valid = labelled(128, 0), labelled(20, 1)
    train.attributes[:, 1] = valid.attributes[:, 1] = 1
    _, report = fit_classifier(train, valid, NAMES, epochs=1, seed=0)
    assert report.attributes["left"].auc is None
    assert report.auc is not None
    assert 0 <= report.auc <= 1


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ClassifierError, match="no attributes"):
        fit_classifier(labelled(128, 0), labelled(20, 1), [], epochs=1, seed=0)
    with pytest.raises(ClassifierError, match="64 training images"):
        fit_classifier(labelled(10, 0), labelled(20, 1), NAMES, epochs=1, seed=0)
