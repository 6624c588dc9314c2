"""Projection finds what the generator made, measures what it says, and stays among drawn latents."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.sampling.control_config import ProjectionSettings
from celeba_gan.gan.sampling.projection import Projection, ProjectionError, project, pyramid
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.training.loop import train
from reports import Reports

QUICK = ProjectionSettings(steps=150, candidates=64, restarts=4)


@pytest.fixture(scope="module", params=[False, True], ids=["without labels", "with labels"])
def generator(request: pytest.FixtureRequest) -> TrainedGenerator:
    """A short training, so that images depend on their latents; of one latent distribution each."""
    from celeba_gan.gan.settings import TrainSettings

    condition = {"condition": {"name": "class"}} if request.param else {}
    latent = {"size": 8, "distribution": "uniform" if request.param else "normal"}
    settings = {"kimg": 1, "tick_kimg": 1, "batch_size": 8, "n_critic": 1, "latent": latent, "threads": 1, **condition}
    settings |= {"network": {"dcgan": {"width": 8}}, "precision": "float32", "grid": {"rows": 1, "columns": 1}}
    conditions = Conditions("class", ["Even", "Odd"], np.arange(100) % 2) if request.param else None
    *_, last = train(Pictures(), TrainSettings.model_validate(settings), conditions=conditions)
    return TrainedGenerator(last.networks.generator)


class Pictures:
    """Smooth random pictures."""

    size, digest = 16, "random"
    pixels = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 80), "valid": (80, 90), "test": (90, 100)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.pixels[indices]
        return found


def network() -> Callable[[Tensor], Tensor]:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Tanh(), nn.Conv2d(8, 8, 3, 2), nn.Flatten())
    return layers.requires_grad_(False)


def made(generator: TrainedGenerator, count: int) -> tuple[NDArray[np.uint8], Tensor]:
    latents, labels = generator.draw(count, seed=123)
    return generator.images(latents, labels), latents


@pytest.mark.parametrize("with_features", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_the_generator_made_is_found_again(generator: TrainedGenerator, with_features: bool) -> None:
    photographs, _ = made(generator, 6)
    found = project(generator, photographs, QUICK, 0, network() if with_features else None)
    rmse = np.array([one.error.rmse for one in found])
    starts = np.array([one.best_random.rmse for one in found])
    means = np.array([one.mean_sample.rmse for one in found])
    assert np.median(rmse) < 4  # grey levels
    assert np.median(rmse) < np.median(starts) / 3
    assert (rmse <= starts).all()
    assert np.median(starts) < np.median(means)
    assert all(one.steps == 150 for one in found)


def test_errors_are_those_of_the_images(generator: TrainedGenerator) -> None:
    photographs, features = Pictures.pixels[:3], network()
    found = project(generator, photographs, ProjectionSettings(steps=3, candidates=32, restarts=2), 0, features)
    latents, labels = generator.draw(32, 0)
    samples = generator.images(latents, labels)
    mean = samples.astype(float).mean(axis=0).round().astype(np.uint8)
    for one, photograph in zip(found, photographs, strict=True):
        again = generator.images(torch.tensor(one.latent)[None], torch.tensor(one.labels)[None])[0]
        assert np.array_equal(one.image, again)
        assert one.error.rmse == pytest.approx(rmse(again, photograph))
        assert one.error.features == pytest.approx(apart(features, again, photograph), rel=1e-4)
        assert one.mean_sample.rmse == pytest.approx(rmse(mean, photograph))
        assert one.mean_sample.features == pytest.approx(apart(features, mean, photograph), rel=1e-4)
        among = [(rmse(sample, photograph), apart(features, sample, photograph)) for sample in samples]
        assert any(
            one.best_random.rmse == pytest.approx(r) and one.best_random.features == pytest.approx(f, rel=1e-4)
            for r, f in among
        )


def rmse(image: NDArray[np.uint8], photograph: NDArray[np.uint8]) -> float:
    return float(np.sqrt(((image.astype(float) - photograph.astype(float)) ** 2).mean()))


def apart(features: Callable[[Tensor], Tensor], image: NDArray[np.uint8], photograph: NDArray[np.uint8]) -> float:
    pair = torch.from_numpy(np.stack([image, photograph])).permute(0, 3, 1, 2).float() / 127.5 - 1
    one, other = features(pair)
    return float((one - other).norm())


def test_the_best_random_latent_is_the_nearest_one_by_the_loss(generator: TrainedGenerator) -> None:
    photographs = Pictures.pixels[:4]
    found = project(generator, photographs, ProjectionSettings(steps=1, candidates=32, restarts=1), 0)
    samples = generator.images(*generator.draw(32, 0))
    targets, vectors = (
        pyramid(torch.from_numpy(some).permute(0, 3, 1, 2) / 127.5 - 1) for some in (photographs, samples)
    )
    nearest = torch.cdist(targets, vectors).argmin(dim=1)
    for one, row, photograph in zip(found, nearest, photographs, strict=True):
        assert one.best_random.rmse == pytest.approx(rmse(samples[row], photograph))
        assert one.best_random.features is None


def same(one: Projection, other: Projection, tolerance: float = 0) -> bool:
    return np.allclose(one.latent, other.latent, atol=tolerance) and np.array_equal(one.labels, other.labels)


def test_the_seed_decides_and_other_photographs_do_not(generator: TrainedGenerator) -> None:
    photographs, _ = made(generator, 3)
    settings = ProjectionSettings(steps=10, candidates=32, restarts=2)
    found, again, other = (project(generator, photographs, settings, seed) for seed in (0, 0, 1))
    assert all(same(*pair) for pair in zip(found, again, strict=True))
    assert not any(same(*pair) for pair in zip(found, other, strict=True))
    alone = project(generator, photographs[2:], settings, 0)
    assert same(found[2], alone[0], tolerance=1e-2)


def test_the_norm_stays_near_that_of_drawn_latents(generator: TrainedGenerator) -> None:
    drawn = float(generator.draw(4096, 0)[0].square().sum(dim=1).mean().sqrt())

    def norms(weight: float) -> NDArray[np.float64]:
        settings = ProjectionSettings(steps=100, candidates=16, restarts=1, norm_weight=weight)
        return np.array([np.linalg.norm(one.latent) for one in project(generator, Pictures.pixels[:8], settings, 0)])

    with_prior, without = np.abs(norms(1000) / drawn - 1), np.abs(norms(0) / drawn - 1)
    assert with_prior.max() < 0.1
    assert with_prior.mean() < without.mean() / 2


def test_named_labels_are_those_of_every_latent(generator: TrainedGenerator) -> None:
    settings = ProjectionSettings(steps=1, candidates=8, restarts=2)
    if generator.condition is None:
        assert project(generator, Pictures.pixels[:1], settings, 0)[0].labels.shape == (0,)
        return
    found = project(generator, Pictures.pixels[:2], settings, 0, labels=["Odd"])
    assert [one.labels.tolist() for one in found] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    "photographs",
    [np.zeros((1, 32, 32, 3), np.uint8), np.zeros((16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.float32)],
)
def test_photographs_of_another_size_are_refused(generator: TrainedGenerator, photographs: Any) -> None:
    with pytest.raises(ProjectionError, match=r"photographs are uint8 \(n, 16, 16, 3\), not (uint8|float32) \("):
        project(generator, photographs, QUICK, 0)
    assert project(generator, np.zeros((0, 16, 16, 3), np.uint8), QUICK, 0) == []


def test_distances_of_pyramids_are_means_over_box_averages() -> None:
    one, other = torch.randn(2, 1, 3, 16, 16)
    distance = (pyramid(one) - pyramid(other)).square().sum()
    off = (one - other)[0]
    levels = [off.unflatten(1, (side, -1)).unflatten(3, (side, -1)).mean(dim=(2, 4)) for side in (16, 8, 4)]
    assert float(distance) == pytest.approx(np.mean([float(level.square().mean()) for level in levels]), rel=1e-4)


def test_every_step_of_every_group_is_reported(generator: TrainedGenerator) -> None:
    reports, settings = Reports(), ProjectionSettings(steps=3, candidates=64, restarts=32)
    project(generator, made(generator, 5)[0], settings, 0, report=reports)  # two at once
    assert reports.parts == ["Projecting photographs"]
    assert [done for _, done, _ in reports.all] == list(range(1, 10))
