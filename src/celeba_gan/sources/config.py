"""Settings of the ingest stage."""

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class IngestSettings(Settings):
    """What `ingest` may leave out, and how it splits images that come without CelebA's partition."""

    valid_images: int = Field(
        default=2000,
        ge=1,
        description="Images of the valid split, and as many of the test split, where no partition file is present; "
        "each takes at most a tenth of the images. CelebA's own partition, where present, is used as it is.",
    )
    max_rejected_fraction: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="Fraction of the images found, in [0, 1], that may be rejected or unreadable before the run stops.",
    )
    seed: int = Field(default=0, description="Seed of the split that is drawn where no partition file is present.")
