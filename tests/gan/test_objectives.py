"""Values and parameter gradients against textbook formulas with double backward, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.config import (
    GradientPenaltySettings,
    ObjectiveSettings,
    PenaltySettings,
)
from celeba_gan.gan.network_settings import DCGANSettings
from celeba_gan.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from celeba_gan.gan.objectives import OBJECTIVES, PENALTIES, GradientPenalty

BATCH, SIZE = 6, 16


@pytest.fixture
def discriminator() -> nn.Module:
    torch.manual_seed(0)
    return DCGANDiscriminator(DCGANSettings(width=4), SIZE).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    real = torch.rand(BATCH, 3, SIZE, SIZE, dtype=torch.float64) * 2 - 1
    return real, real.flip(2) * 0.5, torch.rand(BATCH, dtype=torch.float64)


def textbook_wgan(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return discriminator(fake).mean() - discriminator(real).mean()


def textbook_minimax(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    on_real, on_fake = torch.sigmoid(discriminator(real)), torch.sigmoid(discriminator(fake))
    return -(torch.log(on_real).mean() + torch.log(1 - on_fake).mean())


def textbook_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    mixed = torch.stack([e * r + (1 - e) * f for e, r, f in zip(epsilon, real, fake, strict=True)]).requires_grad_()
    (slopes,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
    norms = torch.stack([torch.sqrt((slope**2).sum()) for slope in slopes])
    return 10 * ((norms - 1) ** 2).mean()


@pytest.mark.parametrize("textbook", [textbook_wgan, textbook_minimax], ids=["wgan", "minimax"])
@pytest.mark.parametrize("penalised", [True, False], ids=["gradient_penalty", "none"])
def test_discriminator_gradients_equal_the_textbook_double_backward(
    discriminator: nn.Module,
    batch: tuple[Tensor, Tensor, Tensor],
    textbook: Callable[[nn.Module, Tensor, Tensor], Tensor],
    penalised: bool,
) -> None:
    real, fake, epsilon = batch
    name = textbook.__name__.removeprefix("textbook_")
    objective = OBJECTIVES[name](ObjectiveSettings(name=name))
    penalty = PENALTIES["gradient_penalty" if penalised else "none"](PenaltySettings())
    terms = objective.discriminator(discriminator, real, fake) | penalty(discriminator, real, fake, epsilon)
    ours = terms["loss"] + terms["penalty"] if penalised else terms["loss"]
    theirs = textbook(discriminator, real, fake)
    if penalised:
        theirs = theirs + textbook_penalty(discriminator, real, fake, epsilon)

    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(discriminator.parameters())
    for our, their in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)
    assert torch.equal(terms["score_real"], objective.discriminator(discriminator, real, fake)["score_real"])


@pytest.mark.parametrize("name", ["wgan", "minimax"])
def test_generator_gradients_equal_the_textbook(discriminator: nn.Module, name: str) -> None:
    generator = DCGANGenerator(DCGANSettings(width=4), 5, SIZE).double()
    latents = torch.randn(BATCH, 5, dtype=torch.float64)
    objective = OBJECTIVES[name](ObjectiveSettings(name=name))
    fake = generator(latents)
    ours = objective.generator(discriminator, fake, fake)["loss"]
    scores = discriminator(generator(latents))
    theirs = -scores.mean() if name == "wgan" else torch.log(1 - torch.sigmoid(scores)).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(generator.parameters())
    for our, their in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("target", [0.0, 1.0, 2.5])
def test_penalty_of_a_linear_critic_is_its_closed_form(target: float) -> None:
    weights = torch.randn(3 * SIZE * SIZE, dtype=torch.float64)
    penalty = GradientPenalty(GradientPenaltySettings(weight=3, target=target))
    real, fake = torch.randn(2, BATCH, 3, SIZE, SIZE, dtype=torch.float64)
    terms = penalty(lambda images: images.flatten(1) @ weights, real, fake, torch.rand(BATCH, dtype=torch.float64))
    norm = weights.norm()
    torch.testing.assert_close(terms["penalty"], 3 * (norm - target) ** 2)
    torch.testing.assert_close(terms["gradient_norm"], norm)


def test_penalty_takes_epsilon_and_norm_per_sample_and_the_mean_over_the_batch(
    discriminator: nn.Module, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    real, fake, epsilon = batch
    penalty = GradientPenalty(GradientPenaltySettings())
    whole = penalty(discriminator, real, fake, epsilon)["penalty"]
    alone = [
        penalty(discriminator, real[i : i + 1], fake[i : i + 1], epsilon[i : i + 1])["penalty"] for i in range(BATCH)
    ]
    torch.testing.assert_close(whole, torch.stack(alone).mean(), rtol=1e-10, atol=1e-12)
    assert len({round(float(value.detach()), 9) for value in alone}) == BATCH


def test_losses_are_computed_in_full_precision_under_autocast(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    real, fake, epsilon = (tensor.float() for tensor in batch)
    discriminator = DCGANDiscriminator(DCGANSettings(width=4), SIZE)
    objective = OBJECTIVES["wgan"](ObjectiveSettings())
    penalty = PENALTIES["gradient_penalty"](PenaltySettings())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert discriminator(real).dtype == torch.bfloat16
        terms = objective.discriminator(discriminator, real, fake) | penalty(discriminator, real, fake, epsilon)
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_bfloat16_points_the_same_way(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    real, fake, epsilon = (tensor.float() for tensor in batch)
    torch.manual_seed(3)
    discriminator = DCGANDiscriminator(DCGANSettings(width=8), SIZE)
    objective, penalty = OBJECTIVES["wgan"](ObjectiveSettings()), PENALTIES["gradient_penalty"](PenaltySettings())

    def gradient(enabled: bool) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            terms = objective.discriminator(discriminator, real, fake) | penalty(discriminator, real, fake, epsilon)
        gradients = torch.autograd.grad(terms["loss"] + terms["penalty"], list(discriminator.parameters()))
        return torch.cat([part.flatten() for part in gradients])

    assert torch.cosine_similarity(gradient(True), gradient(False), dim=0) > 0.99
