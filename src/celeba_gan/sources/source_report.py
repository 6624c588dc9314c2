"""The report on a source, as a document."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from celeba_gan.foundation.documents import Document, Record
from celeba_gan.foundation.wording import counted, listed_counts
from celeba_gan.sources.source import Annotation, Source
from celeba_gan.storage.places import Place

if TYPE_CHECKING:
    from pandas import Index

logger = logging.getLogger(__name__)


class FileReport(Record):
    """A file beside the images."""

    name: str
    verdict: str
    """See `celeba_gan.sources.official.verdict`; "" for a file that is not compared."""
    rows: int | None
    rows_without_image: int | None
    """Both are None for a zip of images."""


class SourceReport(Document):
    """What was found in a source."""

    noun: ClassVar[str] = "report on the source"

    source: str
    """See `Source.describe`."""
    kind: str
    images_found: int
    indexed: int
    rejected: dict[str, int]
    """Images by reason."""
    ignored_files: dict[str, int]
    """Other files by suffix."""
    files: list[FileReport]
    notes: list[str]
    """Sentences about what is missing or left out."""


def report_source(
    source: Source,
    annotations: Sequence[Annotation],
    verdicts: Mapping[str, str],
    keys: Index[str],
    rejected: Sequence[tuple[str, str]],
) -> SourceReport:
    """Summarises a source, and logs the findings.

    Args:
        source: The images.
        annotations: Its tables.
        verdicts: See `Source.verdicts`.
        keys: The names in the tables of the images that were indexed.
        rejected: (image_id, reason) of the others.
    """
    import numpy as np

    files = []
    for annotation in annotations:
        rows = annotation.table.index
        without = len(rows) - len(np.unique(rows.get_indexer(keys)))  # every key has a row
        name = annotation.file
        files.append(FileReport(name=name, verdict=verdicts.get(name, ""), rows=len(rows), rows_without_image=without))
    archive = source.files.path.name
    if archive in verdicts:
        files.append(FileReport(name=archive, verdict=verdicts[archive], rows=None, rows_without_image=None))
    for file in files:
        if file.verdict:
            logger.info("%s: %s", file.name, file.verdict)
        if file.rows_without_image:
            logger.info("%s: no image for %d of %s", file.name, file.rows_without_image, counted(file.rows or 0, "row"))
    missing = source.notes()
    for note in missing:
        logger.warning("%s", note)
    ignored = Counter(source.files.ignored)  # without the tables
    for annotation in annotations:
        place = annotation.place
        if _is_among(place, source.files.path):
            ignored[Path(annotation.file).suffix] -= annotation.files
    ignored = +ignored
    if ignored:
        logger.info("Ignoring other files, and unfinished or backup copies: %s", listed_counts(ignored))
    if source.files.skipped:
        logger.info("Skipping files and folders that systems create or hide: %s", listed_counts(source.files.skipped))
    return SourceReport(
        source=source.describe(),
        kind=source.kind,
        images_found=len(keys) + len(rejected),
        indexed=len(keys),
        rejected=count_reasons(reason for _, reason in rejected),
        ignored_files=dict(ignored.most_common()),
        files=files,
        # Those of the tables were logged when they were read.
        notes=[*missing, *(f"{annotation.file}: {note}" for annotation in annotations for note in annotation.notes)],
    )


def _is_among(place: Path | Place | str, files: Path | Place) -> bool:
    """Whether a table is a file of the folder or zip of the images."""
    if isinstance(place, Path) and isinstance(files, Path):
        return place.is_relative_to(files)
    return isinstance(place, str) or str(place).startswith(f"{files}/")


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason is given, by its text before a colon, the most frequent first."""
    return dict(Counter(reason.partition(":")[0] for reason in reasons).most_common())
