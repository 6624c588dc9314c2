"""Settings of the preprocess stage."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.settings import Names, Settings

_MAX_SHARD_BYTES: Final = 512 * 2**20


class PreprocessSettings(Settings):
    """How photographs are cropped, resized, packed and assigned to classes."""

    size: int = Field(default=64, ge=8, le=1024, description="Side of the packed images, in pixels, 8 to 1024.")
    crop: Annotated[int, Field(ge=8, le=65536)] | Literal["none"] = Field(
        default=178,
        description="Side of the centre crop before resizing, in pixels of the photograph; papers use 178, 148 and 108 "
        "on CelebA, and numbers from different crops cannot be compared. Photographs smaller than the crop are "
        "rejected. none: the largest centred square, so that a square photograph is resized whole; those smaller than "
        "`size` are rejected. Nothing is enlarged. A JPEG of more than 80 megapixels is decoded at half its width "
        "and height: the crop shows the same part of it, from half as many pixels, of which there must be `size`.",
    )
    filter: Literal["box", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear",
        description="Pillow's resize filter, always antialiased. Decode, crop 178 and resize to 64 cost 0.25-0.30 ms "
        "(box), 0.30 (bilinear), 0.42 (bicubic), 0.54 (lanczos) an image on one core.",
    )
    background: str = Field(
        default="#ffffff",
        pattern="^#[0-9a-fA-F]{6}$",
        description="The colour behind transparent pixels, #rrggbb; applied before resizing.",
    )
    condition_on: Names = Field(
        default=[],
        max_length=8,
        description="Attributes whose combinations are the classes, at most 8; label stands for the labels of a "
        "folder. Empty: one class. In --params also as Male+Smiling.",
    )
    min_class_images: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Images of the train split that a class needs; the images of smaller classes are left out, and the "
        "classes listed. 0: every class must have one.",
    )
    shard_images: int = Field(
        default=4096,
        ge=1,
        le=1_000_000_000,
        description="Images in one shard file; fewer if a shard would exceed 512 MiB (from 210 pixels on).",
    )
    workers: int | None = Field(
        default=None, ge=1, le=1024, description="Processes that decode photographs; null: one per CPU core."
    )

    @model_validator(mode="after")
    def _no_attribute_twice(self) -> Self:
        if len(set(self.condition_on)) < len(self.condition_on):
            raise ValueError(f"condition_on names an attribute twice: {self.condition_on}; name each once")
        return self

    @model_validator(mode="after")
    def _nothing_is_enlarged(self) -> Self:
        if self.crop != "none" and self.crop < self.size:
            raise ValueError(
                f"crop {self.crop} is smaller than size {self.size}, and nothing is enlarged: "
                f"give a crop of {self.size} at least, or none, or a smaller size"
            )
        return self

    @property
    def images_per_shard(self) -> int:
        """`shard_images`, or as many as fit in 512 MiB."""
        return min(self.shard_images, _MAX_SHARD_BYTES // (self.size * self.size * 3))
