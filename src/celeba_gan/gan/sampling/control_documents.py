"""Documents of directions in the latent space, and of photographs projected into it; they need no torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from celeba_gan.foundation.documents import Document, Record

GOOD_AUC = 0.8
"""From here on a direction is counted as one that predicts its attribute."""

LEAST_CLASSIFIER_AUC = 0.6
"""Below this AUC on unseen photographs a classifier does not recognise an attribute, and the direction would be that of
whatever it sees instead. Not 0.5, which is chance: with a few hundred photographs chance alone often gives more."""


class Prediction(Record):
    """How well a direction predicts an attribute on held-out latents: the classifier's verdict on their images."""

    auc: float
    """The probability that an image with the attribute has the larger projection; ties count half."""
    accuracy: float
    """How often the projection is on the attribute's side of the threshold that was fitted on the other latents."""
    share: float
    """The share of the held-out images with the attribute: max(share, 1 - share) is the accuracy without latents."""


class Effect(Record):
    """How much the mean probability of an attribute changes when held-out latents are moved by the strength."""

    forward: float
    backward: float


class Direction(Record):
    """A direction in the latent space."""

    name: str
    """Of the attribute; closed_form_1, ... for those of the first layer, largest singular value first."""
    kind: Literal["attribute", "closed_form"]
    vector: tuple[float, ...]
    """Of norm 1; an attribute becomes more frequent along it."""
    prediction: Prediction | None = None
    """Only for attributes."""
    classifier_auc: float | None = None
    """The classifier's own AUC for the attribute on unseen photographs; None: unknown."""
    singular_value: float | None = None
    """Only in closed form: the change of the first layer's output for a move of length 1."""
    orthogonal_to: tuple[str, ...] = ()
    """The attributes to whose directions it was made orthogonal."""
    effects: dict[str, Effect] = Field(default_factory=dict)
    """Of each attribute that the classifier knows, its own and others; empty without a classifier."""


class Directions(Document):
    """Directions of one generator, and how they were found."""

    noun = "document of directions"

    training_id: str
    images: int
    """Images seen in training."""
    latent_size: int
    samples: int
    """Samples that the directions were fitted and measured on; 0 without a classifier."""
    held_out: int
    """Those that they were measured on."""
    seed: int
    labels: tuple[str, ...] | None = None
    """The fixed labels of all samples; None: of each sample as in training, or of a generator without labels."""
    strength: float
    """Length of a move, in standard deviations of drawn latents."""
    step: float
    """The same length in the latent space."""
    classifier_digest: str | None = None
    """Of the classifier's weights; None: attribute directions were not looked for."""
    directions: tuple[Direction, ...]
    """Attributes first, the best predicted first; then those in closed form."""
    without: dict[str, str] = Field(default_factory=dict)
    """Attributes that have no direction, and closed_form where that has none, each with the reason."""

    @model_validator(mode="after")
    def _vectors_are_latents(self) -> Self:
        wrong = [one.name for one in self.directions if len(one.vector) != self.latent_size]
        if wrong:
            raise ValueError(f"{wrong[0]} is a direction of {self.latent_size} numbers that has another count")
        return self

    def of_kind(self, kind: Literal["attribute", "closed_form"]) -> list[Direction]:
        """The directions of one kind, in order."""
        return [direction for direction in self.directions if direction.kind == kind]

    def named(self, name: str) -> Direction:
        """The direction with this name.

        Raises:
            KeyError: There is none; the message lists those there are.
        """
        for direction in self.directions:
            if direction.name == name:
                return direction
        known = ", ".join(direction.name for direction in self.directions) or "none"
        reason = f" ({self.without[name]})" if name in self.without else ""
        raise KeyError(f"There is no direction {name!r}{reason}. There are: {known}")


class ImageError(Record):
    """How far an image is from a photograph."""

    rmse: float
    """Root mean square difference of the pixels, in grey levels of 255."""
    features: float | None
    """Euclidean distance of the features; None without a network for them."""


class ProjectedPhotograph(Record):
    """A photograph, and the latent whose image is nearest to it."""

    name: str
    """Path of its file."""
    latent: tuple[float, ...]
    labels: tuple[float, ...]
    """Zeros and ones; empty for a generator that takes none."""
    error: ImageError
    """Of the latent's image."""
    best_random: ImageError
    """For comparison: of the best random latent, from which the search started."""
    mean_sample: ImageError
    """For comparison: of the mean of random samples."""


class Projections(Document):
    """The photographs projected into a generator's latent space; none where none were given."""

    noun = "document of projections"

    training_id: str
    images: int
    """Images seen in training."""
    seed: int
    steps: int
    photographs: tuple[ProjectedPhotograph, ...]
