"""Settings of training: one typed model per component, a line per field with its unit and range.

A choice is a `name` plus one sub-model per variant, so that an environment which changes the name need not know the
other variant's fields.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.settings import Settings
from celeba_gan.gan.augment.config import AugmentSettings
from celeba_gan.gan.losses.combinations import check_combination
from celeba_gan.gan.losses.config import ObjectiveSettings, PenaltySettings
from celeba_gan.gan.networks.config import ConditionSettings, LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.schedule import ScheduleSettings


class AdamSettings(Settings):
    """Adam (Kingma and Ba 2015)."""

    learning_rate: float = Field(4e-4, gt=0, lt=1, description="step size")
    beta1: float = Field(0.0, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.9, ge=0, lt=1, description="decay of the second moment")
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="factor of the learning rate")


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
    resume_from: float | None = Field(
        None, ge=0, description="carry on from the kept state at this many thousand images, not from the newest"
    )
    init_from: str | None = Field(
        None,
        min_length=1,
        description="start a new training from these weights: an experiment's name, or the path of its folder, "
        "of a training state or of a generator; no say in a training that is carried on",
    )
    keep_states: int = Field(1, ge=1, le=10_000, description="how many of the last saved states stay on disk")
    keep_best: bool = Field(False, description="keep the state of the best measured tick, too")
    evaluate_every_kimg: float | None = Field(
        50.0,
        gt=0,
        description="thousand images after which the averaged generator is measured, at the tick that reaches them; "
        "none: never",
    )
    evaluate_images: int = Field(
        256, ge=2, le=65536, description="samples measured, against as many images of the valid split"
    )
    minimise: Literal["swd_valid"] = Field(
        "swd_valid", description="the measured value by which the best tick is chosen"
    )
    rows_per_tick: int = Field(4, ge=1, le=1000, description="metric rows per tick, each a mean over its share")
    batch_size: int = Field(ge=1, le=65536, description="images per discriminator step")
    micro_batch: int | None = Field(
        None, ge=1, description="images computed at a time, a divisor of batch_size, to save memory; none: all at once"
    )
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
    condition: ConditionSettings = ConditionSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    penalty: PenaltySettings = PenaltySettings()
    weight_clip: float | None = Field(
        None, gt=0, description="largest absolute value of a weight of the discriminator (WGAN: 0.01); none: no limit"
    )
    clip_gradient_norm: float | None = Field(
        None, gt=0, description="largest norm of each network's gradient; longer ones are scaled down; none: no limit"
    )
    augment: AugmentSettings = AugmentSettings()
    generator_optimizer: AdamSettings = AdamSettings()
    discriminator_optimizer: AdamSettings = AdamSettings()
    ema: EMASettings = EMASettings()
    grid: GridSettings = GridSettings()
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else MPS, else CPU")
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = Field(
        "auto",
        description="of the networks' arithmetic; auto: bfloat16 on a GPU that computes it, and on a CPU that does if "
        "it is faster in a trial at the first start; tf32: float32 whose products keep ten bits, CUDA only",
    )
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compile the losses with torch.compile; auto: on CUDA; where it fails, training runs without",
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
    def _has_a_state_to_carry_on(self) -> Self:
        if self.resume_from is not None and not self.resume:
            raise ValueError(
                f"resume_from {self.resume_from:g} carries on from a kept state, resume false starts anew; give one"
            )
        return self

    @model_validator(mode="after")
    def _best_is_measured(self) -> Self:
        if self.keep_best and self.evaluate_every_kimg is None:
            raise ValueError("keep_best needs evaluate_every_kimg: without a measurement no tick is the best")
        return self

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> Self:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}; "
                f"give one of {', '.join(str(n) for n in range(1, self.batch_size + 1) if self.batch_size % n == 0)}"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        check_combination(self, batch_norm={"generator"} if self.network.name == "article" else set())
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
        same = {"seed", "batch_size", "n_critic", "random_crop", "mirror", "latent", "objective", "weight_clip"}
        shared = self.model_dump(mode="json", include=same)
        return {
            **shared,
            "network": self.network.identity(),
            "penalty": self.penalty.identity(),
            "augment": self.augment.identity(),
        }
