"""Each of several ranks decodes a range of the photographs, and writes the shards that begin in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from celeba_gan.images.chunks import Chunk, ImageSource, read_chunks
from celeba_gan.images.decoding import DecodingRecipe
from celeba_gan.images.duplicates import DIGEST, Digests, HeldOut
from celeba_gan.images.packed import LeftOut, Shard, ShardRecord
from celeba_gan.images.spool import Spool
from celeba_gan.ranks.group import Ranks


class Packing(Protocol):
    """A packing in progress; see `images.packing.Packing`."""

    image_ids: list[str]
    splits: list[str]
    shard_images: int
    is_rare: NDArray[np.bool_]
    done: int
    records: list[ShardRecord]
    unreadable: dict[int, str]
    leaks: dict[int, str]
    digests: Digests
    train: range

    @property
    def unreadable_records(self) -> list[LeftOut]:
        """Those found so far."""

    def fill(self, chunks: Iterable[tuple[Chunk, NDArray[np.intp]]], size: int) -> Iterator[Shard]:
        """Regroups the chosen images of chunks into shards."""


def share_shards(
    packing: Packing,
    ranks: Ranks,
    source: ImageSource,
    decoding: DecodingRecipe,
    workers: int,
    check: Callable[[list[LeftOut]], None],
    progress: Callable[[int, int], None],
) -> Iterator[Shard]:
    """This rank's part of the shards that are left: the same bytes, together, as one process writes.

    Every rank calls it with the same packing; the shards of the others are on their disks, or in the place that all
    write to, when it ends, and rank 0 knows all of it then. A shard that begins in a rank's range and ends in the next
    one's is completed by decoding the rest of it a second time.
    """
    done, total, size = packing.done, len(packing.image_ids), decoding.size
    rows = ranks.rows(total - done)
    share = range(done + rows.start, done + rows.stop)

    def read(*wanted: range) -> Iterator[Chunk]:
        some = [one for one in wanted if one]
        return read_chunks(source, packing.image_ids, decoding, workers, some) if some else iter(())

    with Spool(len(share), size) as spool:
        for chunk in read(share):
            spool.add(chunk)
            packing.digests[chunk.start : chunk.start + len(chunk.digests)] = chunk.digests
            packing.unreadable |= {chunk.start + number: reason for number, reason in chunk.unreadable.items()}
            if chunk.unreadable:
                check(packing.unreadable_records)
            progress(done + ranks.place.world * (chunk.start + len(chunk.digests) - share.start), total)
        ranks.meet()
        wanted = _agree(packing, ranks, share, check)
        before, places = len(packing.records), done + np.flatnonzero(wanted)
        spans = _spans(places, packing.shard_images, done, total)
        firsts = places[:: packing.shard_images]
        own = np.flatnonzero((firsts >= share.start) & (firsts < share.stop))
        if len(own):
            start, stop = spans[own[0]][0], spans[own[-1]][1]
            left = share[len(spool) :]
            chunks = chain(
                read(range(start, share.start)), spool.chunks(), read(left, range(share.stop, max(share.stop, stop)))
            )
            # The shards before are other ranks': numbers and journals go on from them.
            packing.records += [ShardRecord(file="", images=0, sha256="")] * int(own[0])
            packing.done = start
            yield from packing.fill(_chosen(packing, chunks, wanted, done), size)
        mine = packing.records[before + (int(own[0]) if len(own) else 0) :]
    ranks.meet()
    found = ranks.gather([record.model_dump(mode="json") for record in mine])
    packing.records = packing.records[:before] + [ShardRecord.model_validate(one) for part in found for one in part]
    packing.done = total


def _agree(packing: Packing, ranks: Ranks, share: range, check: Callable[[list[LeftOut]], None]) -> NDArray[np.bool_]:
    """Which of the photographs from `done` on are packed, (n,); found by rank 0, which gets all digests and reasons."""
    import torch

    def mine(rank: int) -> list[NDArray[Any]]:
        reasons = json.dumps(list(packing.unreadable.items())).encode()
        digests = packing.digests[share.start : share.stop]
        return [np.array([share.start]), digests.view(np.uint8), np.frombuffer(bytearray(reasons), np.uint8)]

    for (start,), digests, reasons in ranks.spread(ranks.place.world, mine):
        packing.digests[start : start + len(digests) // DIGEST.itemsize] = digests.view(DIGEST)
        packing.unreadable |= {int(number): str(reason) for number, reason in json.loads(reasons.tobytes())}
    done, train = packing.done, len(packing.train)
    if ranks.leads:
        check(packing.unreadable_records)
        held_out = HeldOut(packing.digests[train:])
        for number, twin in held_out.find(packing.digests[done:train]).items() if done < train else ():
            twin += train
            where = f"{packing.image_ids[twin]} in {packing.splits[twin]}"
            packing.leaks[done + number] = f"duplicate of {where}"
    packing.unreadable, packing.leaks = (
        {int(number): reason for number, reason in ranks.from_leader(list(found.items()))}
        for found in (packing.unreadable, packing.leaks)
    )
    wanted = ~packing.is_rare[done:]
    wanted[[number - done for number in [*packing.unreadable, *packing.leaks] if number >= done]] = False
    sent = ranks.tensors_from_leader({"wanted": torch.from_numpy(wanted)})
    result: NDArray[np.bool_] = sent["wanted"].numpy()
    return result


def _spans(places: NDArray[np.intp], images: int, done: int, total: int) -> list[tuple[int, int]]:
    """For each shard the photographs that its journal is about: from the first one after the last shard."""
    stops = [int(part[-1]) + 1 if len(part) == images else total for part in _split(places, images)]
    return list(zip([done, *stops[:-1]], stops, strict=True))


def _split(places: NDArray[np.intp], images: int) -> list[NDArray[np.intp]]:
    return [places[start : start + images] for start in range(0, len(places), images)]


def _chosen(
    packing: Packing, chunks: Iterable[Chunk], wanted: NDArray[np.bool_], done: int
) -> Iterator[tuple[Chunk, NDArray[np.intp]]]:
    """The chunks from where this rank's first shard begins, and which photographs of each are packed."""
    for chunk in chunks:
        stop = chunk.start + len(chunk.digests)
        packing.digests[chunk.start : stop] = chunk.digests
        chosen = np.flatnonzero(wanted[chunk.start - done : stop - done])
        yield chunk, chosen[chosen >= packing.done - chunk.start]
