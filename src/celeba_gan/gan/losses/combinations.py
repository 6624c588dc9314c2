"""Which objectives, penalties, bounds and networks do not work together, and why. Whatever is not here works."""

from collections.abc import Callable, Set
from dataclasses import dataclass

from celeba_gan.gan.losses.config import ObjectiveSettings, PenaltySettings
from celeba_gan.gan.networks.config import NetworkSettings


@dataclass(frozen=True)
class Choices:
    """The training settings that can contradict each other."""

    objective: ObjectiveSettings
    penalty: PenaltySettings
    network: NetworkSettings
    weight_clip: float | None
    split: bool  # whether batches are computed in parts
    batch_norm: Set[str]  # which of `generator` and `discriminator` have batch norm


@dataclass(frozen=True)
class Refusal:
    """One kind of combination that cannot be trained."""

    what: str  # the parameters that meet
    why: str
    way_out: str
    applies: Callable[[Choices], bool]


def check_combination(chosen: Choices) -> None:
    """Raises ValueError for what cannot be trained, naming what does not go together, why, and what to do."""
    found = [refusal for refusal in REFUSED if refusal.applies(chosen)]
    if found:
        raise ValueError("; ".join(f"{refusal.what}: {refusal.why}; {refusal.way_out}" for refusal in found))


def _bounded_by_penalty(chosen: Choices) -> bool:
    return chosen.penalty.gradient_penalty.weight > 0 or chosen.penalty.r1.weight > 0


def _bounded_otherwise(chosen: Choices) -> bool:
    return chosen.weight_clip is not None or chosen.network.spectral_norm


def _unbounded(chosen: Choices) -> bool:
    return chosen.objective.needs_bound and not (_bounded_by_penalty(chosen) or _bounded_otherwise(chosen))


def _bound_ends(chosen: Choices) -> bool:
    if not chosen.objective.needs_bound or not _bounded_by_penalty(chosen) or _bounded_otherwise(chosen):
        return False
    return chosen.penalty.schedule.name != "constant" and chosen.penalty.schedule.final == 0


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
        "clipped weights keep the slope far below the norm that the penalty aims at",
        "give one of them: train.weight_clip=null, or train.penalty.gradient_penalty.weight=0",
        lambda chosen: chosen.weight_clip is not None and chosen.penalty.gradient_penalty.weight > 0,
    ),
    Refusal(
        "weight_clip with network.spectral_norm",
        "spectral norm divides the weights by their size, so that clipping them bounds nothing",
        "give one of them: train.weight_clip=null, or train.network.spectral_norm=false",
        lambda chosen: chosen.weight_clip is not None and chosen.network.spectral_norm,
    ),
    Refusal(
        "a gradient penalty, r1 or r2 with batch norm in the discriminator",
        "they are meant per image, batch norm mixes the images of a batch, and torch.func cannot differentiate a "
        "network that writes its statistics",
        "choose a discriminator without batch norm, or give these penalties weight 0 (train.penalty.r1.weight=0)",
        lambda chosen: "discriminator" in chosen.batch_norm and bool(chosen.penalty.of_gradients),
    ),
    Refusal(
        "micro_batch below batch_size with batch norm",
        "its statistics, and so the result, would depend on the split",
        "leave train.micro_batch out, or choose another train.network.name than article",
        lambda chosen: chosen.split and bool(chosen.batch_norm),
    ),
)
