"""Settings of what steers a generator: directions in its latent space, and photographs projected into it."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from celeba_gan.foundation.settings import Names, Settings


def _one_path(value: object) -> object:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else value


Paths = Annotated[list[str], BeforeValidator(_one_path)]
"""Several paths; on a command line one path, or several in brackets; empty: none."""


class DirectionSettings(Settings):
    """How directions in the latent space are found, and shown."""

    samples: int = Field(
        4096, ge=256, le=1_000_000, description="samples whose attributes are regressed on their latents"
    )
    held_out: float = Field(0.25, ge=0.05, le=0.5, description="share of the samples that directions are measured on")
    ridge: float = Field(0.01, gt=0, le=10, description="regularisation, as a multiple of the variance of the latents")
    least_share: float = Field(
        0.01, gt=0, lt=0.5, description="an attribute that fewer samples have, or lack, gets no direction"
    )
    strength: float = Field(
        3, gt=0, le=20, description="length of a move along a direction, in standard deviations of drawn latents"
    )
    effect_samples: int = Field(128, ge=16, le=100_000, description="samples that are moved to measure the effects")
    closed_form: int = Field(5, ge=0, le=4096, description="directions taken from the weights of the first layer")
    orthogonal_to: Names = Field(
        [], description="attributes, as in Male+Smiling: all other directions are made orthogonal to theirs"
    )
    rows: int = Field(16, ge=1, le=200, description="attribute directions in the picture, the best predicted first")
    columns: int = Field(7, ge=3, le=21, description="steps from -strength to +strength in the picture; odd")

    @field_validator("columns")
    @classmethod
    def _has_a_middle(cls, columns: int) -> int:
        if columns % 2 == 0:
            raise ValueError("give an odd number, so that the middle column is the face itself")
        return columns


class ProjectionSettings(Settings):
    """How photographs are projected into the latent space."""

    steps: int = Field(300, ge=1, le=100_000, description="steps of Adam")
    learning_rate: float = Field(0.2, gt=0, le=10, description="of Adam at its first step; it falls to 0 as a cosine")
    candidates: int = Field(1024, ge=1, le=1_000_000, description="random latents among which the starts are chosen")
    restarts: int = Field(4, ge=1, le=64, description="starts for each photograph; the best result is kept")
    feature_weight: float = Field(1, ge=0, le=1000, description="of the distance in features, beside that of pixels")
    norm_weight: float = Field(1, ge=0, le=1000, description="of the prior that keeps the norm that of drawn latents")
