"""What is unusual about the data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Final

from celeba_gan.foundation.wording import counted, listed
from celeba_gan.gan.augment.config import FEW_IMAGES
from celeba_gan.reporting.data.data_report import ALL, DataReport, Sizes

# Two shares differ by more than 2 percentage points, since less does not matter to a generator, and by more than 4
# standard errors: with forty attributes, 3 would give a false alarm in one of ten reports.
POINTS: Final = 0.02
STANDARD_ERRORS: Final = 4
FEW_OF_A_CLASS: Final = 100
FEW_TO_MEASURE: Final = 100
FULL_SIZE: Final = (178, 218)
HALF_SIZE: Final = (89, 109)  # of CelebA's 178x218
NOTHING: Final = "Nothing unusual was found."

_ONE_SIZE: Final = 0.9  # of the photographs
_SOME_GRAY, _ALL_GRAY = 0.1, 0.9
_LEAST_DEVIATION: Final = 1  # of 255, over the images
_SHOWN: Final = 8


def find_peculiarities(report: DataReport) -> list[str]:
    """What is unusual in a data report, in sentences; `NOTHING` if nothing is.

    Photographs of one person are alike, so standard errors count persons, if identities are known.
    """
    notes = report.source.notes
    looks = (_duplicates, _sizes, _few, _alike, _gray, _published, _splits, _files)
    found = [*_unusable(report), *notes, *(finding for look in looks for finding in look(report))]
    return found or [NOTHING]


def _files(report: DataReport) -> Iterator[str]:
    if changed := [file.name for file in report.source.files if file.verdict.startswith("not ")]:
        verb = "is not the file" if len(changed) == 1 else "are not the files"
        yield f"{listed(changed, _SHOWN)} {verb} that CelebA's authors publish, but edited or incomplete."


def _unusable(report: DataReport) -> Iterator[str]:
    left_out = report.left_out
    share, limit = left_out.share, left_out.largest_share
    if left_out.unusable and share >= limit / 2:
        reasons = [*left_out.rejected.items(), *left_out.unreadable.items()]
        yield (
            f"{left_out.unusable:,} of {report.images.found:,} photographs ({share:.2%}) cannot be used, near "
            f"the limit of {limit:.2%} (ingest.max_rejected_fraction): "
            f"{listed([f'{reason} ({count:,})' for reason, count in reasons], _SHOWN)}."
        )


def _duplicates(report: DataReport) -> Iterator[str]:
    duplicates, leaks = report.duplicates, report.left_out.leaks
    if duplicates.groups:
        some = f"{leaks:,} of train {'was' if leaks == 1 else 'were'} removed because valid or test has the same"
        removed = some if leaks else "none of train is in valid or test"
        yield (
            f"{duplicates.photographs:,} photographs become the same pixels as another, in "
            f"{counted(duplicates.groups, 'group')}; {removed}. See duplicate_images.csv beside the labels."
        )


def _sizes(report: DataReport) -> Iterator[str]:
    sizes, crop, kind = report.sizes, report.recipe.crop, report.source.kind
    total = report.images.indexed[ALL]
    first = sizes.most_common[0]
    one_size = first.photographs >= _ONE_SIZE * total
    if one_size and kind == "celeba" and (first.width, first.height) == HALF_SIZE:
        seen = {"none": "all of their width is kept", 89: "crop 89 keeps what 178 keeps at full size"}.get(
            crop, f"a crop of 89 would keep what 178 keeps at full size, {crop} keeps less"
        )
        yield (
            f"The photographs are 89x109, half of CelebA's 178x218; {seen}. Numbers cannot be compared with full size."
        )
    elif one_size and kind == "celeba" and (first.width, first.height) != FULL_SIZE:
        yield (
            f"The photographs are {first.width}x{first.height}, while CelebA's are 178x218. Resized copies of "
            "CelebA are fine. In another set the same file names are other people, and the labels are wrong: use "
            "--env folder."
        )
    if not one_size and kind == "celeba":
        yield (
            f"The photographs have {_range(sizes)}, while CelebA's aligned ones are all 178x218: they look like the "
            "originals from the wild, where a centre crop may cut off the face. Use img_align_celeba."
        )
    elif not one_size and crop != "none":
        yield (
            f"The photographs have {_range(sizes)}, and a crop of {crop} pixels shows more of small ones than of large "
            "ones. preprocess.crop=none uses the largest square of each."
        )


def _few(report: DataReport) -> Iterator[str]:
    train = report.images.packed["train"]
    if train < FEW_IMAGES:
        yield (
            f"The train split has only {counted(train, 'image')}; with fewer than about {FEW_IMAGES:,} a GAN soon "
            "memorises them. Train with augmentation (train.augment.name=diffaugment or ada), and compare samples with "
            "the nearest training images in the report of the evaluation."
        )
    for split in ("valid", "test"):
        images = report.images.packed[split]
        if images < FEW_TO_MEASURE:
            yield f"The {split} split has only {counted(images, 'image')}: metrics on so few are mostly noise."
    classes = report.classes
    few = classes.with_few_images
    if classes.number > 1 and few:
        smallest = [f"{row.name} ({row.train:,})" for row in classes.smallest[:few]]
        yield (
            f"{few:,} of {classes.number:,} classes have fewer than {FEW_OF_A_CLASS} training images, too few to "
            f"learn much of: {listed(smallest, _SHOWN, total=few)}."
        )


def _alike(report: DataReport) -> Iterator[str]:
    train = report.images.packed["train"]
    if train > 1 and max(report.pixels.deviation) < _LEAST_DEVIATION:
        red, green, blue = (round(value) for value in report.pixels.mean)
        yield (
            f"The {train:,} training images are all alike: their pixels differ by less than {_LEAST_DEVIATION} of 255, "
            f"and are ({red}, {green}, {blue}) in RGB on average. There is only this one image to learn, and distances "
            "from it are in gray levels. Check the photographs, and preprocess.crop."
        )


def _gray(report: DataReport) -> Iterator[str]:
    train, gray = report.images.packed["train"], report.pixels.gray_images
    if gray >= _ALL_GRAY * train:
        yield f"{gray:,} of {train:,} training images are gray; samples will be gray, too."
    elif gray >= _SOME_GRAY * train:
        yield f"{gray:,} of {train:,} training images are gray, the others are coloured."


def _published(report: DataReport) -> Iterator[str]:
    """Only for CelebA: other photographs need not resemble it."""
    if report.source.kind != "celeba":
        return
    size = _sample_size(report, ALL)
    different, swapped, known = {}, [], 0
    for name, attribute in report.attributes.items():
        here, there = attribute.share[ALL], attribute.published
        if here is None or there is None:
            continue
        known += 1
        if _differ(here, there, there, 1 / size):
            different[name] = (here, there)
            if not _differ(1 - here, there, there, 1 / size):
                swapped.append(name)
    if different:
        yield (
            f"{len(different)} of {known} attributes are not as frequent as in all of CelebA "
            f"({_bound(report, ALL)}): {_list_shares(different, '{} instead of {}')}."
        )
    if swapped:
        yield f"With 0 and 1 swapped these attributes would be as frequent as in CelebA: {listed(swapped, _SHOWN)}."


def _splits(report: DataReport) -> Iterator[str]:
    train = _sample_size(report, "train")
    for split in ("valid", "test"):
        size, different = _sample_size(report, split), {}
        for name, attribute in report.attributes.items():
            here, there = attribute.share[split], attribute.share["train"]
            if here is None or there is None:
                continue
            pooled = (here * size + there * train) / (size + train)
            if _differ(here, there, pooled, 1 / size + 1 / train):
                different[name] = (here, there)
        if different:
            yield (
                f"{split} and train differ in {len(different)} of {len(report.attributes)} attributes "
                f"({_bound(report, split)} of {split}): {_list_shares(different, '{} and {}')}."
            )


def _differ(here: float, there: float, expected: float, inverse_size: float) -> bool:
    standard_error = sqrt(expected * (1 - expected) * inverse_size)
    return abs(here - there) > max(POINTS, STANDARD_ERRORS * standard_error)


def _sample_size(report: DataReport, split: str) -> int:
    return (report.images.persons or report.images.packed)[split]


def _bound(report: DataReport, split: str) -> str:
    images = report.images
    persons = f" with {counted(images.persons[split], 'person')}" if images.persons else ""
    return (
        f"more than {POINTS * 100:.0f} percentage points and {STANDARD_ERRORS} standard errors apart, in the "
        f"{images.packed[split]:,} images{persons}"
    )


def _list_shares(different: Mapping[str, tuple[float, float]], words: str) -> str:
    """The largest differences first."""
    order = sorted(different, key=lambda name: -abs(different[name][0] - different[name][1]))
    return listed([f"{name} {words.format(*(f'{share:.1%}' for share in different[name]))}" for name in order], _SHOWN)


def _range(sizes: Sizes) -> str:
    smallest, largest = ("x".join(map(str, size)) for size in (sizes.smallest, sizes.largest))
    return f"{sizes.distinct:,} sizes from {smallest} to {largest}"
