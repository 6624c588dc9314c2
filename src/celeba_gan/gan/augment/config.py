"""Settings of augmentation: what is done to the images before the discriminator sees them, and how often."""

from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.settings import Settings
from celeba_gan.foundation.wording import counted
from celeba_gan.gan.schedule import MOST_KIMG

FEW_IMAGES: Final = 1000
"""For training, below which a GAN soon memorises them."""


class DiffAugmentSettings(Settings):
    """DiffAugment (Zhao et al. 2020): every image recoloured, shifted, partly covered; the paper's ranges."""

    p: float = Field(1.0, ge=0, le=1, description="probability of each transformation, per image")
    brightness: bool = Field(True, description="add a number from [-0.5, 0.5]")
    saturation: bool = Field(True, description="scale the distance from the pixel's grey by [0, 2]")
    contrast: bool = Field(True, description="scale the distance from the image's mean by [0.5, 1.5]")
    translation: float = Field(
        0.125, ge=0, le=1, description="largest shift as a share of the side, grey coming in; 0: none"
    )
    cutout: float = Field(0.5, ge=0, le=1, description="side of the grey square as a share of the image's; 0: none")


class AdaSettings(Settings):
    """Adaptive augmentation (Karras et al. 2020, appendix B): geometry and colour, of a steered probability."""

    p: float | None = Field(
        None, ge=0, le=1, description="fixed probability of each transformation, per image; null: steered"
    )
    target: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="overfitting to steer towards; null: 0.6 where the objective has a zero, else 0.5, as in the paper",
    )
    speed_kimg: float = Field(500.0, gt=0, le=MOST_KIMG, description="thousand images in which p can move by 1")
    interval: int = Field(4, ge=1, le=1_000_000, description="iterations between two moves of p")
    limit: float = Field(0.8, gt=0, le=1, description="p never exceeds it; above 0.8 the generator learns to augment")
    x_flip: bool = Field(True, description="mirror")
    rotate90: bool = Field(True, description="turn by a multiple of 90 degrees")
    translation: float = Field(
        0.125, ge=0, le=1, description="largest shift by whole pixels, as a share of the side; 0: none"
    )
    scaling: float = Field(0.2, ge=0, le=1, description="standard deviation of log2 of the scale; 0: none")
    rotation: float = Field(180.0, ge=0, le=180, description="largest angle in degrees; 0: none")
    anisotropic_scaling: float = Field(
        0.2, ge=0, le=1, description="standard deviation of log2 of the width's scale, the height's inverse; 0: none"
    )
    fractional_translation: float = Field(
        0.125, ge=0, le=1, description="standard deviation of a shift, as a share of the side; 0: none"
    )
    brightness: float = Field(0.2, ge=0, le=2, description="standard deviation of the number added; 0: none")
    contrast: float = Field(0.5, ge=0, le=2, description="standard deviation of log2 of the contrast; 0: none")
    luma_flip: bool = Field(True, description="turn light into dark and keep the hue")
    hue: float = Field(180.0, ge=0, le=180, description="largest turn of the colours in degrees; 0: none")
    saturation: float = Field(1.0, ge=0, le=3, description="standard deviation of log2 of the saturation; 0: none")
    cutout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="side of a grey square as a share of the image's; 0: none, as in the paper's choice",
    )

    @model_validator(mode="after")
    def _something_is_done(self) -> Self:
        if self.p is None and not self.transformations():
            raise ValueError("every transformation is switched off, so p steers nothing; switch one on, or give p: 0")
        return self

    def transformations(self) -> list[str]:
        """Names of the transformations that are switched on."""
        steering = {"p", "target", "speed_kimg", "interval", "limit"}
        return [name for name, value in self.model_dump(exclude=steering).items() if value]


class AugmentSettings(Settings):
    """What is done to reals and fakes alike before the discriminator sees them."""

    name: Literal["none", "diffaugment", "ada"] = Field(
        "none", description="nothing, DiffAugment, or adaptive augmentation; for sets of less than about 30,000 images"
    )
    diffaugment: DiffAugmentSettings = Field(default_factory=DiffAugmentSettings)
    ada: AdaSettings = Field(default_factory=AdaSettings)

    def identity(self) -> dict[str, Any]:
        """The name with the variant of that name alone: the other one's fields have no effect."""
        values = self.model_dump(mode="json")
        return {key: value for key, value in values.items() if key in ("name", values["name"])}

    def find_too_few(self, train_images: int) -> str | None:
        """Why a training without augmentation will memorise so few images, and what to set; None if it need not."""
        if self.name != "none" or train_images >= FEW_IMAGES:
            return None
        return (
            f"The train split has only {counted(train_images, 'image')}. With fewer than about {FEW_IMAGES:,} and "
            "without augmentation a GAN soon memorises them. Start a new training with --params "
            "train.augment.name=diffaugment, in Python augment={'name': 'diffaugment'} (or ada, which is slower)"
        )
