"""AGE, the average generalisation error by the discriminator's own probabilities."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def probability(scores: Scores, centre: float) -> Scores:
    """The probability of being real, sigmoid(D - centre): (n,) in [0, 1]."""
    result: Scores = torch.from_numpy(scores - centre).sigmoid().numpy()
    return result


def find_centre(kind: Literal["sigmoid", "centred_sigmoid"], real: Scores, fake: Scores) -> float:
    """The score that means "one half".

    A critic trained with a Wasserstein loss has no zero: a constant added to its scores changes no loss. Its zero is
    put midway between the mean scores of reals and fakes that are kept apart from those measured.

    Args:
        kind: `sigmoid` for objectives whose zero means one half; `centred_sigmoid` for critics.
        real: Scores of reals of the valid split.
        fake: Scores of as many fakes.
    """
    return 0.0 if kind == "sigmoid" else float(real.mean() + fake.mean()) / 2


def average_generalisation_error(real: Scores, fake: Scores, centre: float) -> dict[str, float]:
    """AGE = E_x[|D(x) - 1|]^2 + E_z[|D(G(z))|]^2 with D the probability, and what it is made of.

    0: the discriminator separates perfectly; 0.5: it says one half everywhere. It is small when the discriminator
    wins, so it ranks no generators by itself.

    Args:
        real: Scores of real images, (n,).
        fake: Scores of generated images, (m,).
        centre: The score that means one half.

    Returns:
        `age`; `age_mean_square`, with E[|.|^2] in place of E[|.|]^2; `prob_real` = E_x D(x); `prob_fake` = E_z D(G(z)).
    """
    on_real, on_fake = probability(real, centre), probability(fake, centre)
    return {
        "age": float((1 - on_real).mean() ** 2 + on_fake.mean() ** 2),
        "age_mean_square": float(np.square(1 - on_real).mean() + np.square(on_fake).mean()),
        "prob_real": float(on_real.mean()),
        "prob_fake": float(on_fake.mean()),
    }
