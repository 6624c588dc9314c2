"""What was found in a source, in numbers and words."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from celeba_gan.celeba.annotations import PARTITION_FILE
from celeba_gan.celeba.official import verdict
from celeba_gan.celeba.source import TABLES, Annotation, CelebA, Source

_WHOLE: Final = 202_599  # images in all of CelebA

logger = logging.getLogger(__name__)


def report_source(
    source: Source, annotations: Sequence[Annotation], keys: Sequence[str], rejected: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Sum up a source, for JSON; what a person should know is logged, too.

    Args:
        source: The images.
        annotations: Its tables.
        keys: The names in the tables of the images that were indexed.
        rejected: (image_id, reason) of the others.

    Returns:
        `source` and `kind` (texts); `images_found` and `indexed` (numbers); `rejected` (images by reason);
        `ignored_files` (numbers by suffix); `files`: for each table, and the zip where it holds all of CelebA, `name`,
        `verdict`, `rows`, `rows_without_image`; `notes`: sentences.
    """
    files = []
    present = frozenset(keys)
    for annotation in annotations:
        rows = annotation.table.index
        files.append(
            {
                "name": annotation.file,
                "verdict": _verdict(source, annotation.place),
                "rows": len(rows),
                "rows_without_image": sum(row not in present for row in rows),
            }
        )
    images = source.files.path
    if images.is_file() and len(source.image_names) == _WHOLE:  # else it is another file, and 1.4 GB need not be read
        files.append(
            {"name": images.name, "verdict": _verdict(source, images), "rows": None, "rows_without_image": None}
        )
    notes = [*_absent(source), *(note for annotation in annotations for note in annotation.notes)]
    ignored = _not_looked_at(source, annotations)
    if ignored:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in ignored.most_common(5))
        notes.append(f"Files that are no images were not looked at: {kinds}.")
    for note in notes:
        logger.warning("%s", note)
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


def _verdict(source: Source, place: Path | str) -> str:
    """Whether it is CelebA's own file; "" where that is no question."""
    return verdict(place) if source.kind == "celeba" and isinstance(place, Path) else ""
