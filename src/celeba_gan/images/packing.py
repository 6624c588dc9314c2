"""Packs photographs into shards of small square uint8 images."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import accumulate, chain, compress, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import PIL
from numpy.typing import NDArray

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.images.chunks import Chunk, ImageSource, WorkerDiedError, read_chunks
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.decoding import DECODER_VERSION, DecodingRecipe
from celeba_gan.images.duplicates import DIGEST, HeldOut, duplicate_groups
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import (
    Journal,
    LeftOut,
    Manifest,
    PackedImages,
    PackedImagesError,
    Recipe,
    Shard,
    ShardRecord,
    content_digest,
    hash_pixels,
    hash_texts,
    shard_file,
)
from celeba_gan.images.sharing.shards import share_shards
from celeba_gan.images.spool import Spool
from celeba_gan.ranks.group import ALONE, Ranks
from celeba_gan.ranks.launched import local_cores

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)


_DUPLICATES_BY: Final = "pixels"


class PackingError(RuntimeError):
    """Packing cannot be finished."""


def pack_images(
    source: ImageSource,
    index: DataFrame,
    settings: PreprocessSettings,
    packed_before: PackedImages | UnfinishedPacking | None,
    *,
    check: Callable[[list[LeftOut]], None] = lambda unreadable: None,
    find_rare: Callable[[set[str]], set[str]] = lambda left_out: set(),
    progress: Callable[[int, int], None] = lambda done, total: None,
    progress_held_out: Callable[[int, int], None] = lambda done, total: None,
    ranks: Ranks = ALONE,
) -> Iterator[Shard | Manifest]:
    """Decodes, crops and resizes every photograph of the index: train, valid, test in turn, each by image_id.

    Unreadable photographs are skipped, and so are those of train whose pixels are also in valid or test, which are
    decoded first for that, into a temporary file; the shards stay dense. The result depends neither on the number of
    workers nor on interruptions. Memory holds one shard, four chunks per worker, and some hundred bytes per photograph.

    Args:
        source: Where the photographs come from.
        index: One row per photograph with `image_id` and `split`.
        settings: Crop, size, filter, background, shard length, workers.
        packed_before: Earlier packed images. If their recipe, shard length and photographs are the same, only their
            manifest is yielded. An interrupted packing of the same is continued.
        check: Called with the unreadable photographs so far, each time there are a tenth more, and before the manifest;
            it raises if there are too many.
        find_rare: Called with the photographs left out so far, once all are decoded; returns others that are left out
            then, for which everything is packed a second time.
        progress: Called with (photographs done, all photographs).
        progress_held_out: Called likewise while those of valid and test are decoded first.
        ranks: Processes that pack together; this one is rank 0, and the others `follow_packing`.

    Yields:
        Every shard in order except those kept and those of other ranks, then the manifest.

    Raises:
        PackingError: A worker process died, or no photograph of the train split could be packed.
    """
    image_ids, splits = _listed(index)
    recipe = _recipe(settings)
    source_digest = hash_texts(image_ids, splits, source.fingerprint(image_ids))
    plan = hash_texts([recipe.model_dump_json(), settings.images_per_shard, source_digest, _DUPLICATES_BY])
    packing = Packing(image_ids, splits, plan, settings.images_per_shard)
    workers = settings.workers or local_cores()
    if isinstance(packed_before, PackedImages):
        before = packed_before.manifest
        changes = _changes(before, recipe, settings.images_per_shard, source_digest, len(image_ids))
        if (
            not changes
            and sorted(find_rare({one.image_id for one in [*before.unreadable, *before.leaks]})) != before.rare
        ):
            changes = ["classes: others are too rare"]
        try:
            if not changes:
                packed_before.verify()
        except PackedImagesError as error:
            changes = [f"damage: {error}"]
        if not changes:
            logger.info("Reusing the %d packed images in %s.", before.count, packed_before.folder)
            check(before.unreadable)
            yield before
            return
        logger.info("Packing again because of changes: %s.", "; ".join(changes))
    elif packed_before is not None:
        packing.resume(packed_before, recipe.size)
        check(packing.unreadable_records)
    progress(packing.done, len(image_ids))

    def shards(packing: Packing, recipe: Recipe) -> Iterator[Shard]:
        if not ranks.several:
            return packing.shards(source, recipe, workers, check, progress, progress_held_out)
        rare = np.flatnonzero(packing.is_rare).tolist()
        ranks.announce(json.dumps([packing.plan, packing.done, len(packing.records), rare]))
        _check_photographs(ranks, source_digest)
        return share_shards(packing, ranks, source, _decoding(recipe), workers, check, progress)

    try:
        yield from shards(packing, recipe)
        check(packing.unreadable_records)
        manifest = packing.manifest(recipe, source_digest)
        rare = find_rare({one.image_id for one in [*manifest.unreadable, *manifest.leaks]})
        if rare:
            logger.info("Packing a second time, without the %d photographs of these classes.", len(rare))
            plan = hash_texts([plan, *sorted(rare)])
            packing = Packing(image_ids, splits, plan, settings.images_per_shard, rare)
            yield from shards(packing, recipe)
            manifest = packing.manifest(recipe, source_digest)
    except WorkerDiedError as error:
        raise PackingError(_blame(error, workers)) from error
    yield manifest


def follow_packing(
    source: ImageSource,
    index: DataFrame,
    settings: PreprocessSettings,
    ranks: Ranks,
    check: Callable[[list[LeftOut]], None] = lambda unreadable: None,
) -> Iterator[Shard]:
    """Packs this rank's part of what rank 0 packs, with the same arguments as there; yields its shards."""
    image_ids, splits = _listed(index)
    workers, recipe = settings.workers or local_cores(), _recipe(settings)
    while announced := ranks.announced():
        _check_photographs(ranks, hash_texts(image_ids, splits, source.fingerprint(image_ids)))
        plan, done, records, rare = json.loads(announced)
        packing = Packing(image_ids, splits, plan, settings.images_per_shard, {image_ids[place] for place in rare})
        packing.done = done
        packing.records = [ShardRecord(file="", images=0, sha256="")] * records  # rank 0 has them
        try:
            yield from share_shards(packing, ranks, source, _decoding(recipe), workers, check, lambda done, total: None)
        except WorkerDiedError as error:
            raise PackingError(_blame(error, workers)) from error


def _check_photographs(ranks: Ranks, digest: str) -> None:
    """Raises RanksError if another rank has other photographs, or an index of others."""
    ranks.check_same(
        {"photographs": digest},
        "Ranks that pack together need the same photographs and the same image index: a folder that all share, or "
        "copies that keep the times of files",
    )


def _listed(index: DataFrame) -> tuple[list[str], list[str]]:
    """Image ids and their splits in the order of packing."""
    image_ids = packing_order(index[["image_id", "split"]])["image_id"].tolist()
    counts = index["split"].value_counts()
    return image_ids, [split for split in SPLITS for _ in range(counts.get(split, 0))]  # shared strings


def _recipe(settings: PreprocessSettings) -> Recipe:
    return Recipe(
        crop=settings.crop,
        size=settings.size,
        filter=settings.filter,
        background=settings.background,
        decoder=DECODER_VERSION,
        pillow=PIL.__version__,
    )


def _decoding(recipe: Recipe) -> DecodingRecipe:
    return DecodingRecipe(recipe.crop, recipe.size, recipe.filter, recipe.background)


def packing_order(index: DataFrame) -> DataFrame:
    """The rows of an image index in the order of packing: train, valid, test, each by image_id."""
    place = index["split"].map({split: place for place, split in enumerate(SPLITS)})
    ordered = index.assign(_place=place).sort_values(["_place", "image_id"], kind="stable", ignore_index=True)
    return ordered.drop(columns="_place")


class Packing:
    """A packing in progress: the photographs considered, what was found, and the full shards.

    `plan`: see `Journal`; `rare`: photographs that are left out although they can be packed.
    """

    def __init__(
        self,
        image_ids: list[str],
        splits: list[str],
        plan: str,
        shard_images: int,
        rare: Collection[str] = frozenset(),
    ) -> None:
        self.image_ids, self.splits = image_ids, splits
        self.plan, self.shard_images = plan, shard_images
        self.is_rare = np.array([image_id in rare for image_id in image_ids], bool)
        self.done = 0  # photographs in full shards, and the skipped ones between them
        self.records: list[ShardRecord] = []
        self.unreadable: dict[int, str] = {}  # reasons by the number of the photograph, as in `leaks`
        self.leaks: dict[int, str] = {}
        self.digests = np.zeros(len(image_ids), DIGEST)
        self.train = range(splits.count("train"))

    @property
    def unreadable_records(self) -> list[LeftOut]:
        """Those found so far, with their reasons."""
        return self._left_out(self.unreadable)

    def resume(self, unfinished: UnfinishedPacking, size: int) -> None:
        """Keeps the valid shards of an interrupted packing."""
        for journal in unfinished.finished(self.plan, size):
            self.records.append(journal.shard)
            self.unreadable.update(journal.unreadable)
            self.leaks.update(journal.leaks)
            self.digests[self.done : journal.stop] = np.frombuffer(base64.b64decode(journal.digests), DIGEST)
            self.done = journal.stop
        if self.records:
            total = -(-len(self.image_ids) // self.shard_images)
            logger.info("Resuming after %d of %d shards.", len(self.records), total)
        elif unfinished.begun:
            logger.info("Packing from the beginning: the interrupted packing here is of other images, or damaged.")
        else:
            logger.info("Packing again: %s", unfinished.reason)

    def shards(
        self,
        source: ImageSource,
        recipe: Recipe,
        workers: int,
        check: Callable[[list[LeftOut]], None],
        progress: Callable[[int, int], None],
        progress_held_out: Callable[[int, int], None],
    ) -> Iterator[Shard]:
        """The remaining shards."""
        total = len(self.image_ids)
        decoding = _decoding(recipe)
        if self.done >= len(self.train):
            chunks = read_chunks(source, self.image_ids, decoding, workers, [range(self.done, total)])
            yield from self.fill(self._examine(chunks, HeldOut(np.zeros(0, DIGEST)), check, progress), recipe.size)
            return
        # Digests of valid and test are needed before the first image of train; those of train come with its pixels.
        held_out, train = range(len(self.train), total), range(self.done, len(self.train))
        if held_out:
            logger.info("Decoding the %d photographs of valid and test first, to find them in train.", len(held_out))
        chunks = read_chunks(source, self.image_ids, decoding, workers, [held_out, train])
        digests = np.zeros(len(held_out), DIGEST)
        done = 0
        with Spool(len(held_out), recipe.size) as spool:
            while done < len(held_out):
                chunk = next(chunks)
                spool.add(chunk)
                digests[done : done + len(chunk.digests)] = chunk.digests
                done += len(chunk.digests)
                progress_held_out(done, len(held_out))
            left = held_out[len(spool) :]
            if left:
                logger.info("Decoding %d of them a second time: too little space for temporary files.", len(left))
            again = read_chunks(source, self.image_ids, decoding, workers, [left]) if left else ()
            whole = chain(chunks, spool.chunks(), again)
            yield from self.fill(self._examine(whole, HeldOut(digests), check, progress), recipe.size)

    def _examine(
        self,
        chunks: Iterable[Chunk],
        held_out: HeldOut,
        check: Callable[[list[LeftOut]], None],
        progress: Callable[[int, int], None],
    ) -> Iterator[tuple[Chunk, NDArray[np.intp]]]:
        """The decoded chunks, and which photographs of each are to be packed."""
        checked = len(self.unreadable)
        for chunk in chunks:
            stop = chunk.start + len(chunk.digests)
            self.digests[chunk.start : stop] = chunk.digests
            wanted = ~self.is_rare[chunk.start : stop]
            wanted[list(chunk.unreadable)] = False
            for number, twin in held_out.find(chunk.digests[: max(0, len(self.train) - chunk.start)]).items():
                wanted[number] = False
                twin += len(self.train)
                self.leaks[chunk.start + number] = f"duplicate of {self.image_ids[twin]} in {self.splits[twin]}"
            progress(stop, len(self.image_ids))
            if chunk.unreadable:
                self.unreadable |= {chunk.start + number: reason for number, reason in chunk.unreadable.items()}
                # not each time: with many of them it would take longer than decoding
                if len(self.unreadable) > 1.1 * checked:
                    checked = len(self.unreadable)
                    check(self.unreadable_records)
            yield chunk, np.flatnonzero(wanted)

    def fill(self, chunks: Iterable[tuple[Chunk, NDArray[np.intp]]], size: int) -> Iterator[Shard]:
        """Regroups the chosen images of chunks into shards; the last may be shorter.

        All shards use one array: on many machines allocating a new one costs more than copying into it.
        """
        images = np.empty((min(self.shard_images, len(self.image_ids)), size, size, 3), np.uint8)
        filled = 0
        for chunk, wanted in chunks:
            while len(wanted):
                taken, wanted = np.split(wanted, [len(images) - filled])
                np.take(chunk.pixels, taken, axis=0, out=images[filled : filled + len(taken)], mode="clip")
                filled += len(taken)
                if filled == self.shard_images:
                    yield self._close_shard(images, chunk.start + int(taken[-1]) + 1)
                    filled = 0
        if filled:
            yield self._close_shard(images[:filled], len(self.image_ids))

    def _close_shard(self, images: NDArray[np.uint8], stop: int) -> Shard:
        number, looked_at = len(self.records), range(self.done, stop)
        self.records.append(ShardRecord(file=shard_file(number), images=len(images), sha256=hash_pixels(images)))
        journal = Journal(
            plan=self.plan,
            shard=self.records[-1],
            start=self.done,
            stop=stop,
            unreadable=[item for item in self.unreadable.items() if item[0] in looked_at],
            leaks=[item for item in self.leaks.items() if item[0] in looked_at],
            digests=base64.b64encode(self.digests[self.done : stop].tobytes()).decode(),
        )
        self.done = stop
        return Shard(number, images, journal)

    def manifest(self, recipe: Recipe, source_digest: str) -> Manifest:
        """The manifest, after the last photograph."""
        packed = [
            place not in self.unreadable and place not in self.leaks and not is_rare
            for place, is_rare in enumerate(self.is_rare.tolist())
        ]
        ranges = _split_ranges(list(compress(self.splits, packed)))
        if ranges["train"] == (0, 0):
            raise PackingError(
                f"None of the {len(self.train):,} photographs of the train split can be packed: of all photographs "
                f"{len(self.unreadable):,} cannot be read, and {len(self.leaks):,} of train become the same pixels as "
                "one in valid or test. Add photographs that differ from each other."
            )
        return Manifest(
            count=sum(packed),
            size=recipe.size,
            recipe=recipe,
            shard_images=self.shard_images,
            source_digest=source_digest,
            images_digest=hash_texts(compress(self.image_ids, packed), compress(self.splits, packed)),
            splits=ranges,
            shards=self.records,
            unreadable=self.unreadable_records,
            leaks=self._left_out(self.leaks),
            rare=sorted(compress(self.image_ids, self.is_rare)),
            duplicates=duplicate_groups(self.image_ids, self.digests),
            duplicates_by=_DUPLICATES_BY,
            digest=content_digest(recipe.size, self.records, ranges),
        )

    def _left_out(self, reasons: dict[int, str]) -> list[LeftOut]:
        return [LeftOut(image_id=self.image_ids[place], reason=reason) for place, reason in reasons.items()]


def _split_ranges(splits: list[str]) -> dict[str, tuple[int, int]]:
    borders = accumulate((splits.count(split) for split in SPLITS), initial=0)
    return dict(zip(SPLITS, pairwise(borders), strict=True))


def _changes(before: Manifest, recipe: Recipe, shard_images: int, source_digest: str, photographs: int) -> list[str]:
    """The differences from an earlier packing in words: "recipe: crop 178→148"."""
    old, new = before.recipe.model_dump(), recipe.model_dump()
    changes = [f"recipe: {name} {old[name]}→{new[name]}" for name in new if old[name] != new[name]]
    if before.shard_images != shard_images:
        changes.append(f"shards: {before.shard_images}→{shard_images} images")
    if before.duplicates_by != _DUPLICATES_BY:
        changes.append(f"duplicates: by {before.duplicates_by}→{_DUPLICATES_BY}")
    if before.source_digest != source_digest:
        photographs_before = before.count + len(before.unreadable) + len(before.leaks)
        counts = f"{photographs_before:,}→{photographs:,}" if photographs_before != photographs else f"{photographs:,}"
        changes.append(f"source: images or splits differ ({counts} photographs)")
    return changes


def _blame(error: WorkerDiedError, workers: int) -> str:
    at = f" The processes were at {', '.join(error.image_ids)}." if error.image_ids else ""
    return (
        f"One of the processes that decode photographs died, perhaps out of memory.{at} The full shards are kept: the "
        f"same command resumes after them. If it happens again, try fewer processes with --params "
        f"preprocess.workers={max(1, workers // 2)}, or remove that photograph"
    )
