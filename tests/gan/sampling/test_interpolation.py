"""Spherical interpolation: its closed form, its invariants, and where the great circle is not defined."""

import math
from itertools import pairwise

import pytest
import torch

from celeba_gan.gan.sampling.interpolation import slerp, walk

FRACTIONS = torch.linspace(0, 1, 11)


def test_a_quarter_circle_in_closed_form() -> None:
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    between = slerp(start, end, FRACTIONS).double()
    for t, latent in zip(FRACTIONS.tolist(), between, strict=True):
        length, angle = 2 + 2 * t, t * math.pi / 2
        expected = torch.tensor([length * math.cos(angle), length * math.sin(angle), 0.0], dtype=torch.float64)
        assert torch.allclose(latent, expected, atol=1e-6)


def test_speed_is_constant_and_the_norm_linear_in_many_dimensions() -> None:
    start, end = torch.randn(5, 64, dtype=torch.float64), 3 * torch.randn(5, 64, dtype=torch.float64)
    between = slerp(start, end, FRACTIONS)
    assert between.shape == (5, 11, 64)
    assert torch.allclose(between[:, 0], start)
    assert torch.allclose(between[:, -1], end)
    norms = between.norm(dim=2)
    expected = torch.lerp(start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True), FRACTIONS.double())
    assert torch.allclose(norms, expected)
    units = between / norms[:, :, None]
    angles = torch.arccos((units[:, :-1] * units[:, 1:]).sum(dim=2))
    assert torch.allclose(angles, angles[:, :1].expand_as(angles), atol=1e-6)
    straight = torch.lerp(start, end, 0.5)
    assert (straight.norm(dim=1) < norms[:, 5]).all()  # what the great circle is for


def test_the_way_back_is_the_same_way() -> None:
    start, end = torch.randn(8), torch.randn(8)
    assert torch.allclose(slerp(start, end, FRACTIONS), slerp(end, start, 1 - FRACTIONS), atol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-8, 1e-5, 1e-3])
def test_near_parallel_latents(distance: float) -> None:
    start = torch.randn(16, dtype=torch.float64)
    across = torch.zeros(16, dtype=torch.float64)
    across[0], across[1] = start[1], -start[0]
    end = 2 * (start + distance * across)
    between = slerp(start, end, FRACTIONS)
    straight = torch.stack([start * (1 + t) for t in FRACTIONS.double()])
    assert torch.isfinite(between).all()
    assert torch.allclose(between, straight, atol=2 * distance * float(start.norm()) + 1e-12)
    assert torch.allclose(between[-1], end, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-4])
def test_opposite_latents_go_around_and_not_through_the_origin(noise: float) -> None:
    start = torch.randn(16, dtype=torch.float64)
    end = -2 * start + noise * torch.randn(16, dtype=torch.float64)
    between = slerp(start, end, FRACTIONS)
    expected = torch.lerp(start.norm(), end.norm(), FRACTIONS.double())
    assert torch.allclose(between.norm(dim=1), expected)
    assert torch.allclose(between[0], start)
    assert torch.allclose(between[-1], end, atol=1e-5)
    units = between / between.norm(dim=1, keepdim=True)
    angles = torch.arccos((units[:-1] * units[1:]).sum(dim=1))
    assert torch.allclose(angles, torch.full_like(angles, math.pi / 10), atol=1e-3)
    assert torch.equal(between, slerp(start, end, FRACTIONS))


def test_a_latent_of_norm_zero_takes_the_other_direction() -> None:
    end = torch.randn(4)
    assert torch.allclose(slerp(torch.zeros(4), end, FRACTIONS), FRACTIONS[:, None] * end)
    assert torch.equal(slerp(torch.zeros(4), torch.zeros(4), FRACTIONS), torch.zeros(11, 4))


@pytest.mark.parametrize(("one", "other"), [((3,), (4,)), ((2, 4), (4,)), ((1,), (1,)), ((), ())])
def test_shapes_that_are_no_pair_of_latents(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="slerp takes two latents of one shape"):
        slerp(torch.ones(one), torch.ones(other), FRACTIONS)


def test_a_walk_passes_every_latent_and_closes() -> None:
    latents = torch.randn(3, 32)
    loop = walk(latents, 4)
    assert loop.shape == (12, 32)
    assert torch.allclose(loop[::4], latents, atol=1e-6)
    for leg in range(3):
        expected = slerp(latents[leg], latents[(leg + 1) % 3], [0.25, 0.5, 0.75])
        assert torch.allclose(loop[4 * leg + 1 : 4 * leg + 4], expected)
    jumps = [float((here - there).norm()) for here, there in pairwise([*loop, loop[0]])]
    assert max(jumps) < 1.5 * min(jumps)  # no jump where it closes


def test_a_walk_with_one_latent_or_one_step() -> None:
    latents = torch.randn(3, 8)
    assert torch.allclose(walk(latents, 1), latents, atol=1e-6)
    assert torch.allclose(walk(latents[:1], 3), latents[:1].expand(3, -1), atol=1e-6)


@pytest.mark.parametrize(("shape", "steps"), [((0, 4), 3), ((4,), 3), ((2, 4), 0)])
def test_walks_that_lead_nowhere(shape: tuple[int, ...], steps: int) -> None:
    with pytest.raises(ValueError, match="A walk needs latents"):
        walk(torch.ones(shape), steps)
