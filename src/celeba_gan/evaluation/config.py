"""Settings of evaluation."""

from typing import ClassVar, Literal

from pydantic import Field

from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.foundation.settings import Settings


class ClassifierSettings(Settings):
    """How the attribute classifier is trained, in whose features distances are measured."""

    epochs: int = Field(5, ge=1, le=1000, description="passes over its training images")
    images: int = Field(20000, ge=64, le=1_000_000_000, description="at most this many training images, the first ones")
    seed: int = Field(0, ge=0, description="decides first weights, order and mirroring")


class EvaluateSettings(Settings):
    """How the generator is measured."""

    READ_BY_METRICS: ClassVar[tuple[str, ...]] = (
        "neighbours",
        "swd_images",
        "swd_projections",
        "swd_patches",
        "ms_ssim_pairs",
        "two_sample_images",
    )
    """What numbers depend on besides the seed and the images: each is part of the protocol."""
    renamed: ClassVar[dict[str, str]] = {"against": "compare_with", "which": "checkpoint"}

    seed: int = Field(0, ge=0, description="decides latents, which images are measured, and projections")
    model: str | None = Field(
        None,
        min_length=1,
        coerce_numbers_to_str=True,
        description="what to measure instead of the last training: an experiment, its folder, a generator's "
        ".safetensors, or an MLflow model URI; only with --params",
    )
    compare_with: str | None = Field(
        None, min_length=1, coerce_numbers_to_str=True, description="a second model, named likewise, to compare with"
    )
    checkpoint: Literal["last", "best"] = Field(
        "last", description="networks of the last tick, or of the tick with the lowest swd_absolute_valid"
    )
    promote: bool = Field(False, description="register the model in MLflow, as champion if it beats the present one")
    promote_metric: str = Field(
        "frechet_attributes",
        min_length=1,
        description="decides which model is better: a metric that ranks models and has an interval",
    )
    promote_as: str = Field("celeba_gan", min_length=1, description="the registered model's name in MLflow")
    images: int = Field(
        5000, ge=2, le=1_000_000_000, description="at most this many reals of the test split, and as many samples"
    )
    inception_weights: str | None = Field(
        None, description="torch-fidelity's file of Inception-V3; null: torch-fidelity's download, if it exists"
    )
    features: FeatureFileSettings = Field(default_factory=FeatureFileSettings)
    classifier: ClassifierSettings = Field(default_factory=ClassifierSettings)
    train_images: int = Field(
        20000, ge=2, le=1_000_000_000, description="at most this many training images are searched for copies"
    )
    two_sample_images: int = Field(
        1000,
        ge=0,
        le=1_000_000_000,
        description="at most this many a side to train a new classifier, and as many to test it; 0: skip it",
    )
    neighbours: int = Field(
        5, ge=1, le=100, description="whose distance is the radius in precision, recall, density, coverage"
    )
    swd_projections: int = Field(512, ge=1, le=65536, description="random directions in sliced Wasserstein distance")
    swd_images: int = Field(
        2000, ge=2, le=1_000_000_000, description="at most this many images a side in that distance, to save memory"
    )
    swd_patches: int = Field(64, ge=1, le=4096, description="7x7 patches taken from each image at each scale")
    bootstrap: int = Field(
        200, ge=0, le=100_000, description="rounds for the Fréchet distance's interval; 0: no intervals"
    )
    ms_ssim_pairs: int = Field(
        400, ge=1, le=1_000_000, description="pairs of samples whose structural similarity is averaged"
    )
