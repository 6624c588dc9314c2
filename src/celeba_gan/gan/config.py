"""Settings of training: one typed model per component, a line per field with its unit and range.

A choice is a `name` plus one sub-model per variant, so that an environment which changes the name need not know the
other variant's fields.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from celeba_gan.gan.network_settings import NetworkError, NetworkSettings, Settings

__all__ = ["NetworkError", "NetworkSettings"]  # part of these settings, so importable from here too


class LatentSettings(Settings):
    """The noise z that the generator turns into an image."""

    size: int = Field(128, ge=1, le=4096, description="numbers per latent vector")
    distribution: Literal["normal", "uniform"] = Field("normal", description="standard normal, or uniform in [-1, 1]")


class ObjectiveSettings(Settings):
    """The pair of losses."""

    name: Literal["wgan", "minimax"] = Field("wgan", description="Wasserstein, or the original saturating minimax")


class GradientPenaltySettings(Settings):
    """Gradient penalty of WGAN-GP (Gulrajani et al. 2017, equation 3)."""

    weight: float = Field(10.0, gt=0, description="lambda")
    target: float = Field(1.0, ge=0, description="gradient norm that costs nothing")


class PenaltySettings(Settings):
    """What is added to the discriminator's loss."""

    name: Literal["gradient_penalty", "none"] = "gradient_penalty"
    gradient_penalty: GradientPenaltySettings = GradientPenaltySettings()


class AdamSettings(Settings):
    """Adam (Kingma and Ba 2015)."""

    learning_rate: float = Field(4e-4, gt=0, lt=1, description="step size")
    beta1: float = Field(0.0, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.9, ge=0, lt=1, description="decay of the second moment")


class EMASettings(Settings):
    """Exponential moving average of the generator's weights: the network that is kept and measured."""

    half_life_kimg: float = Field(5.0, gt=0, description="thousand images after which a weight counts half")
    ramp_up: float = Field(0.05, gt=0, le=1, description="the half-life never exceeds this share of the images so far")


class GridSettings(Settings):
    """The sample grid of every tick."""

    rows: int = Field(6, ge=1, le=32, description="rows of samples")
    columns: int = Field(10, ge=1, le=32, description="samples in a row")
    refresh_every: int = Field(0, ge=0, description="generator updates after which the noise is drawn anew; 0: never")


class TrainSettings(Settings):
    """Everything that training may be told."""

    seed: int = Field(0, description="decides every random draw")
    resume: bool = Field(True, description="carry on from the saved state; false sets the old results aside")
    kimg: float = Field(gt=0, description="length: thousand images shown to the discriminator")
    tick_kimg: float = Field(gt=0, description="thousand images between two saved states")
    rows_per_tick: int = Field(4, ge=1, le=1000, description="metric rows per tick, each a mean over its share")
    batch_size: int = Field(ge=1, le=65536, description="images per discriminator step")
    n_critic: int = Field(5, ge=1, le=100, description="discriminator steps per generator step")
    random_crop: int | None = Field(
        None, ge=1, description="side in pixels of the square cut at random from each image; none: whole images"
    )
    mirror: bool = Field(True, description="show each image mirrored with probability one half")
    data: Literal["auto", "stream", "resident"] = Field(
        "auto",
        description="stream images from disk, or keep them all in the device's memory; "
        "auto: keep them on a GPU where they take at most half of its free memory",
    )
    network: NetworkSettings = NetworkSettings()
    latent: LatentSettings = LatentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    penalty: PenaltySettings = PenaltySettings()
    generator_optimizer: AdamSettings = AdamSettings()
    discriminator_optimizer: AdamSettings = AdamSettings()
    ema: EMASettings = EMASettings()
    grid: GridSettings = GridSettings()
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else MPS, else CPU")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the hardware computes it"
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads; none: those of the resumed state, else OMP_NUM_THREADS or all cores"
    )

    @model_validator(mode="after")
    def _tick_fits(self) -> Self:
        if self.tick_kimg * 1000 < self.images_per_iteration:
            raise ValueError(
                f"tick_kimg {self.tick_kimg:g} is shorter than one iteration, "
                f"batch_size x n_critic = {self.images_per_iteration} images; "
                f"give at least {self.images_per_iteration / 1000:g}"
            )
        return self

    @model_validator(mode="after")
    def _critic_is_bounded(self) -> Self:
        if self.objective.name == "wgan" and self.penalty.name == "none":
            raise ValueError(
                "objective wgan needs penalty gradient_penalty: nothing else here keeps the critic's slope bounded, "
                "and without a bound its loss has no minimum"
            )
        return self

    @property
    def images_per_iteration(self) -> int:
        """Images shown to the discriminator in one iteration (`n_critic` discriminator steps, one generator step)."""
        return self.batch_size * self.n_critic

    def network_size(self, packed: int) -> int:
        """Height and width in pixels of the images that the networks see, given those of the packed images.

        Raises:
            NetworkError: The random crop is larger than the packed images, or the network does not exist at this size.
        """
        if self.random_crop is None:
            self.network.check_size(packed)
            return packed
        if self.random_crop > packed:
            raise NetworkError(
                f"train.random_crop is {self.random_crop} pixels, the packed images have {packed}; "
                f"give at most {packed}, or a larger preprocess.size"
            )
        self.network.check_size(self.random_crop, "train.random_crop")
        return self.random_crop

    def identity(self) -> dict[str, Any]:
        """The settings that make two trainings the same run; the rest may change between a stop and a resume."""
        same = {"seed", "batch_size", "n_critic", "random_crop", "mirror", "latent"}
        shared = self.model_dump(mode="json", include=same)
        return {**shared, **{part: _chosen(getattr(self, part)) for part in ("network", "objective", "penalty")}}


def _chosen(choice: Settings) -> dict[str, Any]:
    """A choice's name with the sub-model of that name alone: the other variants' fields have no effect."""
    values = choice.model_dump(mode="json")
    return {key: value for key, value in values.items() if key in ("name", values["name"])}
