"""The photograph, split, attributes and class of each packed image."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.foundation.wording import counted, listed, stage_command
from celeba_gan.images.packed import Manifest, PackedImagesError, hash_texts
from celeba_gan.images.packing import packing_order

if TYPE_CHECKING:
    from pandas import DataFrame

LABEL: Final = "label"
"""The column of labels; allowed in `condition_on` like an attribute."""
_NOT_ATTRIBUTES: Final = frozenset({"image_id", "split", "width", "height", "identity", LABEL, "class"})
_MOST_CLASSES: Final = 2**15  # their numbers are int16
_SHOWN: Final = 10


class LabelError(ValueError):
    """The images cannot be labelled as requested; the message says why and what to do."""


def label_images(
    manifest: Manifest, image_index: DataFrame, condition_on: Sequence[str], *, min_class_images: int = 0
) -> DataFrame:
    """Labels every packed image, with the index they were packed from.

    The combinations of `condition_on`, attributes or `label`, are the classes; without any, every image is of class 0.
    With `min_class_images` above 0 combinations without any image are no classes; see `without_rare_classes`.

    Returns:
        A table whose row i describes packed image i: `image_id`, `split`, `label` where the index has it (str), every
        attribute of the index (int8, 0 or 1: multi-hot) and `class` (int16), which counts as `class_names` does.
        Photographs that the manifest leaves out have no row.

    Raises:
        PackedImagesError: The images were packed from another index.
        LabelError: A name in `condition_on` is not in the index, an attribute is named `class`, a class has no image in
            the train split, or there are more than 32,768 classes.
    """
    packed = packing_order(image_index[~image_index["image_id"].isin(left_out_ids(manifest))])
    if hash_texts(packed["image_id"], packed["split"]) != manifest.images_digest:
        raise PackedImagesError(
            f"The {counted(manifest.count, 'image')} were packed from another index than this one, which has "
            f"{counted(len(packed), 'usable image')}. Pack them again: {stage_command('preprocess')}"
        )
    if "class" in packed:
        raise LabelError(
            "These images have an attribute named class, which is reserved for the class numbers. Rename it in their "
            "table."
        )
    attributes = _known_attributes(packed, condition_on)
    labels = packed[["image_id", "split", *([LABEL] if LABEL in packed else []), *attributes]].copy()
    codes = _class_codes(labels, condition_on)
    if min_class_images == 0:
        _check_no_class_is_empty(labels, condition_on, codes)
    labels["class"] = np.unique(codes, return_inverse=True)[1].astype(np.int16)
    return labels


def left_out_ids(manifest: Manifest) -> set[str]:
    """The photographs of the index that are not packed."""
    return {record.image_id for record in [*manifest.unreadable, *manifest.leaks]} | set(manifest.rare)


def check_labels(labels: DataFrame, manifest: Manifest) -> None:
    """Refuses labels of other images, as a run leaves them that was killed after packing.

    Raises:
        PackedImagesError: The labels are not of the packed images.
    """
    complete = {"image_id", "split", "class"} <= {*labels.columns}
    if not complete or hash_texts(labels["image_id"], labels["split"]) != manifest.images_digest:
        raise PackedImagesError(
            f"The labels ({len(labels):,} rows) are of other images than the {manifest.count:,} packed ones. "
            f"Label these: {stage_command('preprocess')}"
        )


def without_rare_classes(
    image_index: DataFrame,
    condition_on: Sequence[str],
    min_class_images: int,
    not_packed: Collection[str] = (),
    notes: Sequence[str] = (),
) -> tuple[DataFrame, DataFrame]:
    """Leaves out the images of rare classes, and validates `condition_on` before anything is packed.

    Only packing finds the photographs that cannot be read, and those of train that valid or test has too. Called again
    with these it counts without them, so that `min_class_images` holds for what is trained on.

    Args:
        image_index: The images, with `split` and the columns of `condition_on`.
        condition_on: As for `label_images`.
        min_class_images: Images of the train split that a class needs; with 0 a class without any is an error.
        not_packed: Images that do not count.
        notes: Sentences about what the tables of the images lack, for messages.

    Returns:
        The images of the other classes, and a table of the classes left out: `name`, `train`, `valid`, `test` (images),
        the smallest first.

    Raises:
        LabelError: A name is not an attribute of these images, a class has no image in the train split, or the classes
            that are left have no image in a split.
    """
    _known_attributes(image_index, condition_on, notes)
    codes = _class_codes(image_index, condition_on)
    if min_class_images == 0:
        _check_no_class_is_empty(image_index, condition_on, codes)
    counts = _count(image_index, condition_on, codes, ~image_index["image_id"].isin(list(not_packed)).to_numpy())
    enough = counts["train"].to_numpy() >= min_class_images
    kept = image_index[enough[np.unique(codes, return_inverse=True)[1]]]
    left_out = counts[~enough].drop(columns="class")
    missing = [split for split in SPLITS if counts[split].any() and not counts.loc[enough, split].any()]
    if missing:
        raise LabelError(
            f"preprocess.min_class_images = {min_class_images} leaves out {len(left_out):,} of {len(counts):,} classes "
            f"and all images of {' and '.join(missing)}. The largest class has {counts['train'].max():,} "
            "images in train. Set a smaller preprocess.min_class_images"
        )
    return kept, left_out.sort_values("train", kind="stable", ignore_index=True)


def describe_rare_classes(left_out: DataFrame) -> str:
    """The classes that `without_rare_classes` left out, in a sentence."""
    named = [f"{row.name} ({row.train:,})" for row in left_out.itertuples(index=False)]
    images = int(left_out[list(SPLITS)].to_numpy().sum())
    return (
        f"{counted(len(left_out), 'class', 'classes')} left out for too few training images "
        f"(preprocess.min_class_images), {counted(images, 'image')} in all: {listed(named, _SHOWN)}. "
        "left_out_classes.csv beside the labels lists them."
    )


def _known_attributes(table: DataFrame, condition_on: Sequence[str], notes: Sequence[str] = ()) -> list[str]:
    """The attributes; raises if a name in `condition_on` is neither one nor `label`."""
    attributes = attribute_names(table)
    for name in condition_on:
        if name not in attributes and not (name == LABEL and LABEL in table):
            raise LabelError(_unknown("preprocess.condition_on", name, attributes, notes))
    return attributes


def attribute_names(table: DataFrame) -> list[str]:
    """The columns of an image index or of labels that are attributes."""
    return [str(column) for column in table.columns if column not in _NOT_ATTRIBUTES]


def class_names(condition_on: Sequence[str], label_values: Sequence[str] = ()) -> list[str]:
    """The names of the classes in their order: the combinations of the attributes, the first varying slowest.

    `["Male", "Smiling"]` gives "not Male + not Smiling", "not Male + Smiling", "Male + not Smiling", "Male + Smiling";
    no attribute gives the one class "all". The values of `label` are those given, sorted.
    """
    choices = [label_values if name == LABEL else (f"not {name}", name) for name in condition_on]
    return [" + ".join(combination) for combination in product(*choices)] if choices else ["all"]


def count_classes(labels: DataFrame, condition_on: Sequence[str]) -> DataFrame:
    """How many images each class has.

    Returns:
        A table with one row per class in the order of their numbers: `class`, `name`, and the images of each split in
        `train`, `valid` and `test`.
    """
    return _count(labels, condition_on, _class_codes(labels, condition_on), np.ones(len(labels), bool))


def _count(
    labels: DataFrame, condition_on: Sequence[str], codes: NDArray[np.int64], counts: NDArray[np.bool_]
) -> DataFrame:
    """`count_classes` of the combinations that have an image; only images where `counts` is true count."""
    import pandas as pd

    names = class_names(condition_on, _label_values(labels))
    numbers, dense = np.unique(codes, return_inverse=True)
    columns = {
        split: np.bincount(dense, (labels["split"] == split).to_numpy() & counts, len(numbers)).astype(np.int64)
        for split in SPLITS
    }
    return pd.DataFrame(
        {"class": np.arange(len(numbers)), "name": [names[code] for code in numbers.tolist()], **columns}
    )


def name_labels(
    labels: DataFrame, classes: DataFrame, kind: str, attributes: Sequence[str] = (), notes: Sequence[str] = ()
) -> tuple[list[str], NDArray[np.int_]]:
    """The conditions of networks for every packed image, of the kind `none`, `class` or `attributes` (empty: all).

    `notes` are sentences about what the tables of the images lack, for messages.

    Returns:
        Names, and for each image the number of its class, (images,), or zeros and ones, (images, names); no names for
        `none`.

    Raises:
        LabelError: There is only one class, or an attribute does not exist.
    """
    if kind == "none":
        return [], np.zeros((0, 0), np.int64)
    if kind == "class":
        if len(classes) < 2:
            raise LabelError(
                "train.condition.name is class, but there is only one class; name attributes whose combinations "
                "are the classes in preprocess.condition_on (Male+Smiling, or label), or choose attributes, or none"
            )
        return [str(name) for name in classes["name"]], labels["class"].to_numpy(np.int64)
    known = attribute_names(labels)
    for name in attributes:
        if name not in known:
            raise LabelError(_unknown("train.condition.attributes", name, known, notes))
    names = list(attributes) or known
    if not names:
        raise LabelError(
            f"train.condition.name is attributes, but these images have none: {_NO_ATTRIBUTES}, or choose class or none"
        )
    return names, labels[names].to_numpy(np.int64)


def labels_as_named(labels: DataFrame, classes: DataFrame, kind: str, names: Sequence[str]) -> NDArray[np.int_]:
    """The values of `name_labels` for networks trained with these names.

    Raises:
        LabelError: These images have other classes, or lack an attribute.
    """
    has = [str(name) for name in classes["name"]] if kind == "class" else attribute_names(labels)
    fits = has == list(names) if kind == "class" else set(names) <= set(has)
    if not fits:
        nouns = "classes" if kind == "class" else "attributes"
        before = " and preprocess.condition_on" if kind == "class" else ""
        raise LabelError(
            f"The generator was trained on the {nouns} {listed(list(names), _SHOWN)}; these images have "
            f"{listed(has, _SHOWN) or 'none'}. Measure it on images with these {nouns}: those that it was trained on, "
            f"with the --env, dataset{before} of its training, or others labelled alike."
        )
    return name_labels(labels, classes, kind, names if kind == "attributes" else ())[1]


def list_duplicates(manifest: Manifest, image_index: DataFrame) -> DataFrame:
    """The photographs whose packed pixels equal those of others.

    Returns:
        A table with one row per photograph: `image_id`, `split`, `group` (from 1) and `removed` (1 for a
        photograph of train that is not packed because another split has it, else 0).
    """
    import pandas as pd

    numbered = [(image_id, group) for group, ids in enumerate(manifest.duplicates, start=1) for image_id in ids]
    table = pd.DataFrame(numbered, columns=["image_id", "group"]).astype({"image_id": "str", "group": "int64"})
    table.insert(1, "split", table["image_id"].map(image_index.set_index("image_id")["split"]))
    table["removed"] = table["image_id"].isin([leak.image_id for leak in manifest.leaks]).astype("int64")
    return table


def _label_values(labels: DataFrame) -> list[str]:
    return sorted(labels[LABEL].unique()) if LABEL in labels else []


def _class_codes(labels: DataFrame, condition_on: Sequence[str]) -> NDArray[np.int64]:
    """The place of each row's class in `class_names`; the first of `condition_on` is the most significant digit."""
    import pandas as pd

    values = _label_values(labels)
    count = prod(len(values) if name == LABEL else 2 for name in condition_on)
    if count > _MOST_CLASSES:
        instead = "Remove one of the names" if len(condition_on) > 1 else "Merge labels, or choose an attribute"
        raise LabelError(
            f"preprocess.condition_on = {list(condition_on)} makes {count:,} classes; {_MOST_CLASSES:,} at most can be "
            f"numbered. {instead}."
        )
    codes = np.zeros(len(labels), np.int64)
    for name in condition_on:
        if name == LABEL:
            codes = codes * len(values) + pd.Categorical(labels[LABEL], categories=values).codes
        else:
            codes = codes * 2 + labels[name].to_numpy()
    return codes


_NO_ATTRIBUTES: Final = (
    "no table beside them has a column of 0 and 1. Add or correct attributes.csv (of CelebA list_attr_celeba.txt) and "
    "begin again with the stage ingest, which names the columns that it cannot use"
)


def _unknown(parameter: str, name: str, attributes: list[str], notes: Sequence[str] = ()) -> str:
    if name == LABEL:
        return (
            f"{parameter} names 'label', but these images have no labels. A folder of your own "
            "gets them from its subfolders' names with --params source.labels=subfolders, or from a column label of "
            "attributes.csv; CelebA has none, but attributes."
        )
    left_out = next((note for note in notes if "ignoring columns" in note and repr(name).lower() in note.lower()), None)
    if left_out is not None:
        return (
            f"{parameter} names {name!r}, a column that was left out. {left_out} Correct its cells there, and begin "
            "again with the stage ingest."
        )
    if not attributes:
        return f"{parameter} names {name!r}, but these images have no attributes: {_NO_ATTRIBUTES}, or leave it empty."
    lower = {attribute.lower(): attribute for attribute in attributes}
    near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"the attributes are {listed(attributes, 50)}."
    return f"{parameter} names {name!r}, which is not an attribute of these images; {hint}"


def _check_no_class_is_empty(labels: DataFrame, condition_on: Sequence[str], codes: NDArray[np.int64]) -> None:
    names = class_names(condition_on, _label_values(labels))
    counts = {split: np.bincount(codes, labels["split"] == split, len(names)).astype(int) for split in SPLITS}
    empty = counts["train"] == 0
    if not empty.any():
        return
    named = [
        f"{names[code]} (valid {counts['valid'][code]:,}, test {counts['test'][code]:,})"
        for code in np.flatnonzero(empty).tolist()
    ]
    others = counts["train"][counts["train"] > 0]
    ways_out = ["remove one of the names"] if len(condition_on) > 1 else []
    if len(condition_on) > 1 or LABEL in condition_on:
        ways_out.append("leave out such classes with --params preprocess.min_class_images=1")
    else:
        ways_out.append("choose another attribute, which some images of train have and others do not")
    raise LabelError(
        f"preprocess.condition_on = {list(condition_on)} makes {len(names):,} classes, {empty.sum():,} of them "
        f"without a single image in the train split: {listed(named, _SHOWN, '; ')}. "
        f"The others have {others.min():,} to {others.max():,}. {', or '.join(ways_out).capitalize()}."
    )
