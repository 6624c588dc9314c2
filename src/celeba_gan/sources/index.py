"""The image index: usable images with size, split and annotations."""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.images.decoding import NeedsMoreError, UnreadableImageError, image_size
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.drawn_split import draw_missing_splits
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.source import OUTSIDE_SPLITS, SUBFOLDERS, Annotation, Source
from celeba_gan.sources.source_report import SourceReport, count_reasons, report_source

if TYPE_CHECKING:
    from pandas import DataFrame

_PROGRESS_EVERY: Final = 1000
_SHOWN: Final = 10

logger = logging.getLogger(__name__)


class Index(NamedTuple):
    """The result of `build_index`."""

    images: DataFrame
    """One row per usable image in the order of `image_id`: `image_id` (str), `split` ("train", "valid", "test"),
    `width` and `height` (int32, pixels, after EXIF rotation), attributes (int8, 0 or 1), `identity` (int32) and `label`
    (str). The columns of a missing table are missing."""
    rejected: DataFrame
    """`image_id` and `reason` of each rejected image."""
    report: SourceReport


def build_index(source: Source, settings: IngestSettings, progress: Callable[[int, int], None] | None = None) -> Index:
    """Lists the usable images and the rejected ones, from names, tables and image headers; no pixel is decoded.

    `progress` is called with (headers read, headers to read) every thousand images and at the end.

    Raises:
        SourceError: No image, an invalid table, more rejected images than allowed, or a split without images.
    """
    import pandas as pd

    names = source.image_names
    annotations = source.annotations()
    # Hashing CelebA's zip takes seconds and releases the GIL: meanwhile the headers are read.
    with ThreadPoolExecutor(max_workers=1) as beside:
        verdicts = beside.submit(source.verdicts, annotations)
        index, unlisted = _list_named(source, names, annotations)
        index, unread = _add_sizes(source, index, progress)
    rejected = sorted([*source.files.rejected, *unlisted, *unread])
    check_rejected(rejected, len(names) + len(source.files.rejected), settings.max_rejected_fraction)

    for annotation in annotations:
        index = index.join(annotation.table, on="key")
    report = report_source(source, annotations, verdicts.result(), pd.Index(index["key"]), rejected)
    index = index.drop(columns="key")
    if "split" not in index:
        index["split"] = "train"
    index["split"] = draw_missing_splits(index, settings)
    _check_splits(source, index, rejected, annotations)
    index.insert(1, "split", index.pop("split"))
    return Index(index, pd.DataFrame(rejected, columns=["image_id", "reason"], dtype="str"), report)


def check_rejected(
    rejected: Sequence[tuple[str, str]], total: int, max_fraction: float, *, so_far: bool = False
) -> None:
    """Raises if too many images, given as (image_id, reason), cannot be used.

    Args:
        rejected: Reasons are counted by their text before a colon.
        total: Images found.
        max_fraction: Fraction of `total` that may be rejected, in [0, 1].
        so_far: Not all images have been read yet.

    Raises:
        SourceError: There are more; the message counts them by reason and shows ten, some of every reason.
    """
    if len(rejected) <= max_fraction * total:
        return
    reasons = count_reasons(reason for _, reason in rejected)
    counts = "\n".join(f"  {count:>7,}  {reason}" for reason, count in reasons.items())
    by_reason = defaultdict(list)
    for image_id, reason in rejected:
        by_reason[reason.partition(":")[0]].append(f"  {image_id}: {reason}")
    in_turns = (line for lines in zip_longest(*by_reason.values()) for line in lines if line)
    shown = "\n".join(islice(in_turns, _SHOWN))
    ways_out = dict.fromkeys(
        next((way.format(reason) for start, way in _WAYS_OUT.items() if reason.startswith(start)), _REPAIR)
        for reason in reasons
    )
    at_least = "At least " if so_far else ""
    raise SourceError(
        f"{at_least}{len(rejected):,} of {total:,} images ({len(rejected) / total:.1%}) cannot be used; "
        f"at most {max_fraction:.1%} are allowed.\n{counts}\nSome of them:\n{shown}\n"
        f"{'; '.join(ways_out)}; or, to go on without them, raise ingest.max_rejected_fraction: the run "
        "then lists them all in rejected_images.csv and unreadable_images.csv"
    )


_REPAIR: Final = "Repair the source, or take those files out of it"
_WAYS_OUT: Final = {
    "smaller than the crop": "For images smaller than the crop: --params preprocess.crop=none takes the largest square "
    "of each",
    "smaller than the target": "For images smaller than the target: give a smaller preprocess.size",
    "no row in": "There is {}: if that table is truncated or belongs to other images, replace it, or remove it to go "
    "on without it",
    "not a CelebA file name": "For images that are not CelebA's: --env folder",
    OUTSIDE_SPLITS: "For images beside the folders train, valid and test: move them into one of these, or away, or "
    "rename these to have no split by folder",
    "too large": "Shrink images that are too large",
    "unsupported": "Convert what is not supported to JPEG or PNG",
}
"""What to do, by the beginning of a reason."""


def _list_named(
    source: Source, names: Sequence[str], annotations: Sequence[Annotation]
) -> tuple[DataFrame, list[tuple[str, str]]]:
    """The images with a valid name and a row in every table (`image_id`, `key`); (image_id, reason) of the others."""
    import pandas as pd

    refused = [(name, reason) for name in names if (reason := source.refusal(name)) is not None]
    left_out = {name for name, _ in refused}
    index = pd.DataFrame({"image_id": [name for name in names if name not in left_out]}, dtype="str")
    index["key"] = index["image_id"].map(source.key).astype("str")
    for annotation in annotations:
        has_row = annotation.table.index.get_indexer(pd.Index(index["key"])) >= 0
        refused += [(name, f"no row in {annotation.file}") for name in index.loc[~has_row, "image_id"]]
        index = index[has_row]
    twice = index["key"].duplicated()  # 000001.jpg and 000001.png: one photograph, which must not be in two splits
    refused += [(name, "another image has its name in the tables") for name in index.loc[twice, "image_id"]]
    index = index[~twice]
    return index.reset_index(drop=True), refused


def _add_sizes(
    source: Source, index: DataFrame, progress: Callable[[int, int], None] | None
) -> tuple[DataFrame, list[tuple[str, str]]]:
    """The images with a readable header, with `width` and `height`, and (image_id, reason) of the others."""
    sizes, refused = array("i"), []
    for done, name in enumerate(index["image_id"], start=1):
        try:
            sizes.extend(_size(source, name))
        except UnreadableImageError as reason:
            refused.append((name, str(reason)))
            sizes.extend((0, 0))
        if progress is not None and (done % _PROGRESS_EVERY == 0 or done == len(index)):
            progress(done, len(index))
    index[["width", "height"]] = np.array(sizes, np.int32).reshape(-1, 2)
    return index[index["width"] > 0].reset_index(drop=True), refused


def _size(source: Source, name: str) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    try:
        try:
            return image_size(source.header(name))
        except NeedsMoreError:  # a long colour profile or thumbnail before the size
            return image_size(source.read(name))
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error}") from error


def _check_splits(
    source: Source, index: DataFrame, rejected: list[tuple[str, str]], annotations: Sequence[Annotation]
) -> None:
    counts = index["split"].value_counts()
    if set(counts.index) == set(SPLITS):
        return
    drawn = f"drawn from {'three persons' if 'identity' in index else 'three images'} at least"
    given = next((annotation for annotation in annotations if "split" in annotation.table), None)
    if given is None:
        advice = f"Add images: the split is {drawn}"
    elif given.file == SUBFOLDERS:
        advice = f"Add images to these subfolders, or rename them to have a split {drawn}"
    else:
        which = "" if len(given.table.columns) == 1 else "the column split of "
        advice = f"Add images, or remove {which}{given.file} to have a split {drawn}"
    raise SourceError(
        f"Too few images to train on and to measure with in {source.describe()}: {len(index):,} usable, "
        f"{len(rejected):,} rejected, by split {counts.to_dict()}. Each of train, valid and test needs images. {advice}"
    )
