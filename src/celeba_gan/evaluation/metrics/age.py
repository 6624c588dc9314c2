"""AGE, the average generalisation error by the discriminator's own probabilities."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.metric import Metric, Number

Scores = NDArray[np.float64]
Probability = Literal["sigmoid", "centred_sigmoid", "clip"]
"""How scores become probabilities: sigmoid(D), sigmoid(D - centre), or D clipped to [0, 1] (least squares)."""


def probability(scores: Scores, kind: Probability, centre: float) -> Scores:
    """The probability of being real: (n,) in [0, 1]."""
    if kind == "clip":
        return np.clip(scores, 0.0, 1.0)
    result: Scores = torch.from_numpy(scores - centre).sigmoid().numpy()
    return result


def find_centre(kind: Probability, real: Scores, fake: Scores) -> float:
    """The score that means "one half": 0, except for `centred_sigmoid`, which is for critics.

    A critic trained with a Wasserstein loss has no zero: a constant added to its scores changes no loss. Its centre is
    the midpoint of the mean scores of reals and fakes, (n,) each, which are not those that AGE is measured on.
    """
    return float(real.mean() + fake.mean()) / 2 if kind == "centred_sigmoid" else 0.0


def average_generalisation_error(real: Scores, fake: Scores, kind: Probability, centre: float) -> dict[str, float]:
    """AGE = E_x[|D(x) - 1|]^2 + E_z[|D(G(z))|]^2 with D the probability, and what it is made of.

    0: the discriminator separates perfectly; 0.5: its probability is one half everywhere. It is small when the
    discriminator wins, so it does not rank generators. Scores of reals (n,) and of samples (m,) give `age`;
    `age_mean_square`, with E[|.|^2] in place of E[|.|]^2; `prob_real` = E_x D(x); `prob_fake` = E_z D(G(z)).
    """
    on_real, on_fake = probability(real, kind, centre), probability(fake, kind, centre)
    return {
        "age": float((1 - on_real).mean() ** 2 + on_fake.mean() ** 2),
        "age_mean_square": float(np.square(1 - on_real).mean() + np.square(on_fake).mean()),
        "prob_real": float(on_real.mean()),
        "prob_fake": float(on_fake.mean()),
    }


AGE = Metric(
    needs="trained discriminator",
    numbers=(
        Number("age", "AGE", "discriminator", None,
                "Average generalisation error of the training’s own discriminator: small where it wins, so it ranks "
                "no generators.", ends=(0, 0.5),
                terminal=("AGE", "of the discriminator: 0.5 for chance, 0 where it is always right")),
        Number("age_mean_square", "AGE, mean of squares", "discriminator", None,
                "Another reading of the same formula.", ends=(0, 0.5), minor=True),
        Number("age_raw", "AGE, not centred", "discriminator", None,
                "By scores without centring, whose zero may mean nothing.", minor=True),
        Number("prob_real", "Probability for reals", "discriminator", None,
                "The mean probability that the training’s discriminator gives real images.", ends=(0, 1), minor=True),
        Number("prob_fake", "Probability for samples", "discriminator", None,
                "The mean probability that it gives samples.", ends=(0, 1), minor=True),
        Number("score_real", "Score of reals", "discriminator", None,
                "Its mean score of real images, before it becomes a probability.", minor=True),
        Number("score_fake", "Score of samples", "discriminator", None,
                "Its mean score of samples, before it becomes a probability.", minor=True),
    ),
)  # fmt: skip
