"""From photographs to shards of small square uint8 images, decoded in parallel.

Pillow does not scale with threads at this size, so the decoding runs in processes. They import this module and the
source's: neither torch nor pandas nor Kedro.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.imaging.config import PreprocessSettings
from celeba_gan.imaging.packed import (
    SPLITS,
    Manifest,
    PackedImages,
    PackedImagesError,
    Recipe,
    Shard,
    ShardRecord,
    Unreadable,
    hash_pixels,
    hash_texts,
    shard_file,
)
from celeba_gan.workers import available_cores, map_in_processes

if TYPE_CHECKING:
    from pandas import DataFrame

_CHUNK_BYTES: Final = 4 * 2**20
_CHUNK_IMAGES: Final = 128

# Named, because others of Pillow's formats run programs: a stranger's EPS would start Ghostscript.
FORMATS: Final = ("JPEG", "PNG")

logger = logging.getLogger(__name__)


class PackingError(RuntimeError):
    """Packing could not be finished."""


class ImageSource(Protocol):
    """Where photographs come from; pickled into every worker, so it should be small."""

    def read(self, image_id: str) -> bytes:
        """Read one image file; raises OSError when it is missing or damaged."""

    def fingerprint(self, image_ids: Sequence[str]) -> list[str]:
        """For each image a short text that changes when the image does."""


def pack_images(
    source: ImageSource,
    index: DataFrame,
    settings: PreprocessSettings,
    packed_before: PackedImages | None,
    *,
    check: Callable[[list[Unreadable]], None] = lambda unreadable: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Shard | Manifest]:
    """Decode, crop and resize every photograph of the index: train, valid, test in turn, each by image_id.

    Photographs that cannot be read are left out and the shards stay dense. The result does not depend on the number of
    workers. Memory holds two shards at most and four chunks for each worker, however many photographs there are.

    Args:
        source: Where the photographs come from.
        index: One row per photograph with `image_id` and `split`.
        settings: Crop, size, filter, shard length, workers.
        packed_before: The packed images that are there already; where their recipe, shard length and photographs are
            the same, their manifest alone is given back.
        check: Called with the photographs left out so far, each time there are more, and before the manifest; it
            raises when they are too many.
        progress: Called with (photographs done, photographs in all).

    Yields:
        Every shard in order, then the manifest.

    Raises:
        PackingError: A worker process died, or no photograph of the train split could be read.
    """
    order = packing_order(index)
    image_ids, splits = order["image_id"].tolist(), order["split"].tolist()
    recipe = Recipe(crop=settings.crop, size=settings.size, filter=settings.filter, pillow=PIL.__version__)
    source_digest = hash_texts(image_ids, splits, source.fingerprint(image_ids))
    if packed_before is not None:
        before = packed_before.manifest
        changes = _changes(before, recipe, settings.images_per_shard, source_digest) or _damage(packed_before)
        if not changes:
            logger.info("The %d packed images in %s are reused.", before.count, packed_before.folder)
            check(before.unreadable)
            yield before
            return
        logger.info("Packing again, because of the %s.", "; ".join(changes))

    unreadable: list[Unreadable] = []
    shards: list[ShardRecord] = []
    pixels = _decode_all(source, image_ids, recipe, settings.workers, unreadable, check, progress)
    for images in _fill_shards(pixels, settings.images_per_shard, settings.size):
        shards.append(ShardRecord(file=shard_file(len(shards)), images=len(images), sha256=hash_pixels(images)))
        yield Shard(len(shards) - 1, images)
    check(unreadable)

    left_out = {record.image_id for record in unreadable}
    packed = [(image_id, split) for image_id, split in zip(image_ids, splits, strict=True) if image_id not in left_out]
    ranges = _split_ranges([split for _, split in packed])
    if ranges["train"] == (0, 0):
        raise PackingError(f"None of the {splits.count('train')} photographs of the train split could be read.")
    yield Manifest(
        count=len(packed),
        size=settings.size,
        recipe=recipe,
        shard_images=settings.images_per_shard,
        source_digest=source_digest,
        images_digest=hash_texts(*zip(*packed, strict=True)),
        splits=ranges,
        shards=shards,
        unreadable=unreadable,
        digest=_content_digest(settings.size, shards, ranges),
    )


def packing_order(index: DataFrame) -> DataFrame:
    """The rows of an image index in the order in which they are packed: train, valid, test, each by image_id."""
    place = index["split"].map({split: place for place, split in enumerate(SPLITS)})
    ordered = index.assign(_place=place).sort_values(["_place", "image_id"], kind="stable", ignore_index=True)
    return ordered.drop(columns="_place")


def decode_image(data: bytes, recipe: Recipe) -> NDArray[np.uint8]:
    """Decode one photograph, crop its centre and resize it with antialiasing.

    Args:
        data: An image file.
        recipe: Crop, size and filter.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        ValueError: The crop is larger than the photograph, or the photograph is too large to be one.
        OSError: The file is damaged or not an image.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as photograph:
        width, height = photograph.size
        if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels: {width}x{height}")
        side = min(width, height) if recipe.crop == "none" else recipe.crop
        if side > min(width, height):
            raise ValueError(f"smaller than the crop of {side}: {width}x{height}")
        left, top = (width - side) // 2, (height - side) // 2
        # crop, then resize: resize(box=...) would let the filter look at pixels outside of the crop
        square = photograph.crop((left, top, left + side, top + side))
    resample = Image.Resampling[recipe.filter.upper()]
    if square.mode != "RGB":
        square = square.convert("RGB")
    return np.asarray(square.resize((recipe.size, recipe.size), resample))


@dataclass(frozen=True)
class _Chunk:
    images: NDArray[np.uint8]
    unreadable: list[Unreadable]


def _decode_chunk(source: ImageSource, recipe: Recipe, image_ids: Sequence[str]) -> _Chunk:
    """Decode a few photographs; those that cannot be read are left out and named."""
    images = np.empty((len(image_ids), recipe.size, recipe.size, 3), np.uint8)
    unreadable: list[Unreadable] = []
    readable = 0
    for image_id in image_ids:
        try:
            images[readable] = decode_image(source.read(image_id), recipe)
            readable += 1
        except (PIL.UnidentifiedImageError, SyntaxError):
            unreadable.append(Unreadable(image_id=image_id, reason="not an image"))
        except OSError as error:
            unreadable.append(Unreadable(image_id=image_id, reason=f"damaged: {error}"))
        except (ValueError, Image.DecompressionBombError) as error:
            unreadable.append(Unreadable(image_id=image_id, reason=str(error)))
    return _Chunk(images[:readable], unreadable)


def _decode_all(
    source: ImageSource,
    image_ids: list[str],
    recipe: Recipe,
    workers: int | None,
    unreadable: list[Unreadable],
    check: Callable[[list[Unreadable]], None],
    progress: Callable[[int, int], None],
) -> Iterator[NDArray[np.uint8]]:
    """The pixels chunk by chunk, in order; appends to `unreadable` as it goes."""
    length = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (recipe.size * recipe.size * 3)))
    chunks = [image_ids[start : start + length] for start in range(0, len(image_ids), length)]
    done = 0
    for chunk, asked in zip(_decode_chunks(source, recipe, chunks, workers), chunks, strict=True):
        done += len(asked)
        progress(done, len(image_ids))
        if chunk.unreadable:
            unreadable += chunk.unreadable
            check(unreadable)
        yield chunk.images


def _decode_chunks(
    source: ImageSource, recipe: Recipe, chunks: list[list[str]], workers: int | None
) -> Iterator[_Chunk]:
    """The decoded chunks in order."""
    workers = max(1, min(workers or available_cores(), len(chunks)))
    try:
        yield from map_in_processes(_decode_chunk, (source, recipe), chunks, workers)
    except BrokenProcessPool as error:
        raise PackingError(
            f"One of the {workers} processes that decode photographs died, perhaps for want of memory. What was packed "
            f"so far does not count. Try fewer: --params preprocess.workers={max(1, workers // 2)}"
        ) from error


def _fill_shards(chunks: Iterator[NDArray[np.uint8]], length: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Regroup chunks into arrays of `length` images; the last may be shorter."""
    shard = np.empty((length, size, size, 3), np.uint8)
    filled = 0
    for chunk in chunks:
        taken = 0
        while taken < len(chunk):
            step = min(length - filled, len(chunk) - taken)
            shard[filled : filled + step] = chunk[taken : taken + step]
            filled, taken = filled + step, taken + step
            if filled == length:
                yield shard
                shard, filled = np.empty_like(shard), 0
    if filled:
        yield shard[:filled]


def _split_ranges(splits: list[str]) -> dict[str, tuple[int, int]]:
    ranges, start = {}, 0
    for split in SPLITS:
        stop = start + splits.count(split)
        ranges[split] = (start, stop)
        start = stop
    return ranges


def _content_digest(size: int, shards: list[ShardRecord], splits: dict[str, tuple[int, int]]) -> str:
    parts = [size, *((shard.images, shard.sha256) for shard in shards), *splits.items()]
    return hash_texts(parts)


def _damage(packed: PackedImages) -> list[str]:
    """What is wrong with the pixels on disk, by their checksums."""
    try:
        packed.verify()
    except PackedImagesError as error:
        return [f"damage: {error}"]
    return []


def _changes(before: Manifest, recipe: Recipe, shard_images: int, source_digest: str) -> list[str]:
    """What differs from an earlier packing, in words: "recipe: crop 178→148"."""
    old, new = before.recipe.model_dump(), recipe.model_dump()
    changes = [f"recipe: {name} {old[name]}→{new[name]}" for name in new if old[name] != new[name]]
    if before.shard_images != shard_images:
        changes.append(f"shards: {before.shard_images}→{shard_images} images")
    if before.source_digest != source_digest:
        changes.append("source: images or splits differ")
    return changes
