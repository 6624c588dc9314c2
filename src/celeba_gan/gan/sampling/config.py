"""Settings of the generate stage."""

from typing import ClassVar, Literal

from pydantic import Field

from celeba_gan.foundation.settings import Names, Settings
from celeba_gan.gan.sampling.control_config import DirectionSettings, Paths, ProjectionSettings


class GenerateSettings(Settings):
    """What the generate stage makes."""

    renamed: ClassVar[dict[str, str]] = {"which": "checkpoint"}

    images: int = Field(default=64, ge=1, le=1_000_000, description="Samples saved as PNG.")
    checkpoint: Literal["last", "best"] = Field(
        default="last", description="The generator of the last tick, or of the one with the lowest swd_absolute_valid."
    )
    labels: Names = Field(
        default=[],
        description="Of a generator that was trained with labels: those of every sample, as in "
        "Male+Smiling, or the name of one class; empty: all of them, as frequent as among the training images.",
    )
    seed: int = Field(default=0, ge=0, description="Decides the latents.")
    grid_rows: int = Field(default=6, ge=1, le=64, description="Rows of the sample grid.")
    grid_columns: int = Field(default=10, ge=1, le=64, description="Samples in a row of the grid.")
    directions: DirectionSettings = DirectionSettings()
    project: Paths = Field(
        default=[],
        description="Photographs to project into the latent space: files or folders; framed as the training images.",
    )
    projection: ProjectionSettings = ProjectionSettings()
