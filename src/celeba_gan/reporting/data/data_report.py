"""The report on the data, as a document."""

from typing import ClassVar, Final

from pydantic import Field

from celeba_gan.foundation.documents import Document, Record
from celeba_gan.images.packed import Recipe
from celeba_gan.sources.source_report import FileReport

ALL: Final = "all"
"""The key of all splits together."""

Counts = dict[str, int]
"""By split, and of all."""


class SourceFacts(Record):
    """See `SourceReport`."""

    source: str
    kind: str
    files: list[FileReport]
    ignored_files: dict[str, int]
    notes: list[str]


class ImageCounts(Record):
    """How many images there are."""

    found: int
    indexed: Counts
    packed: Counts
    persons: Counts | None
    """Persons on the packed images; None where identities are unknown."""


class LeftOutCounts(Record):
    """How many images are not packed."""

    rejected: dict[str, int]
    """By reason."""
    unreadable: dict[str, int]
    """By reason."""
    unusable: int
    """Rejected or unreadable."""
    share: float
    """Of the images found, in [0, 1]; at most `largest_share`."""
    largest_share: float
    leaks: int
    """Images of train whose pixels are in valid or test too."""


class Duplicates(Record):
    """Photographs whose packed pixels are equal."""

    photographs: int
    groups: int
    first_groups: list[list[str]]


class SizeCount(Record):
    """Photographs of one size, in pixels."""

    width: int
    height: int
    photographs: int


class Sizes(Record):
    """The sizes of the indexed photographs: (width, height) in pixels."""

    distinct: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    most_common: list[SizeCount]


class Pixels(Record):
    """Of the training images."""

    mean: list[float]
    """Of each channel, in [0, 255]."""
    deviation: list[float]
    """Standard deviation of each channel."""
    gray_images: int


class ClassCount(Record):
    """Images of one class."""

    number: int = Field(alias="class")
    name: str
    train: int
    valid: int
    test: int


class Classes(Record):
    """The classes of `preprocess.condition_on`."""

    condition_on: list[str]
    number: int
    with_few_images: int
    smallest: list[ClassCount]


class Shares(Record):
    """Images that have a label."""

    images: Counts
    share: dict[str, float | None]
    """Of the images of a split, in [0, 1]; None for an empty split."""


class AttributeShares(Shares):
    """Images that have an attribute."""

    published: float | None
    """Share in all of CelebA; None for an attribute that is not CelebA's."""


class DataReport(Document):
    """The data in numbers, and what is unusual about it in sentences."""

    noun: ClassVar[str] = "report on the data"

    findings: list[str]
    source: SourceFacts
    images: ImageCounts
    left_out: LeftOutCounts
    duplicates: Duplicates
    sizes: Sizes
    recipe: Recipe
    pixels: Pixels
    classes: Classes
    attributes: dict[str, AttributeShares]
    labels: dict[str, Shares]
    """The most frequent ones."""
