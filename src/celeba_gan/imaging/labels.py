"""Which photograph, split, attributes and class belong to each packed image."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

from celeba_gan.imaging.packed import Manifest, PackedImagesError, hash_texts
from celeba_gan.imaging.packing import packing_order

if TYPE_CHECKING:
    from pandas import DataFrame

_NOT_ATTRIBUTES: Final = frozenset({"image_id", "split", "width", "height", "identity"})


class LabelError(ValueError):
    """The images cannot be labelled as asked; the message says why and what to do."""


def label_images(manifest: Manifest, image_index: DataFrame, condition_on: Sequence[str]) -> DataFrame:
    """Give every packed image its labels.

    Args:
        manifest: Of the packed images.
        image_index: The index they were packed from.
        condition_on: Attributes whose combinations are the classes; empty: every image is of class 0.

    Returns:
        A table whose row i describes packed image i: `image_id`, `split` (str), every attribute of the index (int8, 0
        or 1: multi-hot) and `class` (int16), which counts as `class_names(condition_on)` does. Photographs that could
        not be packed have no row.

    Raises:
        PackedImagesError: The images were packed from another index.
        LabelError: An attribute of `condition_on` is not in the index, or a class has no image in the train split.
    """
    unreadable = {record.image_id for record in manifest.unreadable}
    packed = packing_order(image_index[~image_index["image_id"].isin(unreadable)])
    if hash_texts(packed["image_id"], packed["split"]) != manifest.images_digest:
        raise PackedImagesError(
            f"The {manifest.count:,} packed images were packed from another index than this one, which has "
            f"{len(packed):,} readable images. Pack them again: kedro run --pipelines preprocess"
        )
    attributes = [column for column in packed.columns if column not in _NOT_ATTRIBUTES]
    for name in condition_on:
        if name not in attributes:
            raise LabelError(_unknown_attribute(name, attributes))
    labels = packed[["image_id", "split", *attributes]].copy()
    classes = labels["split"].map(lambda _: 0)
    for name in condition_on:
        classes = 2 * classes + labels[name]
    labels["class"] = classes.astype("int16")
    _check_no_class_is_empty(labels, condition_on)
    return labels


def class_names(condition_on: Sequence[str]) -> list[str]:
    """The names of the classes in their order: the combinations of the attributes, the first varying slowest.

    `["Male", "Smiling"]` gives "not Male + not Smiling", "not Male + Smiling", "Male + not Smiling", "Male + Smiling";
    no attribute gives the one class "all".
    """
    choices = [(f"not {name}", name) for name in condition_on]
    return [" + ".join(combination) for combination in product(*choices)] if choices else ["all"]


def _unknown_attribute(name: str, attributes: list[str]) -> str:
    if not attributes:
        return (
            f"preprocess.condition_on names {name!r}, but these images have no attributes: "
            f"add list_attr_celeba.txt to the source, or leave condition_on empty."
        )
    lower = {attribute.lower(): attribute for attribute in attributes}
    near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"the attributes are {', '.join(attributes)}."
    return f"preprocess.condition_on names {name!r}, which is no attribute of these images; {hint}"


def _check_no_class_is_empty(labels: DataFrame, condition_on: Sequence[str]) -> None:
    present = set(labels.loc[labels["split"] == "train", "class"].tolist())
    empty = [name for number, name in enumerate(class_names(condition_on)) if number not in present]
    if empty:
        raise LabelError(
            f"preprocess.condition_on = {list(condition_on)} makes classes without a single image in the train split: "
            f"{'; '.join(empty)}. Leave out one of the attributes."
        )
