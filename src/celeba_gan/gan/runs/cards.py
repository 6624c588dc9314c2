"""Cards: JSON in the header of a safetensors file that describes its content."""

from typing import Any, Self

from pydantic import Field

from celeba_gan.foundation.documents import Document, Record
from celeba_gan.gan.losses.registry import Probability
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runtime.card import HardwareCard


class Origin(Record):
    """The training whose weights a training started from."""

    id: str
    images: int  # images it had seen


class BestTick(Record):
    """The tick with the lowest value of the validation metric so far."""

    metric: str
    evaluate_images: int
    value: float
    images: int  # images seen when it was measured


class Keep(Record):
    """Which snapshots stay on disk."""

    states: int = 1
    best: bool = False


class Diversity(Record):
    """The largest sample diversity so far."""

    diversity: float = 0.0
    images: int = 0


class HealthCard(Record):
    """What the health checks compare the next tick with."""

    best: Diversity = Field(default_factory=Diversity)
    penalty: float | None = None  # mean of the last tick
    auc: float | None = None  # at the end of the last tick


class ImagesCard(Record):
    """What identifies the training images, as the networks see them."""

    size: int  # height and width in pixels
    random_crop: int | None
    data_digest: str
    condition: Condition | None


class ModelCard(Document):
    """The card of a network: the training it comes from, and how to rebuild it."""

    version = 2
    oldest = 2
    noun = "card of a network"

    id: str  # of the training
    images: int  # images seen by the discriminator
    finished: bool
    init_from: Origin | None
    best: BestTick | None
    size: int
    random_crop: int | None
    data_digest: str
    condition: Condition | None
    network: NetworkSettings
    latent: LatentSettings
    objective: str
    probability: Probability


class RunCard(ModelCard):
    """The card of a snapshot: that of its networks, and everything needed to resume exactly."""

    noun = "card of a training"

    iteration: int
    history: tuple[int, ...] = Field(alias="course")
    """Images seen at each earlier tick on the way here."""
    identity: dict[str, Any]  # the settings that may not change between a stop and a resume
    hardware: HardwareCard
    health: HealthCard
    keep: Keep

    def of_networks(self) -> ModelCard:
        """The part that the networks' files carry."""
        return ModelCard.model_construct(**{name: getattr(self, name) for name in ModelCard.model_fields})

    @classmethod
    def extend(cls, card: ModelCard, **fields: Any) -> Self:
        """A networks' card with the fields of a snapshot."""
        return cls.model_validate({**{name: getattr(card, name) for name in ModelCard.model_fields}, **fields})
