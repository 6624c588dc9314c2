"""Settings of the networks: which family, its widths, and the sizes at which it exists."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from celeba_gan.foundation.settings import Names, Settings


class NetworkError(ValueError):
    """The network cannot be built for these images or labels; the message lists those it can be built for."""


class FamilySettings(Settings):
    """Settings of one family of networks, which the module `celeba_gan.gan.networks.<name>` builds.

    A new family is a subclass with a field of its name in `NetworkSettings`, and a module of that name with
    `generator(settings, latent_size, size, classes)` and `discriminator(settings, size, classes)`.
    """

    sizes: ClassVar[tuple[int, int | None]]
    """The smallest and the largest side in pixels (None: no limit); all between are powers of two."""
    mixes_samples: ClassVar[bool] = False  # whether a network has batch norm

    def identity(self) -> dict[str, Any]:
        """What makes two networks the same."""
        return self.model_dump(mode="json")


class DCGANSettings(FamilySettings):
    """DCGAN-style pair: strided convolutions; pixel norm in the generator, no norm in the discriminator."""

    sizes = (16, None)

    width: int = Field(32, ge=4, le=1024, description="channels at full resolution; doubles with each halving")
    max_width: int = Field(512, ge=4, le=4096, description="upper limit of channels")


class ArticleSettings(FamilySettings):
    """The article's pair at 112x112: batch norm in the generator, local response norm in the discriminator."""

    sizes = (112, 112)
    mixes_samples = True

    width: int = Field(1024, ge=16, le=4096, multiple_of=16, description="generator channels at 7x7")
    discriminator_width: int = Field(
        64, ge=4, le=1024, description="discriminator channels after the first convolution; doubles three times"
    )

    def identity(self) -> dict[str, Any]:
        """As in trainings from before the discriminator's width could be chosen, where it is what it was then."""
        values = super().identity()
        if self.discriminator_width == 64:
            del values["discriminator_width"]
        return values


class ResNetSettings(FamilySettings):
    """The residual pair of the WGAN-GP paper (Gulrajani et al. 2017, appendix), which has 64 and 512 channels."""

    sizes = (32, 256)

    width: int = Field(64, ge=4, le=1024, description="channels at full resolution; doubles with each halving")
    max_width: int = Field(512, ge=4, le=4096, description="upper limit of channels")
    generator_norm: Literal["pixel", "none"] = Field("pixel", description="before each ReLU of the generator")
    discriminator_norm: Literal["layer", "none"] = Field("layer", description="before each ReLU of the discriminator")


class R3Settings(FamilySettings):
    """R3GAN's pair (Huang et al. 2024), whose own sizes are width 384, max_width 768 at 64x64, and 96 at 256x256."""

    sizes = (32, 256)

    width: int = Field(64, ge=4, le=1024, description="channels at full resolution; doubles with each halving")
    max_width: int = Field(512, ge=4, le=4096, description="upper limit of channels")
    blocks: int = Field(2, ge=1, le=16, description="residual blocks per resolution")
    expansion: int = Field(2, ge=1, le=8, description="channels inside a block, as a multiple of those outside")
    group_size: int = Field(16, ge=1, le=1024, description="channels per group of the 3x3 convolution inside a block")

    @model_validator(mode="after")
    def _groups_are_whole(self) -> Self:
        for name in ("width", "max_width"):
            inside = getattr(self, name) * self.expansion
            if inside % self.group_size:
                raise ValueError(
                    f"group_size {self.group_size} does not divide {name} x expansion = {inside}; "
                    f"give a divisor of it, or another {name}"
                )
        return self


class NetworkSettings(Settings):
    """Which pair of networks is trained."""

    name: str = Field("dcgan", description="the family, one of the fields below")
    spectral_norm: bool = Field(
        False, description="divide every weight of the discriminator by its largest singular value"
    )
    dcgan: DCGANSettings = Field(default_factory=DCGANSettings)
    article: ArticleSettings = Field(default_factory=ArticleSettings)
    resnet: ResNetSettings = Field(default_factory=ResNetSettings)
    r3: R3Settings = Field(default_factory=R3Settings)

    @field_validator("name")
    @classmethod
    def _is_a_family(cls, name: str) -> str:
        names = [field for field in cls.model_fields if field not in ("name", "spectral_norm")]
        if name not in names:
            raise ValueError(f"there is no network {name!r}; give one of {', '.join(names)}")
        return name

    @property
    def family(self) -> FamilySettings:
        """The settings of the chosen family."""
        settings: FamilySettings = getattr(self, self.name)
        return settings

    def check_size(self, size: int, setting: str = "preprocess.size") -> None:
        """Raises NetworkError for a size in pixels, which `setting` sets, at which the network does not exist."""
        least, most = self.family.sizes
        if least == most != size:
            raise NetworkError(
                f"train.network.name: {self.name} works at {least}x{least} only, the images are {size}x{size}; "
                f"set {setting} to {least}, or choose dcgan"
            )
        if size < least or (most is not None and size > most) or (least != most and size & (size - 1)):
            sizes = f"from {least}" if most is None else f"from {least} to {most}"
            raise NetworkError(
                f"train.network.name: {self.name} needs a size that is a power of two {sizes}, the images are "
                f"{size}x{size}; set {setting} to 32, 64 or 128, or choose another network"
            )

    def identity(self) -> dict[str, Any]:
        """What makes two networks the same: other families' fields have no effect, nor spectral norm that is off."""
        norm = {"spectral_norm": True} if self.spectral_norm else {}
        return {"name": self.name, self.name: self.family.identity(), **norm}


class LatentSettings(Settings):
    """The noise z that the generator turns into an image."""

    size: int = Field(128, ge=1, le=4096, description="numbers per latent vector")
    distribution: Literal["normal", "uniform"] = Field("normal", description="standard normal, or uniform in [-1, 1]")

    @property
    def deviation(self) -> float:
        """The standard deviation of each number of a latent, and of a latent's projection on any unit vector."""
        return 3**-0.5 if self.distribution == "uniform" else 1.0


class ConditionSettings(Settings):
    """What the networks are conditioned on."""

    name: Literal["none", "class", "attributes"] = Field(
        "none",
        description="nothing; its class, one of those that preprocess.condition_on makes; or attributes, each 0 or 1",
    )
    attributes: Names = Field([], description="which, as in Male+Smiling; empty: all there are")
