"""Training learns: it comes near the images, it finds their modes, and with any sign turned round it does neither."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from celeba_gan.gan.losses.objectives import Objective, Terms, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training import steps
from celeba_gan.gan.training.loop import TrainingError, train

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
from mode_images import Judge, ModeImages, Verdict

REPOSITORY = Path(__file__).parents[3]
SIZE = 16
NONE: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
KINDS: dict[str, dict[str, Any]] = {
    "wgan": {"penalty": {"gradient_penalty": {"weight": 10}}, "n_critic": 2},
    "non_saturating": {"penalty": {**NONE, "r1": {"weight": 1}}},
    "rpgan": {"penalty": {**NONE, "r1": {"weight": 1}, "r2": {"weight": 1}}},
    "hinge": {"penalty": NONE, "network": {"dcgan": {"width": 8}, "spectral_norm": True}, "learning_rate": 1e-3},
    "lsgan": {"penalty": NONE, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(ModeImages(SIZE, 2000, seed=1))


@pytest.fixture(scope="module")
def few_modes() -> ModeImages:
    """Four shapes in three hues."""
    return ModeImages(SIZE, 2000, shapes=4, hues=3)


def settings_of(objective: str, kimg: float, **changes: Any) -> TrainSettings:
    values = KINDS[objective] | changes
    adam = {"learning_rate": values.pop("learning_rate", 2e-3)}
    common: dict[str, Any] = {
        "objective": {"name": objective},
        "kimg": kimg,
        "tick_kimg": kimg,
        "batch_size": 16,
        "n_critic": 1,
        "mirror": False,
        "latent": {"size": 16},
        "network": {"dcgan": {"width": 8}},
        "generator_optimizer": adam,
        "discriminator_optimizer": adam,
        "ema": {"half_life_kimg": 0.5},
        "grid": {"rows": 1, "columns": 1},
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
    }
    return TrainSettings.model_validate(common | values)


def samples_before_and_after(images: ModeImages, settings: TrainSettings) -> list[NDArray[np.uint8]]:
    """1,000 samples of the averaged generator each; of the last tick that is whole, where training breaks off."""
    samples = []
    try:
        for tick in train(images, settings):
            samples.append(TrainedGenerator(tick.networks.generator).sample(1000, seed=1))
    except TrainingError:
        samples.append(samples[-1])
    first, *_, last = samples
    return [first, last]


def coarse(images: NDArray[np.uint8]) -> Tensor:
    """Images (n, side, side, 3) at 4x4 pixels: (n, 48), from 0 to 2."""
    cell = images.shape[1] // 4
    return torch.from_numpy(images.reshape(-1, 4, cell, 4, cell, 3).mean(axis=(2, 4)) / 127.5).flatten(1)


def spread(images: NDArray[np.uint8]) -> float:
    """Mean distance of two of the images at 4x4 pixels."""
    return float(torch.cdist(coarse(images), coarse(images)).mean())


def energy_distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two sets of images at 4x4 pixels (Székely and Rizzo 2013)."""
    between = float(torch.cdist(coarse(first), coarse(second)).mean())
    return 2 * between - spread(first) - spread(second)


def learns(images: ModeImages, settings: TrainSettings) -> bool:
    """Whether training leaves less than a quarter of the samples' distance from other images of the same modes."""
    held_out = ModeImages(SIZE, 1000, seed=2, shapes=images.shapes, hues=images.hues).pixels
    before, after = (energy_distance(samples, held_out) for samples in samples_before_and_after(images, settings))
    print(f"energy distance {before:.3f} before, {after:.3f} after training")
    return after < before / 4


def negated(objective: Objective, loss: str) -> Objective:
    good: Callable[[Tensor, Tensor], Tensor] = getattr(objective, loss)
    setattr(objective, loss, lambda real, fake: -good(real, fake))
    return objective


class NegatedPenalty(Penalty):
    def of_slopes(self, *given: Any) -> tuple[Terms, Terms]:
        penalties, norms = super().of_slopes(*given)
        return {name: -value for name, value in penalties.items()}, norms


@pytest.mark.slow
@pytest.mark.parametrize("objective", KINDS)
def test_training_comes_near_the_images(few_modes: ModeImages, objective: str) -> None:
    assert learns(few_modes, settings_of(objective, kimg=3))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["generator_loss", "discriminator_loss"])
@pytest.mark.parametrize("objective", KINDS)
def test_it_does_not_where_the_sign_of_a_loss_is_wrong(
    few_modes: ModeImages, monkeypatch: pytest.MonkeyPatch, objective: str, loss: str
) -> None:
    monkeypatch.setattr(steps, "make_objective", lambda name: negated(make_objective(name), loss))
    assert not learns(few_modes, settings_of(objective, kimg=3))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["wgan", "non_saturating", "rpgan"])
def test_it_does_not_where_the_sign_of_the_penalty_is_wrong(
    few_modes: ModeImages, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    monkeypatch.setattr(steps, "Penalty", NegatedPenalty)
    assert not learns(few_modes, settings_of(objective, kimg=3))


def article(**changes: Any) -> TrainSettings:
    """The environment's training with narrow widths."""
    base, own = (OmegaConf.load(REPOSITORY / "conf" / name / "parameters.yml") for name in ("base", "article"))
    narrow = {
        "batch_size": 16,
        "kimg": 16,
        "tick_kimg": 16,
        "network": {"article": {"width": 64, "discriminator_width": 8}},
        "grid": {"rows": 1, "columns": 1},
        "device": "cpu",
        "precision": "float32",
    }
    values = OmegaConf.to_container(OmegaConf.merge(base, own)["train"])
    return TrainSettings.model_validate(OmegaConf.to_container(OmegaConf.merge(values, narrow, changes)))


@pytest.mark.slow
def test_the_articles_pair_learns_and_does_not_with_the_losses_of_its_text() -> None:
    """WGAN-GP brings its samples near the images, as different from each other; with minimax they are all alike."""
    images = ModeImages(112, 500, shapes=4, hues=3)
    held_out = ModeImages(112, 1000, seed=2, shapes=4, hues=3).pixels
    minimax = article(objective={"name": "minimax"}, penalty=NONE, kimg=4, tick_kimg=4)
    for settings, learnt in ((article(), True), (minimax, False)):
        before, after = samples_before_and_after(images, settings)
        near = energy_distance(after, held_out) < energy_distance(before, held_out) / 4
        differ = spread(after) > spread(held_out) / 2
        print(energy_distance(before, held_out), energy_distance(after, held_out), spread(after), spread(held_out))
        assert (near and differ) == learnt


@pytest.mark.slow
def test_most_of_a_hundred_modes_are_found(judge: Judge) -> None:
    settings = settings_of("rpgan", kimg=16, network={"dcgan": {"width": 16}}, latent={"size": 32})
    before, after = (judge(samples) for samples in samples_before_and_after(ModeImages(SIZE, 10000), settings))
    assert before.covered == 0
    assert after.covered >= 50
    assert after.divergence < 1


def test_the_judge_knows_every_mode_in_images_it_never_saw(judge: Judge) -> None:
    images = ModeImages(SIZE, 1000, seed=3)
    found = judge.modes(images.pixels)
    assert np.array_equal(found[found >= 0], images.modes[found >= 0])
    verdict = judge(images.pixels)
    assert verdict.quality > 0.99
    assert verdict.covered == 100
    assert verdict.divergence < 0.1  # chance alone: 99 / (2 x 1000)


def junk_images() -> dict[str, NDArray[np.uint8]]:
    """500 images of no mode, of every kind."""
    rng = np.random.default_rng(0)
    reals = ModeImages(SIZE, 500, seed=4).pixels
    two = np.maximum(reals, reals[:, ::-1])
    return {
        "noise": rng.integers(0, 256, reals.shape, dtype=np.uint8),
        "one colour": np.repeat(np.repeat(reals[:, 4:5, 4:5], SIZE, axis=1), SIZE, axis=2),
        "shapes in grey": np.repeat(reals[..., :1], 3, axis=3),
        "negatives": 255 - reals,
        "noisy": np.clip(reals + rng.normal(0, 50, reals.shape), 0, 255).astype(np.uint8),
        "faint": reals // 5 + np.uint8(60),
        "four discs": np.maximum(two, two[:, :, ::-1])[ModeImages(SIZE, 500, seed=4).modes < 40],
    }


JUNK = junk_images()


@pytest.mark.parametrize("kind", JUNK)
def test_the_judge_is_not_fooled_by_junk(judge: Judge, kind: str) -> None:
    assert judge(JUNK[kind]).quality < 0.05


def test_the_judge_refuses_hues_between_those_of_the_modes(judge: Judge) -> None:
    images = ModeImages(SIZE, 1000, seed=5, hues=20)
    shape, hue = np.divmod(images.modes, 20)
    found = judge.modes(images.pixels)
    assert (found[hue % 2 == 1] == -1).all()
    assert (found == shape * 10 + hue // 2)[hue % 2 == 0].mean() > 0.99


def test_verdicts_are_their_definitions() -> None:
    fair = Verdict(np.full(4, 25), judged=100)
    assert (fair.covered, fair.divergence, fair.quality) == (4, 0, 1)
    half = Verdict(np.array([50, 30, 2, 0]), judged=100)  # the third has less than a tenth of its fair share
    shares = np.array([50, 30, 2]) / 82
    assert (half.covered, half.quality) == (2, 0.82)
    assert half.divergence == pytest.approx(float((shares * np.log(shares * 4)).sum()))
    assert Verdict(np.zeros(4, np.int64), judged=100).divergence == pytest.approx(np.log(4))
