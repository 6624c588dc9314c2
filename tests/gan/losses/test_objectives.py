"""Values and parameter gradients against textbook formulas, in float64."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from critics import SIZE, gradients, image_batch, smooth_critic
from pydantic import ValidationError
from torch import Tensor, nn

from celeba_gan.gan.losses.config import ObjectiveSettings, PenaltySettings
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import Terms, make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.networks.config import DCGANSettings
from celeba_gan.gan.networks.dcgan import DCGANDiscriminator

Losses = Callable[[Tensor, Tensor], Tensor]
DISCRIMINATOR: dict[str, Losses] = {
    "minimax": lambda real, fake: -(torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean()),
    "non_saturating": lambda real, fake: (torch.log(1 + torch.exp(-real)) + torch.log(1 + torch.exp(fake))).mean(),
    "wgan": lambda real, fake: (fake - real).mean(),
    "lsgan": lambda real, fake: 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(),
    "hinge": lambda real, fake: -torch.minimum(real - 1, 0 * real).mean() - torch.minimum(-fake - 1, 0 * fake).mean(),
    "rpgan": lambda real, fake: torch.stack(
        [torch.log(1 + torch.exp(-(r - f))) for r, f in zip(real, fake, strict=True)]
    ).mean(),
}
GENERATOR: dict[str, Losses] = {
    "minimax": lambda real, fake: torch.log(1 - torch.sigmoid(fake)).mean(),
    "non_saturating": lambda real, fake: -torch.log(torch.sigmoid(fake)).mean(),
    "wgan": lambda real, fake: -fake.mean(),
    "lsgan": lambda real, fake: 0.5 * ((fake - 1) ** 2).mean(),
    "hinge": lambda real, fake: -fake.mean(),
    "rpgan": lambda real, fake: torch.stack(
        [torch.log(1 + torch.exp(-(f - r))) for r, f in zip(real, fake, strict=True)]
    ).mean(),
}


def assert_same_gradients(ours: Tensor, theirs: Tensor, parameters: list[Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for our, their in zip(gradients(ours, parameters), gradients(theirs, parameters), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)


def test_every_objective_has_a_textbook_and_a_setting() -> None:
    assert set(OBJECTIVES) == set(DISCRIMINATOR) == set(GENERATOR)
    for name, entry in OBJECTIVES.items():
        assert type(make_objective(ObjectiveSettings(name=name).name)).__name__ == entry.class_name
        assert ObjectiveSettings(name=name).needs_bound == (name == "wgan")
        assert name in str(ObjectiveSettings.model_fields["name"].description)


def test_an_unknown_objective_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"'wgan_gp'.*minimax, non_saturating, wgan, lsgan, hinge, rpgan"):
        ObjectiveSettings(name="wgan_gp")


def loss_of(name: str, critic: nn.Module, real: Tensor, fake: Tensor) -> Terms:
    loss = DiscriminatorLoss(make_objective(name), Penalty(PenaltySettings()))
    return loss.terms(critic, real, fake, torch.zeros(len(real)), penalised=False)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_discriminator_loss_equals_the_textbook(name: str) -> None:
    critic, (real, fake, _) = smooth_critic(), image_batch()
    terms = loss_of(name, critic, real, fake)
    theirs = DISCRIMINATOR[name](critic(real), critic(fake))
    assert_same_gradients(terms["loss"], theirs, list(critic.parameters()))
    torch.testing.assert_close(terms["on_real"], critic(real))
    torch.testing.assert_close(terms["on_fake"], critic(fake))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_generator_loss_equals_the_textbook(name: str) -> None:
    critic, (real, _, _) = smooth_critic(), image_batch()
    torch.manual_seed(2)
    generator = nn.Sequential(nn.Linear(5, 3 * SIZE * SIZE), nn.Tanh(), nn.Unflatten(1, (3, SIZE, SIZE))).double()
    latents = torch.randn(len(real), 5, dtype=torch.float64)
    ours = make_objective(name).generator(critic, real, generator(latents))["loss"]
    theirs = GENERATOR[name](critic(real), critic(generator(latents)))
    assert_same_gradients(ours, theirs, list(generator.parameters()))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_fall_as_each_network_gets_better(name: str) -> None:
    """The sign: higher scores for reals and lower for fakes are good for one, higher for fakes for the other."""
    objective = make_objective(name)
    scores = torch.linspace(0.3, 0.7, 5, dtype=torch.float64)
    nowhere = objective.discriminator_loss(scores, scores)
    assert objective.discriminator_loss(scores + 0.3, scores) < nowhere
    assert objective.discriminator_loss(scores, scores - 0.3) < nowhere
    assert objective.generator_loss(scores, scores + 0.3) < objective.generator_loss(scores, scores)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_are_means_that_do_not_depend_on_how_the_batch_is_split(name: str) -> None:
    objective, critic, (real, fake, _) = make_objective(name), smooth_critic(), image_batch()
    for step in (partial(loss_of, name), objective.generator):
        whole = step(critic, real, fake)["loss"]
        parts = [step(critic, r, f)["loss"] for r, f in zip(real.split(2), fake.split(2), strict=True)]
        assert_same_gradients(whole, torch.stack(parts).mean(), list(critic.parameters()))


@pytest.mark.parametrize(("name", "free"), [("wgan", True), ("rpgan", True), ("minimax", False), ("lsgan", False)])
def test_only_critics_whose_zero_means_nothing_are_centred(name: str, free: bool) -> None:
    objective, scores = make_objective(name), torch.randn(2, 5, dtype=torch.float64)
    shifted = objective.discriminator_loss(*(scores + 3)) - objective.discriminator_loss(*scores)
    assert (abs(float(shifted)) < 1e-12) == free == (objective.probability == "centred_sigmoid")


@pytest.mark.parametrize(
    ("name", "best"), [("minimax", 0.0), ("non_saturating", 0.0), ("lsgan", 0.5)], ids=lambda value: str(value)
)
def test_where_reals_and_fakes_look_alike_the_best_score_reads_one_half(name: str, best: float) -> None:
    """The score that minimises the loss if half of all such images are real."""
    score = torch.tensor([best], dtype=torch.float64, requires_grad=True)
    objective = make_objective(name)
    (slope,) = torch.autograd.grad(objective.discriminator_loss(score, score), score)
    assert abs(float(slope)) < 1e-12
    reads = score.clamp(0, 1) if objective.probability == "clip" else score.sigmoid()
    assert float(reads.detach()) == 0.5


def test_losses_are_computed_in_full_precision_under_autocast() -> None:
    discriminator, real, fake = DCGANDiscriminator(DCGANSettings(width=4), 16), *torch.rand(2, 4, 3, 16, 16)
    penalty = Penalty(PenaltySettings.model_validate({name: {"weight": 1} for name in ("r1", "r2", "drift")}))
    for objective in map(make_objective, OBJECTIVES):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert discriminator.layers[0](real).dtype == torch.bfloat16
            terms = DiscriminatorLoss(objective, penalty).terms(discriminator, real, fake, torch.rand(4), True)
            terms |= {"generator": objective.generator(discriminator, real, fake)["loss"]}
        assert {term.dtype for term in terms.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["wgan", "rpgan"])
def test_bfloat16_points_the_same_way(name: str) -> None:
    torch.manual_seed(3)
    discriminator = DCGANDiscriminator(DCGANSettings(width=8), 16)
    real, fake = torch.rand(2, 6, 3, 16, 16) * 2 - 1
    epsilon = torch.rand(6)
    loss = DiscriminatorLoss(make_objective(name), Penalty(PenaltySettings()))

    def gradient(enabled: bool) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            terms = loss.terms(discriminator, real, fake, epsilon, penalised=True)
        parts = torch.autograd.grad(terms["loss"] + terms["penalty"], list(discriminator.parameters()))
        return torch.cat([part.flatten() for part in parts])

    assert torch.cosine_similarity(gradient(True), gradient(False), dim=0) > 0.99
