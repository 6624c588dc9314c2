"""Settings of the ingest stage."""

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class IngestSettings(Settings):
    """How many images `ingest` may reject, and how it splits images without CelebA's partition."""

    valid_images: int = Field(
        default=2000,
        ge=1,
        description="Images of the valid split, and as many of the test split, if there is no partition file; at most "
        "a tenth of the images each. CelebA's own partition is used unchanged.",
    )
    max_rejected_fraction: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="The run stops if a larger fraction of the images found, in [0, 1], is rejected or unreadable.",
    )
    seed: int = Field(default=0, description="Seed of the split that is drawn if there is no partition file.")
