"""Ways between latents: along great circles, and around closed loops."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

_PARALLEL: Final = 1e-6  # sine of an angle below which the great circle is computed as a straight line


def slerp(start: Tensor, end: Tensor, fractions: Tensor | Sequence[float]) -> Tensor:
    """Latents between two latents, by spherical interpolation (Shoemake 1985; for latents of GANs White 2016).

    A latent is a direction and a norm. The direction moves along the great circle at constant speed, the norm changes
    linearly, so that what lies between two drawn latents has the norm of drawn latents. Straight lines pass through
    latents too short for the generator to have seen in training.

    Args:
        start: (..., latent size), floating point.
        end: As `start`.
        fractions: (n,), of the way: 0 is the start, 1 the end. Outside of [0, 1] the great circle goes on.

    Returns:
        (..., n, latent size), of the start's dtype. Between opposite directions, which many great circles join, one is
        chosen by the start alone. A latent of norm 0 has no direction and takes the other's.

    Raises:
        ValueError: The shapes differ, or a latent has a single number, so that there is no circle.
    """
    if start.shape != end.shape or start.ndim == 0 or start.shape[-1] < 2:
        raise ValueError(
            f"slerp takes two latents of one shape with at least 2 numbers, not {tuple(start.shape)} and "
            f"{tuple(end.shape)}"
        )
    t = torch.as_tensor(fractions, dtype=torch.float64, device=start.device)[:, None]
    (u, of_start), (v, of_end) = _polar(start.double()), _polar(end.double())
    u, v = torch.where(of_start > 0, u, v), torch.where(of_end > 0, v, u)
    cosine = (u * v).sum(dim=-1, keepdim=True)
    rest = v - cosine * u  # what of the end's direction is perpendicular to the start's
    sine = rest.norm(dim=-1, keepdim=True)
    opposite = (sine < _PARALLEL) & (cosine < 0)
    across = torch.where(opposite, _perpendicular(u), rest / sine.clamp_min(torch.finfo().tiny))
    angle = torch.atan2(sine, cosine)[..., None, :]
    turned = torch.cos(t * angle) * u[..., None, :] + torch.sin(t * angle) * across[..., None, :]
    straight = torch.lerp(u[..., None, :], v[..., None, :], t)
    parallel = ((sine < _PARALLEL) & (cosine >= 0))[..., None, :]
    direction = torch.where(parallel, straight, turned)
    length = torch.lerp(of_start[..., None, :], of_end[..., None, :], t)
    return (direction * length).to(start.dtype)


def walk(latents: Tensor, steps_per_leg: int) -> Tensor:
    """A closed loop through latents, leg by leg with `slerp`: (k, latent size) to (k * steps_per_leg, latent size).

    Row i * steps_per_leg is latent i. The last leg leads back to the first latent, which is not repeated, so that an
    animation of the loop has no pause where it closes.

    Raises:
        ValueError: There is no latent, or `steps_per_leg` is below 1.
    """
    if latents.ndim != 2 or not len(latents) or steps_per_leg < 1:
        raise ValueError(
            f"A walk needs latents of shape (k, latent size) with k of at least 1, and at least 1 step per leg; got "
            f"{tuple(latents.shape)} and {steps_per_leg}"
        )
    fractions = torch.arange(steps_per_leg, dtype=torch.float64) / steps_per_leg
    return slerp(latents, latents.roll(-1, dims=0), fractions).flatten(0, 1)


def _polar(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Directions, zero where the norm is, and norms."""
    norm = latent.norm(dim=-1, keepdim=True)
    return latent / norm.clamp_min(torch.finfo().tiny), norm


def _perpendicular(unit: Tensor) -> Tensor:
    """A unit vector perpendicular to each unit vector: the axis that it uses least, without its share of it."""
    axis = torch.zeros_like(unit).scatter_(-1, unit.abs().argmin(dim=-1, keepdim=True), 1)
    rest = axis - (axis * unit).sum(dim=-1, keepdim=True) * unit
    unit_rest: Tensor = rest / rest.norm(dim=-1, keepdim=True)
    return unit_rest
