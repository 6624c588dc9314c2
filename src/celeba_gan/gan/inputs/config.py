"""Settings of the inputs: batches of real images."""

from typing import Literal

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class SeedSettings(Settings):
    """What all draws have in common."""

    seed: int = Field(0, description="decides every random draw")


class InputSettings(SeedSettings):
    """Which real images the discriminator sees, and how."""

    batch_size: int = Field(ge=1, le=65536, description="images per discriminator step")
    random_crop: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="side in pixels of the square cut at random from each image; null: whole images",
    )
    mirror: bool = Field(True, description="show each image mirrored with probability one half")
    data: Literal["auto", "stream", "resident"] = Field(
        "auto",
        description="stream images from disk, or keep them all in the device's memory; "
        "auto: keep them on a GPU where they take at most half of its free memory",
    )
