"""The controller of adaptive augmentation: it measures how far the discriminator overfits its training images."""

import torch
from torch import Tensor

from celeba_gan.gan.augment.config import AdaSettings, AugmentSettings


class AdaController:
    """How strong augmentation is, and what steers it; both live on the device and belong to the training state.

    For `none`, `diffaugment` and an `ada` of fixed p the strength never changes.
    """

    def __init__(self, settings: AugmentSettings, has_zero: bool, device: str = "cpu") -> None:
        self.settings = settings.ada
        self.has_zero = has_zero
        self.steered = settings.name == "ada" and settings.ada.p is None
        start = {"none": 0.0, "diffaugment": settings.diffaugment.p, "ada": settings.ada.p or 0.0}[settings.name]
        self.p = torch.tensor(start, device=device)
        self.sums = torch.zeros(3, 2, device=device)

    @property
    def needs_valid(self) -> bool:
        """Whether `score_sums` needs scores of the valid split's images, augmented like the others."""
        return self.steered and not self.has_zero

    def is_due(self, iteration: int) -> bool:
        """Whether p moves after so many iterations: every `interval`."""
        return self.steered and iteration % self.settings.interval == 0

    def advance(self, sums: Tensor, due: bool, images: int, broken: Tensor) -> None:
        """Adds an iteration's scores and, where that `is_due`, moves p. The host waits for nothing.

        `sums` are those of `score_sums`, added up over the iteration; `images` are seen in each. Nothing moves once the
        scalar `broken` is above 0.
        """
        if not self.steered:
            return
        held = broken > 0
        total = torch.where(held, self.sums, self.sums + sums)
        if due:
            moved = moved_p(self.p, total, self.settings.interval * images, self.settings, self.has_zero)
            self.p.copy_(torch.where(held, self.p, moved))
            total = torch.where(held, self.sums, 0.0)
        self.sums.copy_(total)

    def state_dict(self) -> dict[str, Tensor]:
        """What a snapshot saves, live."""
        return {"augment.p": self.p, "augment.sums": self.sums}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Resumes from a snapshot's tensors; others are ignored."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(tensors[name])


def score_sums(train: Tensor, fake: Tensor, valid: Tensor | None, has_zero: bool) -> Tensor:
    """Sums and counts of what steers p: float32 (3, 2), rows train, fake and valid.

    Each is scores (n,) of augmented images; where the objective `has_zero`, their signs are summed.
    """
    rows = []
    for scores in (train, fake, train[:0] if valid is None else valid):
        values = scores.detach().float()
        rows.append(torch.stack([(values.sign() if has_zero else values).sum(), torch.ones_like(values).sum()]))
    return torch.stack(rows)


def overfitting(sums: Tensor, has_zero: bool) -> Tensor:
    """How far the discriminator overfits its training images, from 0 to 1 (Karras et al. 2020, equation 1).

    E sign D(train) where the objective has a zero, otherwise (E D(train) - E D(valid)) / (E D(train) - E D(fake)). The
    latter counts as 0 while the discriminator ranks fakes above its training images: it has learnt nothing yet. NaN
    without scores.
    """
    train, fake, valid = (sums[:, 0] / sums[:, 1]).unbind()
    if has_zero:
        return train
    gap = train - fake
    return torch.where(gap <= 0, torch.where(valid.isnan(), valid, 0.0), (train - valid) / gap)


def moved_p(p: Tensor, sums: Tensor, images: int, settings: AdaSettings, has_zero: bool) -> Tensor:
    """The next p: up by images / speed where overfitting exceeds the target, else down, within [0, limit].

    Without scores, p stays.
    """
    target = settings.target if settings.target is not None else 0.6 if has_zero else 0.5
    direction = (overfitting(sums, has_zero) - target).sign().nan_to_num(0.0)
    return (p + direction * (images / (settings.speed_kimg * 1000))).clamp(0, settings.limit)
