"""Settings of training: one typed model per component, a line per field with its unit and range.

A choice is a `name` plus one sub-model per variant, so that an environment which changes the name need not know the
other variant's fields.
"""

from collections.abc import Set
from typing import Any, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.settings import Settings
from celeba_gan.gan.augment.config import AugmentSettings
from celeba_gan.gan.inputs.config import InputSettings, SeedSettings
from celeba_gan.gan.losses.combinations import Choices, check_combination
from celeba_gan.gan.losses.config import ObjectiveSettings, PenaltySettings
from celeba_gan.gan.networks.config import ConditionSettings, LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.runtime.config import RuntimeSettings
from celeba_gan.gan.schedule import LARGEST_WEIGHT, MOST_KIMG, ScheduleSettings


class AdamSettings(Settings):
    """Adam (Kingma and Ba 2015)."""

    learning_rate: float = Field(4e-4, gt=0, lt=1, description="step size")
    beta1: float = Field(0.0, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.9, ge=0, lt=1, description="decay of the second moment")
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="factor of the learning rate")


class EMASettings(Settings):
    """Exponential moving average of the generator's weights: the network that is kept and measured."""

    half_life_kimg: float = Field(
        5.0, gt=0, le=MOST_KIMG, description="thousand images after which a weight counts half"
    )
    ramp_up: float = Field(0.05, gt=0, le=1, description="the half-life never exceeds this share of the images so far")


class GridSettings(Settings):
    """The sample grid of every tick."""

    rows: int = Field(6, ge=1, le=32, description="rows of samples")
    columns: int = Field(10, ge=1, le=32, description="samples in a row")
    refresh_every: int = Field(
        0, ge=0, le=1_000_000_000, description="generator updates after which the noise is drawn anew; 0: never"
    )


class StepSettings(InputSettings):
    """What the steps of one iteration compute."""

    micro_batch: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="images computed at a time, a divisor of batch_size, to save memory; null: all at once",
    )
    n_critic: int = Field(5, ge=1, le=100, description="discriminator steps per generator step")
    objective: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
    penalty: PenaltySettings = Field(default_factory=PenaltySettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)

    @property
    def images_per_iteration(self) -> int:
        """Images seen by the discriminator in one iteration (`n_critic` discriminator steps, one generator step)."""
        return self.batch_size * self.n_critic


class PairSettings(SeedSettings):
    """Both networks, and how they are updated."""

    network: NetworkSettings = Field(default_factory=NetworkSettings)
    latent: LatentSettings = Field(default_factory=LatentSettings)
    weight_clip: float | None = Field(
        None,
        gt=0,
        le=LARGEST_WEIGHT,
        description="largest absolute value of a weight of the discriminator (WGAN: 0.01); null: no limit",
    )
    clip_gradient_norm: float | None = Field(
        None,
        gt=0,
        le=LARGEST_WEIGHT,
        description="largest norm of each network's gradient; longer ones are scaled down; null: no limit",
    )
    generator_optimizer: AdamSettings = Field(default_factory=AdamSettings)
    discriminator_optimizer: AdamSettings = Field(default_factory=AdamSettings)
    ema: EMASettings = Field(default_factory=EMASettings)


class TrainSettings(StepSettings, PairSettings, RuntimeSettings):
    """All settings of training."""

    resume: bool = Field(True, description="resume from the newest snapshot; false sets the old results aside")
    kimg: float = Field(gt=0, le=MOST_KIMG, description="length: thousand images seen by the discriminator")
    tick_kimg: float = Field(gt=0, le=MOST_KIMG, description="thousand images between two snapshots")
    resume_from: float | None = Field(
        None,
        ge=0,
        le=MOST_KIMG,
        description="resume from the snapshot at this many thousand images, not from the newest",
    )
    init_from: str | None = Field(
        None,
        min_length=1,
        description="start a new training from these weights: an experiment's name, the path of its folder, of a "
        "snapshot or of a generator, or an MLflow model's URI; ignored when a training is resumed",
    )
    keep_states: int = Field(
        2,
        ge=1,
        le=10_000,
        description="how many of the last snapshots stay on disk; with 1 there is none to resume from if the disk "
        "damages it",
    )
    keep_best: bool = Field(False, description="also keep the snapshot of the best tick")
    evaluate_every_kimg: float | None = Field(
        50.0,
        gt=0,
        le=MOST_KIMG,
        description="thousand images after which the averaged generator is measured, at the tick that reaches them; "
        "null: never",
    )
    evaluate_images: int = Field(
        256, ge=2, le=65536, description="samples measured, against as many images of the valid split"
    )
    rows_per_tick: int = Field(4, ge=1, le=1000, description="metric rows per tick, each a mean over its share")
    condition: ConditionSettings = Field(default_factory=ConditionSettings)
    grid: GridSettings = Field(default_factory=GridSettings)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.tick_kimg * 1000 < self.images_per_iteration:
            raise ValueError(
                f"tick_kimg {self.tick_kimg:g} is shorter than one iteration, "
                f"batch_size x n_critic = {self.images_per_iteration} images; "
                f"give at least {self.images_per_iteration / 1000:g}"
            )
        if self.resume_from is not None and not self.resume:
            raise ValueError(
                f"resume_from {self.resume_from:g} resumes from a snapshot, resume false starts anew; give one"
            )
        if self.keep_best and self.evaluate_every_kimg is None:
            raise ValueError("keep_best needs evaluate_every_kimg: without a measurement no tick is the best")
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}; "
                f"give one of {', '.join(str(n) for n in range(1, self.batch_size + 1) if self.batch_size % n == 0)}"
            )
        self.check_combination({"generator"} if self.network.family.mixes_samples else set())
        return self

    def check_combination(self, batch_norm: Set[str]) -> None:
        """As `losses.combinations.check_combination`, given which of both networks have batch norm."""
        split = self.micro_batch is not None and self.micro_batch < self.batch_size
        check_combination(Choices(self.objective, self.penalty, self.network, self.weight_clip, split, batch_norm))

    def network_size(self, packed: int) -> int:
        """Height and width in pixels of the images that the networks see, given those of the packed images.

        Raises:
            NetworkError: The random crop is larger than the packed images, or the network does not exist at this size.
        """
        if self.random_crop is None:
            self.network.check_size(packed, "preprocess.size")
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
        return {
            **self.model_dump(mode="json", include=same),
            "network": self.network.identity(),
            "penalty": self.penalty.identity(),
            "augment": self.augment.identity(),
        }

    def smaller_batch(self) -> str:
        """What to try where a training step takes too much memory, in one sentence."""
        now = self.micro_batch or self.batch_size
        if self.network.family.mixes_samples:
            return (
                f"Memory does not hold a batch of {self.batch_size} images. Give a smaller train.batch_size with "
                "another experiment name: batch norm forbids smaller parts of a batch"
            )
        if now == 1:
            return "Memory does not hold a single image at a time. Give smaller networks, or a device with more memory"
        smaller = next(size for size in range(now // 2, 0, -1) if self.batch_size % size == 0)
        return (
            f"Memory does not hold {now} images at a time. Try train.micro_batch={smaller}: the same command resumes "
            "from the last snapshot, and the result does not depend on it"
        )
