"""The image index: which images there are, of what size, in which split, with which annotations."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from celeba_gan.celeba.annotations import ATTRIBUTES_FILE, IDENTITIES_FILE, PARTITION_FILE
from celeba_gan.celeba.config import IngestSettings
from celeba_gan.celeba.errors import SourceError, appearance
from celeba_gan.celeba.source import CelebA

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_CELEBA_NAME = re.compile(r"\d{6}\.jpg")
_PROGRESS_EVERY: Final = 1000
_FORMATS: Final = ("JPEG", "PNG")  # others of Pillow's run programs, such as Ghostscript
_SHOWN: Final = 10

logger = logging.getLogger(__name__)


def build_index(
    celeba: CelebA, settings: IngestSettings, progress: Callable[[int, int], None] | None = None
) -> tuple[DataFrame, DataFrame]:
    """List the usable images and the rejected ones, from names, annotation files and image headers; no pixel is read.

    Args:
        celeba: The source.
        settings: How much may be rejected, and how to split where no partition file is present.
        progress: Called with (images looked at, images in all) every thousand images and at the end.

    Returns:
        The image index, one row per usable image in the order of `image_id`: `image_id` (str), `split` ("train",
        "valid", "test"), `width` and `height` (int32, pixels), the forty attributes (int8, 0 or 1) and `identity`
        (int32). The columns of an absent annotation file are absent. And the rejected images: `image_id`, `reason`.

    Raises:
        SourceError: No image, an annotation file that is not what its name says, more rejected images than allowed, or
            no image left to train on.
    """
    import pandas as pd

    names = celeba.image_names
    annotations = _annotations(celeba)
    annotated = {file: frozenset(annotation.index) for file, annotation in annotations.items()}
    rejected: list[tuple[str, str]] = []
    rows: list[tuple[str, int, int]] = []
    for done, name in enumerate(names, start=1):
        try:
            _check_name_and_rows(name, annotated)
            rows.append((name, *_size(celeba, name)))
        except _RejectedError as reason:
            rejected.append((name, str(reason)))
        if progress is not None and (done % _PROGRESS_EVERY == 0 or done == len(names)):
            progress(done, len(names))
    check_rejected(rejected, len(names), settings.max_rejected_fraction)

    index = pd.DataFrame(rows, columns=["image_id", "width", "height"]).astype({"width": "int32", "height": "int32"})
    for annotation in annotations.values():
        index = index.join(annotation, on="image_id")
    if PARTITION_FILE not in annotations:
        index["split"] = "train"
    index["split"] = _fill_splits(index["image_id"].tolist(), index["split"].tolist(), settings)
    _check_splits(celeba, index, rejected)
    index.insert(1, "split", index.pop("split"))
    return index, pd.DataFrame(rejected, columns=["image_id", "reason"], dtype="str")


def check_rejected(rejected: Sequence[tuple[str, str]], total: int, max_fraction: float) -> None:
    """Stop when too large a part of the images cannot be used.

    Args:
        rejected: (image_id, reason) of each image left out; reasons are counted by their text before a colon.
        total: Images found.
        max_fraction: Fraction of `total` that may be left out, in [0, 1].

    Raises:
        SourceError: More are left out; the message counts them by reason and shows the first ten.
    """
    if len(rejected) <= max_fraction * total:
        return
    reasons = Counter(reason.partition(":")[0] for _, reason in rejected)
    counts = "\n".join(f"  {count:>7,}  {reason}" for reason, count in reasons.most_common())
    first = "\n".join(f"  {image_id}: {reason}" for image_id, reason in rejected[:_SHOWN])
    raise SourceError(
        f"{len(rejected):,} of {total:,} images ({len(rejected) / total:.1%}) cannot be used; "
        f"at most {max_fraction:.1%} may be left out.\n{counts}\nThe first of them:\n{first}\n"
        "Repair the source; or for images smaller than the crop give a smaller preprocess.crop, or none; or, if they "
        "may be left out, raise ingest.max_rejected_fraction"
    )


class _RejectedError(Exception):
    """Why an image is not used."""


def _annotations(celeba: CelebA) -> dict[str, DataFrame | Series[str] | Series[int]]:
    """The annotations that are present, by the name of their file."""
    sources = {PARTITION_FILE: celeba.splits, ATTRIBUTES_FILE: celeba.attributes, IDENTITIES_FILE: celeba.identities}
    for name, annotation in sources.items():
        if annotation is None:
            consequence = "a split is drawn instead" if name == PARTITION_FILE else "its columns are left out"
            logger.warning("No %s in %s: %s.", name, celeba.folder, consequence)
    return {name: annotation for name, annotation in sources.items() if annotation is not None}


def _check_name_and_rows(name: str, annotated: dict[str, frozenset[str]]) -> None:
    if not _CELEBA_NAME.fullmatch(name):
        raise _RejectedError("not a CelebA file name (six digits and .jpg)")
    for file, image_ids in annotated.items():
        if name not in image_ids:
            raise _RejectedError(f"no row in {file}")


def _size(celeba: CelebA, name: str) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = celeba.header(name)
        if not data:
            raise _RejectedError("empty file")
        try:
            return Image.open(io.BytesIO(data), formats=_FORMATS).size
        except (OSError, SyntaxError):  # a long colour profile or thumbnail before the size: look at the whole file
            data = celeba.read(name)
            return Image.open(io.BytesIO(data), formats=_FORMATS).size
    except (UnidentifiedImageError, SyntaxError) as error:
        raise _RejectedError(f"not an image: looks like {appearance(data)}") from error
    except Image.DecompressionBombError as error:
        raise _RejectedError(f"too large: {error}") from error
    except OSError as error:
        raise _RejectedError(f"cannot be read: {error}") from error


def _fill_splits(image_ids: list[str], splits: list[str], settings: IngestSettings) -> list[str]:
    """Draws valid and test from train where they have no image: stages that measure could not work without.

    That is so without a partition file, and where only the first images of CelebA are there. The draw depends on the
    seed and the names alone, not on the order in which a disk lists them.
    """
    order = sorted(
        (name for name, split in zip(image_ids, splits, strict=True) if split == "train"),
        key=lambda name: hashlib.blake2b(f"{settings.seed}/{name}".encode()).digest(),
    )
    count = min(settings.valid_images, max(min(2, len(order) // 3), len(order) // 10))
    drawn: dict[str, str] = {}
    for split in ("valid", "test"):
        if split not in splits and count:
            drawn |= dict.fromkeys(order[len(drawn) : len(drawn) + count], split)
            logger.warning(
                "No image is marked as %s: %d are drawn from the %d of train, with seed %d",
                split, count, len(order), settings.seed,
            )  # fmt: skip
    return [drawn.get(name, split) for name, split in zip(image_ids, splits, strict=True)]


def _check_splits(celeba: CelebA, index: DataFrame, rejected: list[tuple[str, str]]) -> None:
    counts = index["split"].value_counts()
    if set(counts.index) != {"train", "valid", "test"}:
        raise SourceError(
            f"Too few images to train on and to measure with in {celeba.describe()}: {len(index):,} usable, "
            f"{len(rejected):,} rejected, by split {counts.to_dict()}. Each of train, valid and test needs images. Add "
            f"images (000001.jpg to 162770.jpg are train in CelebA), or remove {PARTITION_FILE} to have a split drawn "
            "from the images that are there (three at least)."
        )
