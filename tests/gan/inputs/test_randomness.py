import numpy as np
import torch

from celeba_gan.gan.inputs.randomness import ShuffledOrder, draw_latents, random_generator
from celeba_gan.gan.networks.config import LatentSettings


def test_draws_depend_on_seed_purpose_and_index_alone() -> None:
    def draw(seed: int, purpose: str, index: int) -> float:
        return float(torch.rand(1, generator=random_generator(seed, purpose, index)))

    assert draw(0, "epsilon", 3) == draw(0, "epsilon", 3)
    others = {draw(0, "epsilon", 3), draw(1, "epsilon", 3), draw(0, "mirror", 3), draw(0, "epsilon", 4)}
    assert len(others | {draw(0, "epsilon", 3 + (1 << 32)), draw(1 << 32, "epsilon", 3)}) == 6


def test_latents_have_the_promised_distributions() -> None:
    normal = draw_latents(LatentSettings(size=50), 2000, random_generator(0, "a", 0))
    uniform = draw_latents(LatentSettings(size=50, distribution="uniform"), 2000, random_generator(0, "a", 0))
    assert normal.shape == uniform.shape == (2000, 50)
    assert abs(float(normal.std()) - 1) < 0.01
    assert -1 <= float(uniform.min()) < -0.999
    assert 0.999 < float(uniform.max()) <= 1
    assert abs(float(uniform.mean())) < 0.01


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    order = ShuffledOrder(seed=5, length=17)
    epochs = [order.indices(epoch * 17, 17).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(17)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_order_is_the_same_however_it_is_read() -> None:
    whole = ShuffledOrder(seed=5, length=17).indices(0, 100).numpy()
    pieces = ShuffledOrder(seed=5, length=17)
    rng = np.random.default_rng(0)
    for start in rng.permutation(90):
        assert np.array_equal(pieces.indices(int(start), 10).numpy(), whole[start : start + 10])
