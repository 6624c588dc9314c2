"""Which objectives, penalties, bounds and networks do not work together, and why. Whatever is not here works."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol

from celeba_gan.gan.losses.config import ObjectiveSettings, PenaltySettings
from celeba_gan.gan.networks.config import NetworkSettings


class Choices(Protocol):
    """The training settings that can contradict each other."""

    @property
    def objective(self) -> ObjectiveSettings:
        """The pair of losses."""

    @property
    def penalty(self) -> PenaltySettings:
        """What is added to the discriminator's loss."""

    @property
    def network(self) -> NetworkSettings:
        """The pair of networks."""

    @property
    def weight_clip(self) -> float | None:
        """Largest absolute weight of the discriminator."""

    @property
    def batch_size(self) -> int:
        """Images per discriminator step."""

    @property
    def micro_batch(self) -> int | None:
        """Images computed at a time."""


@dataclass(frozen=True)
class Refusal:
    """One kind of combination that cannot be trained."""

    what: str
    """The parameters that meet."""
    why: str
    way_out: str
    applies: Callable[[Choices, Set[str]], bool]
    """Whether it is this one, given the settings and which of the two networks have batch norm."""


def check_combination(settings: Choices, batch_norm: Set[str]) -> None:
    """Refuses what cannot be trained.

    Args:
        settings: Of the training.
        batch_norm: Which of `generator` and `discriminator` have batch norm.

    Raises:
        ValueError: The message names what does not go together, why, and what to do.
    """
    found = [refusal for refusal in REFUSED if refusal.applies(settings, batch_norm)]
    if found:
        raise ValueError("; ".join(f"{refusal.what}: {refusal.why}; {refusal.way_out}" for refusal in found))


def _unbounded(settings: Choices, batch_norm: Set[str]) -> bool:
    penalty = settings.penalty
    bounds = [
        penalty.gradient_penalty.weight > 0,
        penalty.r1.weight > 0,
        settings.weight_clip,
        settings.network.spectral_norm,
    ]
    return settings.objective.needs_bound and not any(bounds)


def _bound_ends(settings: Choices, batch_norm: Set[str]) -> bool:
    schedule = settings.penalty.schedule
    lasting = bool(settings.weight_clip) or settings.network.spectral_norm or _unbounded(settings, batch_norm)
    return settings.objective.needs_bound and not lasting and schedule.name != "constant" and schedule.final == 0


REFUSED = (
    Refusal(
        "objective wgan without a bound on the critic's slope",
        "without one its loss has no minimum",
        "give train.penalty.gradient_penalty.weight=10, train.penalty.r1.weight, train.weight_clip=0.01 or "
        "train.network.spectral_norm=true",
        _unbounded,
    ),
    Refusal(
        "objective wgan with a penalty.schedule that ends at 0",
        "then nothing bounds the critic's slope any more, and its loss has no minimum",
        "give train.penalty.schedule.final above 0, train.weight_clip=0.01 or train.network.spectral_norm=true",
        _bound_ends,
    ),
    Refusal(
        "weight_clip with penalty.gradient_penalty",
        "clipped weights keep the slope far below the norm that the penalty asks for",
        "give one of them: train.weight_clip=null, or train.penalty.gradient_penalty.weight=0",
        lambda settings, _: settings.weight_clip is not None and settings.penalty.gradient_penalty.weight > 0,
    ),
    Refusal(
        "weight_clip with network.spectral_norm",
        "spectral norm divides the weights by their size, so that clipping them bounds nothing",
        "give one of them: train.weight_clip=null, or train.network.spectral_norm=false",
        lambda settings, _: settings.weight_clip is not None and settings.network.spectral_norm,
    ),
    Refusal(
        "a gradient penalty, r1 or r2 with batch norm in the discriminator",
        "they are meant per image, batch norm mixes the images of a batch, and torch.func cannot differentiate a "
        "network that writes its statistics",
        "choose a discriminator without batch norm, or give these penalties weight 0 (train.penalty.r1.weight=0)",
        lambda settings, batch_norm: "discriminator" in batch_norm and bool(settings.penalty.of_gradients),
    ),
    Refusal(
        "micro_batch below batch_size with batch norm",
        "its statistics, and so the result, would depend on the split",
        "leave train.micro_batch out, or choose another train.network.name than article",
        lambda settings, batch_norm: (
            bool(batch_norm) and (settings.micro_batch or settings.batch_size) < settings.batch_size
        ),
    ),
)
