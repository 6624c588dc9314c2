"""Settings of the generate stage."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from celeba_gan.foundation.settings import Names, Settings, split_names
from celeba_gan.gan.sampling.control_config import DirectionSettings, Paths, ProjectionSettings

Formats = Annotated[list[Literal["gif", "webp", "mp4"]], BeforeValidator(split_names), Field(min_length=1)]


class FilmSettings(Settings):
    """The films of the training's growth and of a walk through samples."""

    formats: Formats = Field(
        default=["gif"], description="Of the files, as in gif+mp4: gif, webp, or mp4, which needs the extra film."
    )
    size: int = Field(default=256, ge=64, le=2048, description="Width of the walk's film, in pixels.")
    samples: int = Field(default=6, ge=2, le=16, description="Samples that the walk goes through and comes back from.")
    frames: int = Field(default=10, ge=1, le=240, description="Frames of the walk from one sample to the next.")
    frame_ms: int = Field(default=100, ge=10, le=10_000, description="Milliseconds that a frame of the walk is shown.")

    @model_validator(mode="after")
    def _samples_can_be_seen(self) -> Self:
        if self.size < 24 * self.samples:
            raise ValueError(
                f"size {self.size} is too narrow for {self.samples} samples beside each other: give "
                f"{24 * self.samples} at least, or {self.size // 24} samples at most"
            )
        return self


class GenerateSettings(Settings):
    """What the generate stage makes."""

    renamed: ClassVar[dict[str, str]] = {"which": "checkpoint", "images": "count"}

    count: int = Field(default=64, ge=1, le=100_000_000, description="Samples that are saved.")
    format: Literal["png", "webp", "zip", "packed"] = Field(
        default="png",
        description="Of the samples: a PNG or a lossless WebP file for each, one zip of PNG files, or NumPy arrays.",
    )
    truncation: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Below 1, samples come nearer to their mean: more typical, and fewer different ones.",
    )
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
    film: FilmSettings = Field(default_factory=FilmSettings)
    directions: DirectionSettings = Field(default_factory=DirectionSettings)
    project: Paths = Field(
        default=[],
        description="Photographs to project into the latent space: files or folders; framed as the training images.",
    )
    projection: ProjectionSettings = Field(default_factory=ProjectionSettings)
