"""The recipe of a face: everything that decides its pixels."""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from celeba_gan.foundation.documents import Document, DocumentError

MOST_SEED: Final = 2**31 - 1
MOST_NUMBER: Final = 999_999_999
MOST_STRENGTH: Final = 20.0
"""Of a move, in standard deviations of drawn latents; as `generate.directions.strength` allows."""
MOST_BYTES: Final = 200_000
"""Of a recipe as JSON: 4,096 numbers of a latent take about half of it."""
_MOST_NAMES: Final = 200
_MOST_LATENT: Final = 100.0  # a drawn number never comes near

Whole = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=300)]


class ExplorerError(ValueError):
    """A request that cannot be met; the message says why, and what is allowed."""


def _without_zeros(moves: dict[str, float]) -> dict[str, float]:
    return {name: float(strength) for name, strength in moves.items() if strength}


class Recipe(Document):
    """Which model makes a face, and of what.

    The latent is that of a `seed` and a `number`, as `TrainedGenerator.draw` gives it, unless there is a `latent`: of a
    projected photograph, or of a face between two others. The moves come on top.
    """

    noun = "recipe of a face"

    model: Name
    """For people: the experiment, or the model's URI."""
    training_id: Name
    images: Annotated[Whole, Field(le=10**15)]
    """Images seen in training."""
    seed: Annotated[Whole, Field(le=MOST_SEED)] = 0
    number: Annotated[Whole, Field(le=MOST_NUMBER)] = 0
    """Of the sample among those of the seed."""
    truncation: Annotated[Number, Field(ge=0, le=1)] = 1.0
    labels: Annotated[tuple[Name, ...], Field(max_length=_MOST_NAMES)] | None = None
    """Names of those that are 1, the others are 0; None: as drawn, or those in `label_values`."""
    moves: Annotated[
        dict[Name, Annotated[Number, Field(ge=-MOST_STRENGTH, le=MOST_STRENGTH)]],
        Field(max_length=_MOST_NAMES),
        AfterValidator(_without_zeros),
    ] = Field(default_factory=dict)
    """Along named directions, in standard deviations of drawn latents."""
    source: Literal["drawn", "projected", "between"] = "drawn"
    latent: (
        Annotated[
            tuple[Annotated[Number, Field(ge=-_MOST_LATENT, le=_MOST_LATENT)], ...],
            Field(min_length=1, max_length=4096),
        ]
        | None
    ) = None
    label_values: Annotated[tuple[Annotated[Number, Field(ge=0, le=1)], ...], Field(max_length=_MOST_NAMES)] | None = (
        None
    )
    """Labels of the `latent`: zeros and ones, or numbers between them where the latent is between two others."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.source == "drawn") != (self.latent is None) or (self.latent is None) != (self.label_values is None):
            raise ValueError("a drawn face has neither latent nor label_values, and every other face has both")
        return self

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Reads a recipe from JSON that may be anybody's.

        Raises:
            ExplorerError: It is none, too long, or damaged; the message names the `place`.
        """
        if len(text) > MOST_BYTES:
            raise ExplorerError(f"{place} has a recipe of {len(text):,} characters; at most {MOST_BYTES:,} are read")
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ExplorerError(f"{place} has a damaged recipe ({str(error)[:100]})") from error
        if not isinstance(values, dict):
            raise ExplorerError(f"{place} has a damaged recipe: its JSON is not an object")
        try:
            return cls.from_json(values, place)
        except DocumentError as error:
            raise ExplorerError(str(error)[:500].removesuffix(". Create it again")) from error

    def dump(self) -> str:
        """The JSON that `parse` reads, in ASCII, without fields at their defaults."""
        content = {
            name: value
            for name, value in self.to_json().items()
            if name not in type(self).model_fields or value != type(self).model_fields[name].get_default()
        }
        return json.dumps(content, separators=(",", ":"))

    def caption(self) -> str:
        """What the face is, in a few words."""
        if self.source == "projected":
            return "Projected photograph"
        return "Between A and B" if self.source == "between" else f"Seed {self.seed}, face {self.number}"

    def file_name(self) -> str:
        """A name for its picture, without what file systems refuse."""
        model = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in self.model).strip("-")[:60]
        what = f"{self.seed}-{self.number}" if self.source == "drawn" else self.source
        return f"{model or 'face'}-{what}.png"
