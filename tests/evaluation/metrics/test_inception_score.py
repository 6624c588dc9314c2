import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch_fidelity.metric_isc import isc_features_to_metric

from celeba_gan.evaluation.metrics.inception_score import inception_score


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    return torch.from_numpy(logits).softmax(dim=1).float().numpy()


@pytest.mark.parametrize(("count", "splits", "scale"), [(200, 10, 1.0), (203, 10, 3.0), (64, 1, 8.0), (50, 7, 200.0)])
def test_equals_torch_fidelity(count: int, splits: int, scale: float) -> None:
    """At the last scale most probabilities are 0 in float32."""
    logits = np.random.default_rng(count).normal(size=(count, 30)) * scale
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=False)
    mean, deviation = inception_score(softmax(logits), splits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert deviation == pytest.approx(theirs["inception_score_std"], rel=1e-4, abs=1e-6)


def test_the_ends_of_the_scale() -> None:
    sure_of_each = np.tile(np.eye(8, dtype=np.float32), (10, 1))
    assert inception_score(sure_of_each) == pytest.approx((8, 0))
    alike = np.tile(softmax(np.random.default_rng(0).normal(size=(1, 8))), (80, 1))
    assert inception_score(alike) == pytest.approx((1, 0), abs=1e-6)


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="10 parts needs as many samples, not 9"):
        inception_score(np.full((9, 4), 0.25, np.float32))
