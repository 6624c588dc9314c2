"""Settings of features from a user's own file."""

from typing import Literal

from pydantic import Field, field_validator

from celeba_gan.foundation.settings import Settings

Scaling = Literal["signed", "unit", "bytes", "imagenet"]
"""What pixels are scaled to: -1 to 1, 0 to 1, 0 to 255, or 0 to 1 less ImageNet's means over its deviations."""

TAKEN = ("attributes", "inception")


class FeatureFileSettings(Settings):
    """An ONNX file whose features the distances are measured in too, and what it takes and gives."""

    path: str | None = Field(None, min_length=1, description="the file; null: no such features")
    name: str = Field(
        "custom",
        pattern=r"^[A-Za-z0-9_]+$",
        max_length=40,
        description="ends the names of the numbers measured with it: letters, digits, underscores",
    )
    size: int = Field(224, ge=1, le=4096, description="side of the images it takes, in pixels")
    resize: Literal["bicubic", "bilinear"] = Field(
        "bicubic", description="filter that brings images to that size, with antialiasing"
    )
    scaling: Scaling = Field("imagenet", description="of pixels: signed is -1 to 1, unit 0 to 1, bytes 0 to 255")
    output: str | None = Field(
        None, min_length=1, description="name of the output that is the features; null: the first"
    )
    batch_size: int = Field(32, ge=1, le=4096, description="images at a time; the numbers do not depend on it")

    @field_validator("name")
    @classmethod
    def _not_taken(cls, name: str) -> str:
        if name in TAKEN:
            raise ValueError(f"{name} names features of the project's own ({', '.join(TAKEN)}); choose another")
        return name
