"""What an evaluation found, as it is stored in `evaluation.json` and passed between rooms."""

from typing import Any, Literal, Optional

from pydantic import Field, JsonValue

from celeba_gan.foundation.documents import VERSION_KEY, Document, Record

Winner = Literal["model", "against", "neither"]


class Interval(Record):
    """A range that holds the number with a probability of 0.95."""

    low: float
    high: float
    method: str
    """How it was found."""


class EvaluationProtocol(Record):
    """How the numbers were measured."""

    split: str
    reals: int
    samples: int
    images_per_side: int
    """In distances."""
    train_images: int
    """That were searched for copies."""
    features: dict[str, str]
    """Digests by the extractors' names."""
    neighbours: int
    swd_images: int
    swd_projections: int
    swd_patches: int
    ms_ssim_pairs: int
    two_sample_images: int
    judge_network: str
    """The new discriminator of the two-sample test."""
    seed: int
    precision: str
    code: str
    """See `code_version`."""
    size: int
    """Side of the images, in pixels."""
    centre_crop: int | None
    """Side of the centre of the packed images that was measured; None: the whole images."""
    recipe: dict[str, JsonValue]
    """How photographs became packed images."""
    data_digest: str
    """Of the packed images."""
    trained_on: str
    """Digest of the images that the generator was trained on."""
    training_id: str
    images: int
    """That the discriminator saw until then."""
    discriminator_images: int | None
    """The same of the discriminator's file; None without one."""
    finished: bool
    """Whether training was."""
    age_centre: float | None
    age_centre_from: str
    model: str | None = None
    """`evaluate.model`."""
    checkpoint: Literal["last", "best"] = Field("last", alias="which")
    """`evaluate.checkpoint`."""


class AttributeQuality(Record):
    """How good the classifier is at one attribute, on unseen images."""

    accuracy: float
    auc: float | None
    """None where these images all have the attribute, or none has."""


class RequestedAttribute(Record):
    """How often samples have, or lack, the attribute that was requested of them."""

    accuracy: float
    having: float | None = Field(None, alias="with")
    """Of the samples requested to have it."""
    lacking: float | None = Field(None, alias="without")
    """Of the samples requested to lack it."""
    samples: int


class Attributes(Record):
    """Shares of images with each attribute, by the classifier."""

    names: list[str]
    reals: dict[str, float]
    samples: dict[str, float]
    errors: dict[str, float]
    """Half the width of the difference's 0.95 interval."""
    classifier: dict[str, AttributeQuality]
    requested: dict[str, RequestedAttribute] | None = Field(alias="asked")
    """None where the generator takes no labels that the classifier knows."""

    @property
    def mean_accuracy(self) -> float | None:
        """Of the classifier, over its attributes."""
        return _mean([one.accuracy for one in self.classifier.values()])

    @property
    def mean_auc(self) -> float | None:
        """Of the classifier, over the attributes whose AUC is known."""
        return _mean([one.auc for one in self.classifier.values() if one.auc is not None])


class ComparedMetric(Record):
    """One metric of two models."""

    metric: str
    model: float
    against: float
    low: float | None
    """End of the difference's 0.95 interval; None where it is unknown."""
    high: float | None
    better: Winner


class Comparison(Record):
    """Two models, measured in the same way on the same reals."""

    model: str
    """Its name."""
    against: str
    """The other one's name."""
    rows: list[ComparedMetric]
    measured: Optional["Evaluation"] = None
    """The other one's evaluation."""


class Evaluation(Document):
    """Numbers, with the way they were measured."""

    noun = "evaluation"

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    """Of those metrics whose uncertainty is known."""
    floor: dict[str, float]
    """The same metrics of real images of the valid split, in the samples' place."""
    floor_train: dict[str, float]
    """The same of training images."""
    protocol: EvaluationProtocol
    attributes: Attributes | None = None
    """None without a classifier of attributes."""
    comparison: Comparison | None = None
    """None unless another model was measured, too."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without what was not set."""
        return {VERSION_KEY: self.version, **self.model_dump(mode="json", by_alias=True, exclude_unset=True)}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
