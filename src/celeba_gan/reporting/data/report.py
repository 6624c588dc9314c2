"""Summarises the data: what was found, packed and rejected, and how it is distributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.images.labels import LABEL, attribute_names, describe_rare_classes
from celeba_gan.images.packed import Manifest
from celeba_gan.reporting.data.data_report import (
    ALL,
    AttributeShares,
    Classes,
    Counts,
    DataReport,
    Duplicates,
    ImageCounts,
    LeftOutCounts,
    Pixels,
    Shares,
    Sizes,
    SourceFacts,
)
from celeba_gan.reporting.data.findings import FEW_OF_A_CLASS, NOTHING, find_peculiarities
from celeba_gan.reporting.data.pixel_statistics import PixelStatistics
from celeba_gan.sources.source_report import SourceReport, count_reasons

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_FIRST_GROUPS: Final = 10
_FIRST_SIZES: Final = 10
_SMALLEST_CLASSES: Final = 100  # classes.csv lists all
_LARGEST_LABELS: Final = 60


@dataclass(frozen=True)
class DataTables:
    """The tables of earlier stages."""

    index: DataFrame  # the image index
    labels: DataFrame  # of the packed images; row i describes image i
    classes: DataFrame  # from `count_classes`
    left_out_classes: DataFrame  # from `without_rare_classes`


def summarise_data(
    tables: DataTables,
    source_report: SourceReport,
    manifest: Manifest,
    pixels: PixelStatistics,
    condition_on: list[str],
    max_rejected_fraction: float,
    published: Mapping[str, float],
) -> DataReport:
    """Summarises the data, with findings in sentences.

    `max_rejected_fraction`, in [0, 1], of the images found may be unusable; `published` has the share in [0, 1] of
    CelebA's images that have each attribute.
    """
    if source_report.kind not in ("celeba", "synthetic"):  # in other sources a name may have another meaning
        published = {}
    report = DataReport(
        findings=[],
        source=SourceFacts(**source_report.model_dump(include=set(SourceFacts.model_fields))),
        images=ImageCounts(
            found=source_report.images_found,
            indexed=_by_split(tables.index["split"].value_counts()),
            packed=_by_split(tables.labels["split"].value_counts()),
            persons=_count_persons(tables),
        ),
        left_out=_left_out(source_report, manifest, max_rejected_fraction),
        duplicates=Duplicates(
            photographs=sum(map(len, manifest.duplicates)),
            groups=len(manifest.duplicates),
            first_groups=manifest.duplicates[:_FIRST_GROUPS],
        ),
        sizes=_sizes(tables.index),
        recipe=manifest.recipe,
        pixels=Pixels(
            mean=pixels.mean.mean(axis=(0, 1)).round(2).tolist(),
            deviation=pixels.deviation.mean(axis=(0, 1)).round(2).tolist(),
            gray_images=pixels.gray,
        ),
        classes=Classes(
            condition_on=condition_on,
            number=len(tables.classes),
            with_few_images=int((tables.classes["train"] < FEW_OF_A_CLASS).sum()),
            smallest=tables.classes.nsmallest(_SMALLEST_CLASSES, "train").to_dict("records"),
        ),
        attributes=_attributes(tables.labels, published),
        labels=_labels(tables.labels),
    )
    findings = find_peculiarities(report)
    if len(tables.left_out_classes):
        others = [finding for finding in findings if finding != NOTHING]
        findings = [describe_rare_classes(tables.left_out_classes), *others]
    return report.model_copy(update={"findings": findings})


def _by_split(counts: Series[int]) -> Counts:
    """Counts with the splits as index, with the missing splits and the sum."""
    by_split = {split: int(counts.get(split, 0)) for split in SPLITS}
    return {**by_split, ALL: sum(by_split.values())}


def _count_persons(tables: DataTables) -> Counts | None:
    """The persons on the packed photographs; None without identities."""
    if "identity" not in tables.index:
        return None
    identity = tables.labels["image_id"].map(tables.index.set_index("image_id")["identity"])
    persons = identity.groupby(tables.labels["split"]).nunique()
    return {**_by_split(persons), ALL: int(identity.nunique())}


def _left_out(source_report: SourceReport, manifest: Manifest, limit: float) -> LeftOutCounts:
    unusable = sum(source_report.rejected.values()) + len(manifest.unreadable)
    return LeftOutCounts(
        rejected=source_report.rejected,
        unreadable=count_reasons(record.reason for record in manifest.unreadable),
        unusable=unusable,
        share=unusable / source_report.images_found,
        largest_share=limit,
        leaks=len(manifest.leaks),
    )


def _sizes(index: DataFrame) -> Sizes:
    counts = index.value_counts(["width", "height"]).rename("photographs").reset_index()
    counts = counts.sort_values(["photographs", "width", "height"], ascending=[False, True, True])
    by_area = counts.assign(area=counts["width"].astype("int64") * counts["height"]).sort_values("area", kind="stable")
    return Sizes(
        distinct=len(counts),
        smallest=tuple(by_area[["width", "height"]].iloc[0].tolist()),
        largest=tuple(by_area[["width", "height"]].iloc[-1].tolist()),
        most_common=counts.head(_FIRST_SIZES).to_dict("records"),
    )


def _attributes(labels: DataFrame, published: Mapping[str, float]) -> dict[str, AttributeShares]:
    names = attribute_names(labels)
    having = labels.groupby("split")[names].sum()
    total = _by_split(labels["split"].value_counts())
    return {
        name: AttributeShares(**dict(_shares(having[name], total)), published=published.get(name)) for name in names
    }


def _labels(labels: DataFrame) -> dict[str, Shares]:
    """The most frequent labels."""
    import pandas as pd

    if LABEL not in labels:
        return {}
    total = _by_split(labels["split"].value_counts())
    having = pd.crosstab(labels[LABEL], labels["split"])
    largest = having.sum(axis=1).sort_values(ascending=False, kind="stable").head(_LARGEST_LABELS).index
    return {str(label): _shares(having.loc[label], total) for label in largest}


def _shares(having: Series[int], total: Counts) -> Shares:
    images = _by_split(having)
    return Shares(
        images=images, share={split: images[split] / total[split] if total[split] else None for split in images}
    )
