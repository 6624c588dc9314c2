"""Metrics answer to images, and to sets of images, that are spoilt more and more."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance
from celeba_gan.evaluation.metrics.manifolds import compare_manifolds
from celeba_gan.evaluation.metrics.ms_ssim import similarity_within
from celeba_gan.evaluation.metrics.originality import measure_originality
from celeba_gan.evaluation.metrics.swd import sliced_wasserstein

Images = NDArray[np.uint8]
COUNT, SIZE = 400, 32


def faces(seed: int, count: int = COUNT, *, hats: float = 0.5) -> Images:
    """Discs of skin colour on backgrounds with a slope of light; the share `hats`, the first ones, wear a dark hat."""
    random = np.random.default_rng(seed)
    line = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = line[None, None, :], line[None, :, None]
    slopes = random.uniform(-30, 30, (2, count, 1, 1))
    light = slopes[0] * x + slopes[1] * y
    place, size = random.uniform(-0.25, 0.25, (2, count, 1, 1)), random.uniform(0.4, 0.7, (count, 1, 1))
    disc = (x - place[0]) ** 2 + (y - place[1]) ** 2 < size**2
    hat = disc & (y < place[1] - size / 4) & (np.arange(count) < hats * count)[:, None, None]
    skin, ground = random.uniform([150, 110, 80], [220, 160, 130], (count, 3)), random.uniform(50, 170, (count, 3))
    colours = [(some[:, None, None]) for some in (ground, skin, skin * 0.3)]
    images = np.where(disc[..., None], np.where(hat[..., None], colours[2], colours[1]), colours[0])
    return np.rint(images + light[..., None]).clip(0, 255).astype(np.uint8)


REALS, OTHERS = faces(0), faces(1)


def blur(strength: float) -> Images:
    """Mixed with the means of 5x5 pixels."""
    sharp = torch.from_numpy(OTHERS).permute(0, 3, 1, 2).float()
    soft = F.avg_pool2d(F.pad(sharp, (2,) * 4, mode="replicate"), 5, 1)
    return (sharp + strength * (soft - sharp)).round().byte().permute(0, 2, 3, 1).numpy()


def noise(strength: float) -> Images:
    added = np.random.default_rng(2).normal(0, 60 * strength, OTHERS.shape)
    return np.rint(OTHERS + added).clip(0, 255).astype(np.uint8)


def colour_shift(strength: float) -> Images:
    """Colours turned about grey, up to a sixth of the circle."""
    angle = strength * np.pi / 3
    cross = np.cross(np.eye(3), np.full(3, 3**-0.5))
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) / 3
    return np.rint(OTHERS @ turn).clip(0, 255).astype(np.uint8)


def colour_cast(strength: float) -> Images:
    """More of one colour, less of another."""
    gains = np.array([1, 1 - 0.3 * strength, 1 - 0.6 * strength])
    return np.rint(OTHERS * gains).astype(np.uint8)


def contrast_loss(strength: float) -> Images:
    return np.rint(127.5 + (1 - 0.6 * strength) * (OTHERS - 127.5)).astype(np.uint8)


def mode_dropping(strength: float) -> Images:
    return faces(1, hats=0.5 * (1 - strength))


def collapse(strength: float) -> Images:
    """Ever fewer different ones, down to four, again and again."""
    random = np.random.default_rng(3)
    kept = random.permutation(COUNT)[: round(COUNT * (4 / COUNT) ** strength)]
    return OTHERS[random.permutation(np.resize(kept, COUNT))]


def foreign(strength: float) -> Images:
    """So many are noise."""
    images, count = OTHERS.copy(), round(strength * COUNT)
    images[:count] = np.random.default_rng(4).integers(0, 256, (count, SIZE, SIZE, 3))
    return images


def features(images: Images) -> NDArray[np.float32]:
    """Mean of each colour in each of 4x4 cells, and mean step between neighbours in each of 2x2: (n, 60)."""
    pixels = images / np.float32(64)
    means = pixels.reshape(len(images), 4, SIZE // 4, 4, SIZE // 4, 3).mean((2, 4))
    steps = np.abs(np.diff(pixels, axis=2, append=pixels[:, :, -1:]))
    steps = 32 * steps.reshape(len(images), 2, SIZE // 2, 2, SIZE // 2, 3).mean((2, 4))
    return np.concatenate([means.reshape(len(images), -1), steps.reshape(len(images), -1)], axis=1)


def swd(first: Images, second: Images) -> float:
    return sliced_wasserstein(first, second, projections=32, patches=8, seed=0)["swd"]


def frechet(first: Images, second: Images) -> float:
    return frechet_distance(Gaussian.of([features(first)]), Gaussian.of([features(second)]))


STRENGTHS = (0.0, 0.3, 0.6, 1.0)
Distance = Callable[[Images, Images], float]
Spoil = Callable[[float], Images]


@pytest.mark.parametrize("distance", [swd, frechet], ids=lambda f: f.__name__)
def test_a_set_is_at_distance_zero_from_itself(distance: Distance) -> None:
    assert distance(REALS, REALS) == pytest.approx(0, abs=1e-9)


SPOILS = (blur, noise, colour_shift, mode_dropping, collapse)


SLOW = ((swd, mode_dropping), (swd, colour_shift), (frechet, blur), (frechet, noise), (frechet, collapse))


@pytest.mark.parametrize(
    ("distance", "spoil"),
    [
        pytest.param(distance, spoil, marks=pytest.mark.slow if (distance, spoil) in SLOW else [])
        for distance in (swd, frechet)
        for spoil in SPOILS
    ],
    ids=lambda function: function.__name__,
)
def test_distances_grow_with_corruption(distance: Distance, spoil: Spoil) -> None:
    found = [distance(REALS, spoil(strength)) for strength in STRENGTHS]
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]


@pytest.mark.parametrize("spoil", [colour_cast, contrast_loss], ids=lambda f: f.__name__)
def test_brightness_of_single_colours_is_invisible_to_patches_normalised_per_set(spoil: Spoil) -> None:
    """The paper's definition: what scales a colour in all images alike is divided out. Features must see it."""
    assert swd(REALS, spoil(1.0)) == pytest.approx(swd(REALS, spoil(0.0)), rel=0.15)
    found = [frechet(REALS, spoil(strength)) for strength in STRENGTHS]
    assert found == sorted(found)
    assert found[-1] > 10 * found[0]


def test_similarity_rises_as_samples_collapse_and_falls_with_noise() -> None:
    collapsing, noisy = (
        [similarity_within(spoil(strength), 64, seed=0) for strength in (0.0, 0.7, 1.0)] for spoil in (collapse, noise)
    )
    assert collapsing == sorted(collapsing)
    assert collapsing[-1] > collapsing[0] + 0.1
    assert noisy == sorted(noisy, reverse=True)  # so it is no measure of quality


def test_precision_falls_by_the_share_of_foreign_images() -> None:
    found = [compare_manifolds(features(REALS), features(foreign(share))) for share in (0.0, 0.25, 0.5)]
    for manifolds, kept in zip(found, (1, 0.75, 0.5), strict=True):
        assert manifolds.precision == pytest.approx(kept * found[0].precision, abs=0.04)
        assert manifolds.density == pytest.approx(kept * found[0].density, abs=0.06)


@pytest.mark.parametrize("spoil", [mode_dropping, collapse], ids=lambda f: f.__name__)
def test_recall_and_coverage_fall_and_precision_stays_where_only_variety_is_lost(spoil: Spoil) -> None:
    found = [compare_manifolds(features(REALS), features(spoil(strength))) for strength in (0.0, 0.6, 1.0)]
    for name in ("recall", "coverage"):
        values = [getattr(manifolds, name) for manifolds in found]
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0] - 0.1
    assert found[-1].precision > found[0].precision - 0.15


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_copies_of_training_images_are_flagged_at_the_share_that_was_planted(share: float) -> None:
    train, samples = faces(5, 1000), OTHERS.copy()
    copied = round(share * COUNT)
    samples[:copied] = train[:copied]
    found = measure_originality(features(samples), [features(train)], features(REALS))
    assert found.memorised == pytest.approx(share, abs=0.03)
    assert found.repeated < 0.05


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_repeated_samples_are_flagged_at_the_share_that_was_planted(share: float) -> None:
    samples, copied = OTHERS.copy(), round(share * COUNT / 2)
    samples[:copied] = samples[-copied:]
    found = measure_originality(features(samples), [features(faces(5, 1000))], features(REALS))
    assert found.repeated == pytest.approx(share, abs=0.04)
    assert found.memorised < 0.05
