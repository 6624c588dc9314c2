"""Settings of the ingest stage."""

from typing import ClassVar

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class IngestSettings(Settings):
    """How many images `ingest` may reject, and how it splits images without CelebA's partition."""

    renamed: ClassVar[dict[str, str]] = {
        "valid_images": "valid_share, a share of the images (0.1), so that no image changes its split when others are "
        "added"
    }

    valid_share: float = Field(
        default=0.1,
        gt=0.0,
        le=0.4,
        description="Share of the images, in (0, 0.4], that is drawn for the valid split, and as many for the test "
        "split, if they are empty: about so many, since the name of each image decides. CelebA's own partition is "
        "used unchanged.",
    )
    max_rejected_fraction: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="The run stops if a larger fraction of the images found, in [0, 1], is rejected or unreadable.",
    )
    seed: int = Field(default=0, description="Seed of the split that is drawn if there is no partition file.")
