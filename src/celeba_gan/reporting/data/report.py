"""The data in numbers: what was found, what became of it, and what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.images.labels import LABEL, attribute_names
from celeba_gan.images.packed import Manifest
from celeba_gan.reporting.data.findings import FEW_OF_A_CLASS, find_peculiarities
from celeba_gan.reporting.data.pixel_statistics import PixelStatistics

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_FIRST_GROUPS: Final = 10
_FIRST_SIZES: Final = 10
_SMALLEST_CLASSES: Final = 100  # classes.csv has all
_LARGEST_LABELS: Final = 60


@dataclass(frozen=True)
class DataTables:
    """What the stages say about each photograph.

    Attributes:
        index: The image index.
        labels: Of the packed images; row i describes image i.
        classes: The classes and their images, see `count_classes`.
    """

    index: DataFrame
    labels: DataFrame
    classes: DataFrame


def report_data(
    tables: DataTables,
    source_report: Mapping[str, Any],
    manifest: Manifest,
    pixels: PixelStatistics,
    condition_on: list[str],
    max_rejected_fraction: float,
    published: Mapping[str, float],
) -> dict[str, Any]:
    """Sum up the data, for JSON.

    Args:
        tables: The photographs.
        source_report: What was found in the source.
        manifest: Of the packed images.
        pixels: Of the training images.
        condition_on: The names that make the classes.
        max_rejected_fraction: Fraction of the images found, in [0, 1], that may be unusable.
        published: The share of all of CelebA's images, in [0, 1], that have each attribute.

    Returns:
        Numbers of images by split ("train", "valid", "test" and "all") and by reason, shares in [0, 1], and `findings`:
        sentences that point out what is unusual, one at least.
    """
    is_folder = source_report["kind"] == "folder"  # an attribute of the same name means there what it means there
    report = {
        "source": {name: source_report[name] for name in ("source", "kind", "files", "ignored_files", "notes")},
        "images": {
            "found": source_report["images_found"],
            "indexed": _by_split(tables.index["split"]),
            "packed": _by_split(tables.labels["split"]),
            "persons": _count_persons(tables),
        },
        "left_out": _left_out(source_report, manifest, max_rejected_fraction),
        "duplicates": _duplicates(manifest),
        "sizes": _sizes(tables.index),
        "recipe": manifest.recipe.model_dump(),
        "pixels": {
            "mean": pixels.mean.mean(axis=(0, 1)).round(2).tolist(),
            "deviation": pixels.deviation.mean(axis=(0, 1)).round(2).tolist(),
            "gray_images": pixels.gray,
        },
        "classes": {
            "condition_on": condition_on,
            "number": len(tables.classes),
            "with_few_images": int((tables.classes["train"] < FEW_OF_A_CLASS).sum()),
            "smallest": tables.classes.nsmallest(_SMALLEST_CLASSES, "train").to_dict("records"),
        },
        "attributes": _attributes(tables.labels, {} if is_folder else published),
        "labels": _labels(tables.labels),
    }
    return {"findings": find_peculiarities(report), **report}


def _by_split(splits: Series[str]) -> dict[str, int]:
    counts = splits.value_counts()
    return {**{split: int(counts.get(split, 0)) for split in SPLITS}, "all": len(splits)}


def _count_persons(tables: DataTables) -> dict[str, int] | None:
    """The persons on the packed photographs; None where they are not known."""
    if "identity" not in tables.index:
        return None
    identity = tables.labels["image_id"].map(tables.index.set_index("image_id")["identity"])
    persons = identity.groupby(tables.labels["split"]).nunique()
    return {**{split: int(persons.get(split, 0)) for split in SPLITS}, "all": int(identity.nunique())}


def _left_out(source_report: Mapping[str, Any], manifest: Manifest, limit: float) -> dict[str, Any]:
    unusable = sum(source_report["rejected"].values()) + len(manifest.unreadable)
    return {
        "rejected": dict(source_report["rejected"]),
        "unreadable": _count_reasons(record.reason for record in manifest.unreadable),
        "unusable": unusable,
        "share": unusable / source_report["images_found"],
        "largest_share": limit,
        "leaks": len(manifest.leaks),
    }


def _count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    return dict(Counter(reason.partition(":")[0] for reason in reasons).most_common())


def _duplicates(manifest: Manifest) -> dict[str, Any]:
    return {
        "photographs": sum(map(len, manifest.duplicates)),
        "groups": len(manifest.duplicates),
        "first_groups": manifest.duplicates[:_FIRST_GROUPS],
    }


def _sizes(index: DataFrame) -> dict[str, Any]:
    counts = index.value_counts(["width", "height"]).rename("photographs").reset_index()
    counts = counts.sort_values(["photographs", "width", "height"], ascending=[False, True, True])
    by_area = counts.assign(area=counts["width"].astype("int64") * counts["height"]).sort_values("area", kind="stable")
    return {
        "distinct": len(counts),
        "smallest": by_area[["width", "height"]].iloc[0].tolist(),
        "largest": by_area[["width", "height"]].iloc[-1].tolist(),
        "most_common": counts.head(_FIRST_SIZES).to_dict("records"),
    }


def _attributes(labels: DataFrame, published: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    names = attribute_names(labels)
    having = labels.groupby("split")[names].sum()
    total = _by_split(labels["split"])
    return {
        name: {**_shares({split: int(having[name].get(split, 0)) for split in SPLITS}, total),
               "published": published.get(name)}
        for name in names
    }  # fmt: skip


def _labels(labels: DataFrame) -> dict[str, dict[str, Any]]:
    """The labels that most images have."""
    import pandas as pd

    if LABEL not in labels:
        return {}
    total = _by_split(labels["split"])
    having = pd.crosstab(labels[LABEL], labels["split"])
    largest = having.sum(axis=1).sort_values(ascending=False, kind="stable").head(_LARGEST_LABELS).index
    return {
        str(label): _shares({split: int(having.loc[label].get(split, 0)) for split in SPLITS}, total)
        for label in largest
    }


def _shares(images: dict[str, int], total: Mapping[str, int]) -> dict[str, Any]:
    images = {**images, "all": sum(images.values())}
    return {
        "images": images,
        "share": {split: images[split] / total[split] if total[split] else None for split in images},
    }
