"""The labels of conditional networks, as recorded in their cards."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Condition(BaseModel):
    """Names of the labels, and how often the training images have each combination of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["class", "attributes"]
    names: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...]
    """For each combination, the columns of `names` that are 1."""
    counts: tuple[int, ...]
    """Training images with each combination."""
    digest: str
    """Of the labels of all training images."""
