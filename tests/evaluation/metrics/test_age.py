import numpy as np
import pytest

from celeba_gan.evaluation.metrics.age import average_generalisation_error, find_centre, probability


def test_age_is_zero_when_the_discriminator_separates_and_one_half_when_it_cannot_tell() -> None:
    sure = average_generalisation_error(np.full(10, 1e9), np.full(7, -1e9), "sigmoid", 0.0)
    assert sure == {"age": 0.0, "age_mean_square": 0.0, "prob_real": 1.0, "prob_fake": 0.0}
    undecided = average_generalisation_error(np.full(10, 3.0), np.full(7, 3.0), "centred_sigmoid", 3.0)
    assert undecided == {"age": 0.5, "age_mean_square": 0.5, "prob_real": 0.5, "prob_fake": 0.5}


def test_age_by_hand() -> None:
    real, fake = np.log([3.0, 1.0]), np.log([1 / 3, 1 / 9])  # probabilities 3/4, 1/2 and 1/4, 1/10
    result = average_generalisation_error(real, fake, "sigmoid", 0.0)
    assert result["age"] == pytest.approx(((0.25 + 0.5) / 2) ** 2 + ((0.25 + 0.1) / 2) ** 2)
    assert result["age_mean_square"] == pytest.approx((0.25**2 + 0.5**2) / 2 + (0.25**2 + 0.1**2) / 2)
    assert (result["prob_real"], result["prob_fake"]) == (pytest.approx(0.625), pytest.approx(0.175))


def test_a_constant_added_to_a_critic_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(1, 2, 500), rng.normal(-1, 2, 400)

    def measure(shift: float) -> dict[str, float]:
        centre = find_centre("centred_sigmoid", real[:200] + shift, fake[:200] + shift)
        return average_generalisation_error(real[200:] + shift, fake[200:] + shift, "centred_sigmoid", centre)

    assert measure(0) == pytest.approx(measure(1234.5), rel=1e-9)


def test_objectives_with_a_zero_keep_it() -> None:
    assert find_centre("sigmoid", np.full(3, 100.0), np.full(3, 50.0)) == 0
    assert find_centre("centred_sigmoid", np.full(3, 100.0), np.full(3, 50.0)) == 75


def test_least_squares_scores_are_probabilities_already() -> None:
    assert find_centre("clip", np.full(3, 0.9), np.full(3, 0.1)) == 0
    assert probability(np.array([-0.5, 0.25, 1.5]), "clip", 0.0).tolist() == [0, 0.25, 1]
    measured = average_generalisation_error(np.array([0.75, 2.0]), np.array([-1.0, 0.5]), "clip", 0.0)
    assert (measured["prob_real"], measured["prob_fake"]) == (0.875, 0.25)
    assert measured["age"] == 0.125**2 + 0.25**2


def test_probability_is_the_sigmoid_without_overflow() -> None:
    with np.errstate(over="raise"):
        values = probability(np.array([-1e30, -1.0, 0.0, 1.0, 1e30]), "sigmoid", 0.0)
    assert values == pytest.approx([0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1])
