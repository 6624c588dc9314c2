"""The card of an attribute classifier."""

from typing import Any

from celeba_gan.evaluation.documents import AttributeQuality
from celeba_gan.foundation.documents import Document, Record


class ClassifierReport(Record):
    """How good a classifier is on unseen images; means over the attributes, and each."""

    accuracy: float
    auc: float | None
    """Over the attributes whose AUC is known."""
    images: int
    attributes: dict[str, AttributeQuality]


class ClassifierCard(Document):
    """Which attributes a classifier predicts, how well, and from what it was trained."""

    version = 2
    oldest = 2
    noun = "card of an attribute classifier"

    attributes: tuple[str, ...]
    """Empty where the images have none, or are too few."""
    size: int | None = None
    """Height and width of its images in pixels."""
    report: ClassifierReport | None = None
    made_from: dict[str, Any]
    """The images, labels and settings; a classifier of the same is not trained again."""

    def to_json(self) -> dict[str, Any]:
        """As `Document.to_json`, without what does not apply."""
        return {name: value for name, value in super().to_json().items() if value is not None}
