"""Nodes of the preprocess stage; `Any` is a DataFrame, since the registry must not import pandas."""

import logging
from collections.abc import Iterator
from typing import Any

from celeba_gan.foundation.wording import counted
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import LeftOut, Manifest, PackedImages, Shard
from celeba_gan.ranks.group import current
from celeba_gan.reporting.data.data_report import DataReport
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.source import Source
from celeba_gan.sources.source_report import SourceReport

logger = logging.getLogger(__name__)


def pack_images(
    celeba: Source,
    image_index: Any,
    rejected_images: Any,
    source_report: SourceReport,
    settings: PreprocessSettings,
    ingest: IngestSettings,
    packed_images_previous: PackedImages | UnfinishedPacking | None,
    bar: bool = True,
) -> Iterator[Shard | Manifest]:
    """Decodes, crops and resizes the indexed images; yields shards and, last, the manifest. Kedro saves each at once.

    Rejected and unreadable images together may not exceed `ingest.max_rejected_fraction`.
    """
    from celeba_gan.images import labels, packing
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.sources.index import check_rejected

    kept, rare = labels.without_rare_classes(
        image_index, settings.condition_on, settings.min_class_images, notes=source_report.notes
    )
    if len(rare):
        logger.warning("%s", labels.describe_rare_classes(rare))
    rejected = list(rejected_images.itertuples(index=False, name=None))
    found = len(image_index) + len(rejected)

    def find_rare(not_packed: set[str]) -> set[str]:
        if settings.min_class_images == 0:
            return set()
        still, rare = labels.without_rare_classes(kept, settings.condition_on, settings.min_class_images, not_packed)
        if len(rare):
            logger.warning("Without unreadable and duplicate images: %s", labels.describe_rare_classes(rare))
        return set(kept["image_id"]) - set(still["image_id"]) - not_packed

    def check(unreadable: list[LeftOut]) -> None:
        so_far = rejected + [(record.image_id, record.reason) for record in unreadable]
        check_rejected(so_far, found, ingest.max_rejected_fraction, so_far=True)

    with StepsProgress(bar=bar) as shown:
        yield from packing.pack_images(
            celeba,
            kept,
            settings,
            packed_images_previous,
            check=check,
            find_rare=find_rare,
            progress=lambda done, total: shown.show("Packing images", done, total),
            progress_held_out=lambda done, total: shown.show("Decoding valid and test", done, total),
            ranks=current(),
        )
    current().announce("")


def follow_packing(
    celeba: Source, image_index: Any, source_report: SourceReport, settings: PreprocessSettings
) -> Iterator[Shard]:
    """Packs this rank's part; rank 0 has what was packed before, and writes the manifest."""
    from celeba_gan.images import labels, packing

    kept, _ = labels.without_rare_classes(
        image_index, settings.condition_on, settings.min_class_images, notes=source_report.notes
    )
    yield from packing.follow_packing(celeba, kept, settings, current())


def label_images(
    packed_images: PackedImages, image_index: Any, settings: PreprocessSettings
) -> tuple[Any, Any, Any, Any, Any]:
    """Labels every packed image, and lists the classes, the duplicates and the unreadable images.

    Returns:
        Five DataFrames: `labels`, `classes`, `left_out_classes` and `duplicate_images` (see `label_images`,
        `count_classes`, `without_rare_classes` and `list_duplicates` in `celeba_gan.images.labels`), and
        `unreadable_images` (image_id, reason).
    """
    import pandas as pd

    from celeba_gan.images import labels

    manifest = packed_images.manifest
    unreadable = [(record.image_id, record.reason) for record in manifest.unreadable]
    fewest = settings.min_class_images
    lost = {record.image_id for record in [*manifest.unreadable, *manifest.leaks]}
    kept, left_out = labels.without_rare_classes(image_index, settings.condition_on, fewest, lost)
    labelled = labels.label_images(manifest, kept, settings.condition_on, min_class_images=fewest)
    return (
        labelled,
        labels.count_classes(labelled, settings.condition_on),
        left_out,
        labels.list_duplicates(manifest, image_index),
        pd.DataFrame(unreadable, columns=["image_id", "reason"], dtype="str"),
    )


def report_data(
    image_index: Any,
    source_report: SourceReport,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    left_out_classes: Any,
    rejected_images: Any,
    unreadable_images: Any,
    duplicate_images: Any,
    settings: PreprocessSettings,
    ingest: IngestSettings,
) -> tuple[DataReport, Any, Any, Any, Any, str]:
    """Summarises the data in numbers, words and pictures, and writes the page that shows all of it.

    One node, because Kedro runs nodes by depth: a page that needed this node's outputs would come after the training,
    too late to show a wrong crop.

    Returns:
        `data_report`, the charts of attributes and of sizes, a contact sheet, the mean image, and the page as HTML.
    """
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.reporting.data.charts import plot_attributes, plot_sizes
    from celeba_gan.reporting.data.contact_sheet import draw_contact_sheet
    from celeba_gan.reporting.data.page import render_data
    from celeba_gan.reporting.data.pixel_statistics import draw_mean, measure_pixels
    from celeba_gan.reporting.data.report import DataTables, summarise_data
    from celeba_gan.sources.tables.attribute_names import PUBLISHED_RATES

    with StepsProgress() as bar:
        pixels = measure_pixels(
            packed_images, progress=lambda done, total: bar.show("Measuring training images", done, total)
        )
    report = summarise_data(
        DataTables(image_index, labels, classes, left_out_classes),
        source_report,
        packed_images.manifest,
        pixels,
        settings.condition_on,
        ingest.max_rejected_fraction,
        PUBLISHED_RATES,
    )
    charts = plot_attributes(report), plot_sizes(image_index, settings.crop)
    pictures = draw_contact_sheet(packed_images, labels, classes), draw_mean(pixels)
    tables = rejected_images, unreadable_images, duplicate_images, left_out_classes
    return report, *charts, *pictures, render_data(report, *charts, *pictures, *tables)


def packing_changes(
    manifest: Manifest, settings: PreprocessSettings, index: Any = None, labels: Any = None
) -> list[str]:
    """Why packing would give other images than the packed ones, a line for each reason.

    A file that was only written again is no reason: its pixels may be the same.

    Args:
        manifest: Of the packed images.
        settings: Of the next packing.
        index: The image index of the next packing (image_id, split); None: not known.
        labels: Those of the packed images (image_id, split); None: not known.
    """
    recipe = manifest.recipe.model_dump(include={"size", "crop", "filter", "background"})
    before = {**recipe, "shard_images": manifest.shard_images}
    now = {**{name: getattr(settings, name) for name in recipe}, "shard_images": settings.images_per_shard}
    from celeba_gan.images.labels import left_out_ids, without_rare_classes

    found = [
        f"  preprocess.{name}: {before[name]} before, {now[name]} now" for name in now if before[name] != now[name]
    ]
    if index is None or labels is None:
        return found
    if settings.min_class_images > 0:
        index, _ = without_rare_classes(index, settings.condition_on, settings.min_class_images)
    left_out = left_out_ids(manifest)
    old, new = (dict(zip(table["image_id"], table["split"], strict=True)) for table in (labels, index))
    added = len(new.keys() - old.keys() - left_out)
    removed = len(old.keys() - new.keys())
    moved = sum(split != new.get(image_id, split) for image_id, split in old.items())
    if added and not removed and not moved:
        found.append(f"  images: {counted(added, 'image')} added to the {len(old):,}, and nothing else changed")
    elif added or removed or moved:
        found.append(f"  images: {added:,} added, {removed:,} removed, {moved:,} in another split")
    return found
