"""What was found in a source, in numbers and words."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from celeba_gan.sources.official import verdict
from celeba_gan.sources.source import TABLES, Annotation, CelebA, Source
from celeba_gan.sources.tables.annotations import PARTITION_FILE

if TYPE_CHECKING:
    from pandas import Index

_WHOLE: Final = 202_599  # images in all of CelebA

logger = logging.getLogger(__name__)


def check_files(source: Source, annotations: Sequence[Annotation]) -> dict[str, str]:
    """Whether CelebA's own files are at hand, by their md5: for each file's name what `verdict` says.

    The zip is read where it holds as many images as CelebA has: with another number it is not the official one.
    """
    if source.kind != "celeba":
        return {}
    verdicts = {place.name: verdict(place) for place in (a.place for a in annotations) if isinstance(place, Path)}
    images = source.files.path
    if images.is_file():
        count = len(source.image_names)
        whole = count == _WHOLE
        verdicts[images.name] = (
            verdict(images) if whole else f"not the official file ({count:,} images, not {_WHOLE:,})"
        )
    return verdicts


def report_source(
    source: Source,
    annotations: Sequence[Annotation],
    verdicts: Mapping[str, str],
    keys: Index[str],
    rejected: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Sum up a source, for JSON; what a person should know is logged, too.

    Args:
        source: The images.
        annotations: Its tables.
        verdicts: See `check_files`.
        keys: The names in the tables of the images that were indexed.
        rejected: (image_id, reason) of the others.

    Returns:
        `source` and `kind` (texts); `images_found` and `indexed` (numbers); `rejected` (images by reason);
        `ignored_files` (numbers by suffix); `files`: for each table, and the zip where it was checked, `name`,
        `verdict` ("" without one), `rows`, `rows_without_image`; `notes`: sentences.
    """
    files: list[dict[str, Any]] = []
    for annotation in annotations:
        rows = annotation.table.index
        without = len(rows) - len(np.unique(rows.get_indexer(keys)))  # every key has a row
        files.append({"name": annotation.file, "rows": len(rows), "rows_without_image": without})
    if source.files.path.name in verdicts:
        files.append({"name": source.files.path.name, "rows": None, "rows_without_image": None})
    files = [{"name": file["name"], "verdict": verdicts.get(file["name"], ""), **file} for file in files]
    absent = list(_absent(source))
    for note in absent:
        logger.warning("%s", note)
    notes = [*absent, *(f"{a.file}: {note}" for a in annotations for note in a.notes)]  # the latter are logged already
    ignored = _not_looked_at(source, annotations)
    if ignored:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in ignored.most_common(5))
        logger.info("Files that are no images were not looked at: %s", kinds)
    for file in files:
        if file["verdict"]:
            logger.info("%s: %s", file["name"], file["verdict"])
        if file["rows_without_image"]:
            logger.info(
                "%s: %s of its %s rows have no image here",
                file["name"],
                f"{file['rows_without_image']:,}",
                f"{file['rows']:,}",
            )
    return {
        "source": source.describe(),
        "kind": source.kind,
        "images_found": len(keys) + len(rejected),
        "indexed": len(keys),
        "rejected": count_reasons(reason for _, reason in rejected),
        "ignored_files": dict(ignored.most_common()),
        "files": files,
        "notes": notes,
    }


def _not_looked_at(source: Source, annotations: Sequence[Annotation]) -> Counter[str]:
    """How many files that are no images lie among them, by suffix, but for the tables."""
    ignored = Counter(source.files.ignored)
    for annotation in annotations:
        place = annotation.place
        if isinstance(place, str) or place.is_relative_to(source.files.path):
            ignored[Path(annotation.file).suffix] -= 1
    return +ignored


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason is given, by its text before a colon, the most frequent first."""
    return dict(Counter(reason.partition(":")[0] for reason in reasons).most_common())


def _absent(source: Source) -> Iterable[str]:
    if not isinstance(source, CelebA):
        return
    for table in TABLES:
        if table not in source.tables:
            consequence = "a split is drawn instead" if table == PARTITION_FILE else "its columns are left out"
            yield f"No {table} in {source.path}: {consequence}."
