"""Small discriminators at 8x8 for tests, in float64."""

import torch
from torch import Tensor, nn

SIZE = 8


class SmoothCritic(nn.Module):
    """Two convolutions with softplus between: twice differentiable everywhere, and with a bias on the score."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1), nn.Softplus(), nn.Conv2d(width, 1, 4), nn.Flatten(0)
        )

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores


def smooth_critic(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SmoothCritic().double()


def image_batch(count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Reals, fakes and epsilon."""
    generator = torch.Generator().manual_seed(1)
    real = torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64, generator=generator) * 2 - 1
    fake = torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64, generator=generator) - 0.5
    return real, fake, torch.rand(count, dtype=torch.float64, generator=generator)


def gradients(loss: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """Zeros where the loss does not depend on a parameter: a penalty alone tells nothing to the last bias."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
