"""Settings of the networks: which family, its widths, and the sizes at which it exists."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class NetworkError(ValueError):
    """The network cannot be built for these images; the message says for which it can."""


class Settings(BaseModel):
    """A frozen settings model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DCGANSettings(Settings):
    """DCGAN-style pair: strided convolutions; pixel norm in the generator, no norm in the discriminator."""

    width: int = Field(32, ge=4, le=1024, description="channels at full resolution; doubles with each halving")
    max_width: int = Field(512, ge=4, le=4096, description="upper limit of channels")


class ArticleSettings(Settings):
    """The article's pair at 112x112: batch norm in the generator, local response norm in the discriminator."""

    width: int = Field(1024, ge=16, le=4096, multiple_of=16, description="generator channels at 7x7")


class NetworkSettings(Settings):
    """Which pair of networks is trained."""

    name: Literal["dcgan", "article"] = "dcgan"
    dcgan: DCGANSettings = DCGANSettings()
    article: ArticleSettings = ArticleSettings()

    def check_size(self, size: int, setting: str = "preprocess.size") -> None:
        """Refuses image sizes, in pixels, at which the network does not exist.

        Args:
            size: Height and width.
            setting: The parameter that decides it.

        Raises:
            NetworkError: Says which sizes there are.
        """
        if self.name == "article" and size != 112:
            raise NetworkError(
                f"train.network.name: article works at 112x112 only, the images are {size}x{size}; "
                f"set {setting} to 112, or choose dcgan"
            )
        if self.name == "dcgan" and (size < 16 or size & (size - 1)):
            raise NetworkError(
                f"train.network.name: dcgan needs a size that is a power of two from 16, the images are {size}x{size}; "
                f"set {setting} to 32, 64 or 128, or choose another network"
            )
