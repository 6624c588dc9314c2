"""Settings of evaluation."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluateSettings(BaseModel):
    """How the generator is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, description="decides latents, halves and projections")
    images: int = Field(5000, ge=2, description="at most this many reals of the test split, and as many samples")
    swd_projections: int = Field(
        512, ge=1, le=65536, description="random directions of the sliced Wasserstein distance"
    )
    swd_patches: int = Field(64, ge=1, le=4096, description="7x7 patches taken from each image at each scale")
