"""Settings of the losses: the objective, and what is added to the discriminator's loss."""

from typing import Any, ClassVar

from pydantic import Field, field_validator

from celeba_gan.foundation.settings import Settings
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.schedule import LARGEST_WEIGHT, ScheduleSettings


class ObjectiveSettings(Settings):
    """The pair of losses."""

    name: str = Field(
        "wgan",
        description="minimax (the original saturating game), non_saturating, wgan (Wasserstein), lsgan (least "
        "squares), hinge, or rpgan (relativistic pairing)",
    )

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"there is no objective {name!r}; give one of {', '.join(OBJECTIVES)}")
        return name

    @property
    def needs_bound(self) -> bool:
        """Whether its loss has no minimum unless something bounds the discriminator's slope."""
        return OBJECTIVES[self.name].needs_bound


class GradientPenaltySettings(Settings):
    """Gradient penalty of WGAN-GP (Gulrajani et al. 2017, equation 3)."""

    weight: float = Field(10.0, ge=0, le=LARGEST_WEIGHT, description="lambda; 0: off")
    target: float = Field(1.0, ge=0, le=LARGEST_WEIGHT, description="gradient norm that costs nothing")
    one_sided: bool = Field(False, description="charge only norms above the target")


class WeightSettings(Settings):
    """A penalty that has only a weight."""

    weight: float = Field(0.0, ge=0, le=LARGEST_WEIGHT, description="0: off")


class PenaltySettings(Settings):
    """What is added to the discriminator's loss: any of these together, each off at weight 0."""

    renamed: ClassVar[dict[str, str]] = {"name": "gradient_penalty.weight, r1.weight, r2.weight or drift.weight"}

    gradient_penalty: GradientPenaltySettings = Field(default_factory=GradientPenaltySettings)
    r1: WeightSettings = Field(default_factory=WeightSettings, description="gamma of gamma/2 E|grad D(real)|^2")
    r2: WeightSettings = Field(default_factory=WeightSettings, description="gamma of gamma/2 E|grad D(fake)|^2")
    drift: WeightSettings = Field(default_factory=WeightSettings, description="epsilon of epsilon E D(real)^2")
    every: int = Field(
        1, ge=1, le=1024, description="discriminator steps from one penalised step to the next, which counts that often"
    )
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="factor of all these weights")

    @property
    def of_gradients(self) -> list[str]:
        """Names of the penalties with a weight that differentiate the discriminator by its images."""
        return [name for name in ("gradient_penalty", "r1", "r2") if getattr(self, name).weight > 0]

    def identity(self) -> dict[str, Any]:
        """The penalties that have a weight, without the schedule."""
        values = self.model_dump(mode="json", exclude={"schedule"})
        off = {name for name, value in values.items() if isinstance(value, dict) and value["weight"] == 0}
        return {name: {"weight": 0.0} if name in off else value for name, value in values.items()}
