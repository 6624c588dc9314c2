"""Packed images on disk: shards of uint8 pixels, and the manifest that completes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, ValidationError

from celeba_gan.foundation.documents import Record
from celeba_gan.foundation.safety.arrays import ArrayError, map_array
from celeba_gan.foundation.wording import stage_command
from celeba_gan.storage.array_files import ChangedError, RowsFile
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.places import Place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from celeba_gan.storage.rows import RemoteRows

MANIFEST_FILE: Final = "manifest.json"

_ROWS_AT_ONCE: Final = 4096  # one after the other they take twice as long to hash


class PackedImagesError(ValueError):
    """Packed images are missing, unfinished, damaged, or belong to something else."""


class Recipe(Record):
    """Everything that decides which pixels a photograph becomes."""

    crop: int | Literal["none"]
    size: int
    filter: str
    background: str
    decoder: int
    pillow: str


class ShardRecord(Record):
    """One shard: its file, how many images it has, and the sha256 of its pixels (not of the file)."""

    file: str
    images: int
    sha256: str


class LeftOut(Record):
    """A photograph of the index that is not packed, and the reason."""

    image_id: str
    reason: str


class Manifest(Record):
    """The content of a folder of packed images; it is written last, so its presence means a complete packing."""

    format_version: Literal[2] = 2  # of the manifest and shards together
    count: int  # images in all shards
    size: int  # their side in pixels
    recipe: Recipe
    shard_images: int  # images in every shard but the last
    source_digest: str  # hash over image_id, split and fingerprint of every photograph of the index
    images_digest: str  # hash over image_id and split of the packed images, in their order
    splits: dict[str, tuple[int, int]]  # the half-open range [start, stop) of its images
    shards: list[ShardRecord]
    unreadable: list[LeftOut]
    leaks: list[LeftOut]  # photographs of train that are not packed because valid or test has the same pixels
    rare: list[str] = Field(default_factory=list)  # others, of classes with too few in train without these
    duplicates: list[list[str]]  # groups of photographs with equal pixels, including leaks; sorted
    duplicates_by: Literal["files", "pixels"] = "files"  # what is equal; earlier versions compared files
    digest: str  # hash of the content: size, shard checksums and splits


class Journal(Record):
    """How to continue after a finished shard; it lies beside the shard until all are finished.

    Photographs are counted from 0 in the order of packing.
    """

    plan: str  # hash of the recipe, the shard length and the source digest: equal plans give equal shards
    shard: ShardRecord
    start: int  # the first photograph considered for this shard
    stop: int  # the first one after it
    unreadable: list[tuple[int, str]]  # (photograph, reason)
    leaks: list[tuple[int, str]]  # (photograph, reason) of those whose pixels are in valid or test
    digests: str  # of all images from start to stop (see `duplicates`), in base64

    def to_bytes(self) -> bytes:
        """The content of its file: the journal in JSON, and the sha256 of that line."""
        line = self.model_dump_json().encode()
        return b"%b\n%b\n" % (line, hashlib.sha256(line).hexdigest().encode())

    @classmethod
    def from_bytes(cls, data: bytes) -> Journal:
        """Parses the content of its file.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        line, _, seal = data.partition(b"\n")
        if seal.decode("ascii", "replace").rstrip() != hashlib.sha256(line).hexdigest():
            raise ValueError("damaged")
        return cls.model_validate_json(line)


@dataclass(frozen=True)
class Shard:
    """One shard to be saved."""

    index: int  # from 0
    images: NDArray[np.uint8]  # (n, size, size, 3); overwritten once the next shard is requested
    journal: Journal  # to be saved beside it


class PackedImages:
    """Packed images: uint8, (height, width, RGB), ordered train, valid, test.

    Those on a disk are memory-mapped. Those that lie elsewhere are fetched as `RemoteRows` does; they are the same.
    Everything is read on first use; a pickle holds only the place.
    """

    def __init__(self, folder: Path | Place, use: StorageSettings | None = None) -> None:
        """Stores where they are, and how those that lie elsewhere are read (None: the defaults)."""
        self.folder = folder if isinstance(folder, Place) else Path(folder).absolute()
        self._use = use or StorageSettings()
        self._maps: dict[int, NDArray[np.uint8]] = {}

    def __reduce__(self) -> tuple[type[PackedImages], tuple[Path | Place, StorageSettings]]:
        return PackedImages, (self.folder, self._use)

    def __repr__(self) -> str:
        return f"PackedImages({str(self.folder)!r})"

    def __len__(self) -> int:
        return self.manifest.count

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            PackedImagesError: It does not exist (packing was not finished), or cannot be read.
        """
        path = self.folder / MANIFEST_FILE
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            missing = f"No finished packed images in {self.folder} (no {MANIFEST_FILE})"
            raise PackedImagesError(f"{missing}. {_PACK_AGAIN}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise PackedImagesError(
                f"{path} is not a valid manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}. {_PACK_AGAIN}"
            ) from error

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return self.manifest.size

    @property
    def digest(self) -> str:
        """The hash of the content: equal digests mean equal pixels, order and splits."""
        return self.manifest.digest

    def split(self, name: str) -> tuple[int, int]:
        """The half-open range (start, stop) of the images of one split; start == stop if it is empty.

        Raises:
            PackedImagesError: There is no split of that name.
        """
        try:
            return self.manifest.splits[name]
        except KeyError:
            raise PackedImagesError(f"No split {name!r}; the splits are {', '.join(self.manifest.splits)}.") from None

    def gather(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Copies images out of the shards: (n, size, size, 3) uint8, in the order of `indices`.

        These are (n,) integers in [0, len), in any order; repeats are allowed.

        Raises:
            IndexError: An index is out of range.
            PackedImagesError: A shard is missing or damaged.
        """
        import numpy as np

        wanted = np.asarray(indices)
        if wanted.ndim != 1 or (wanted.size and not np.issubdtype(wanted.dtype, np.integer)):
            raise IndexError(f"gather needs one dimension of integers, not shape {wanted.shape} of {wanted.dtype}")
        order = np.argsort(wanted, kind="stable")  # reads each shard once, and forwards
        ascending = wanted[order].astype(np.int64)
        if ascending.size and (ascending[0] < 0 or ascending[-1] >= len(self)):
            raise IndexError(
                f"image {ascending[0]} .. {ascending[-1]} requested, there are images 0 .. {len(self) - 1}"
            )
        size = self.manifest.size
        images = np.empty((len(ascending), size, size, 3), np.uint8)
        if isinstance(self.folder, Place):
            with _as_packed_images_error():
                self._remote.gather_into(images.reshape(len(images), size * size * 3), order, ascending)
            return images
        borders = np.searchsorted(ascending, self._starts)
        for shard, (first, last) in enumerate(pairwise(borders.tolist())):
            if first < last:
                images[order[first:last]] = self._shard(shard)[ascending[first:last] - self._starts[shard]]
        return images

    @property
    def read_ahead(self) -> int:
        """How many batches `expect` should be told in advance; 0 where images are on a disk."""
        return self._use.read_ahead if isinstance(self.folder, Place) else 0

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Begins to fetch images that will be gathered soon."""
        if isinstance(self.folder, Place):
            with _as_packed_images_error():
                self._remote.expect(indices)

    def batches(self, start: int, stop: int, step: int) -> Iterator[NDArray[np.uint8]]:
        """The images from `start` to `stop` in order, up to `step` at once: uint8 (n, size, size, 3).

        On a disk each shard is mapped only while it is read: mapped pages count as memory.
        """
        import numpy as np

        place = 0
        for record in self.manifest.shards:
            for first in range(max(start - place, 0), min(stop - place, record.images), step):
                last = min(first + step, stop - place, record.images)
                if isinstance(self.folder, Place):
                    yield self.gather(np.arange(place + first, place + last))
                else:
                    yield map_shard(self.folder, record, self.size)[first:last]
            place += record.images

    def check(self) -> None:
        """Checks that the manifest is as it was written, and that every shard has the right shape; reads no pixels.

        Raises:
            PackedImagesError: Naming the file.
        """
        manifest = self.manifest
        named = all(shard.file == shard_file(place) for place, shard in enumerate(manifest.shards))
        complete = named and sum(shard.images for shard in manifest.shards) == manifest.count
        if not complete or content_digest(manifest.size, manifest.shards, manifest.splits) != manifest.digest:
            raise PackedImagesError(f"{self.folder / MANIFEST_FILE} is inconsistent. {_PACK_AGAIN}")
        if isinstance(self.folder, Place):
            with _as_packed_images_error():
                self._remote.check()
            return
        for shard in range(len(self.manifest.shards)):
            self._shard(shard)

    def verify(self) -> None:
        """Reads every shard and compares its checksum with the manifest's; what lies elsewhere is cached by that.

        Raises:
            PackedImagesError: Naming the file whose pixels have changed.
        """
        self.check()
        if isinstance(self.folder, Place):
            with _as_packed_images_error():
                self._remote.verify()
            return
        for record in self.manifest.shards:
            # mapped only for a moment: pages that were read count as memory of the process
            if hash_pixels(map_shard(self.folder, record, self.manifest.size)) != record.sha256:
                raise PackedImagesError(f"{self.folder / record.file} has changed since it was packed. {_PACK_AGAIN}")

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The index of the first image of each shard, and the number of all images."""
        import numpy as np

        return np.array([0, *accumulate(shard.images for shard in self.manifest.shards)], np.int64)

    @cached_property
    def _remote(self) -> RemoteRows:
        from celeba_gan.storage.rows import RemoteRows

        assert isinstance(self.folder, Place)
        files = [RowsFile(shard.file, shard.images, shard.sha256) for shard in self.manifest.shards]
        return RemoteRows(self.folder, files, self.size**2 * 3, self.digest, self._use)

    def close(self) -> None:
        """Stops fetching images that lie elsewhere, and lets other processes delete their copies in the cache."""
        if "_remote" in self.__dict__:
            self.__dict__.pop("_remote").close()

    def _shard(self, shard: int) -> NDArray[np.uint8]:
        if shard not in self._maps:
            assert isinstance(self.folder, Path)
            self._maps[shard] = map_shard(self.folder, self.manifest.shards[shard], self.manifest.size)
        return self._maps[shard]


@contextmanager
def _as_packed_images_error() -> Iterator[None]:
    try:
        yield
    except ChangedError as error:
        raise PackedImagesError(f"{error}. {_PACK_AGAIN}") from None


_PACK_AGAIN = f"Pack them again: {stage_command('preprocess')}"


def shard_file(index: int) -> str:
    """The file name of a shard, counted from 0."""
    return f"shard-{index:05d}.npy"


def journal_file(index: int) -> str:
    """The file name of a shard's journal."""
    return f"shard-{index:05d}.journal"


def map_shard(folder: Path, record: ShardRecord, size: int) -> NDArray[np.uint8]:
    """Memory-maps one shard; no pixel is read.

    Raises:
        PackedImagesError: It is missing, or does not have the shape in its record.
    """
    path = folder / record.file
    if path.resolve().parent != folder.resolve():
        raise PackedImagesError(f"{path} is not in {folder}, but a link or a path that leaves it. {_PACK_AGAIN}")
    import numpy as np

    try:
        pixels: NDArray[np.uint8] = map_array(path).view(np.ndarray)
    except (OSError, ArrayError) as error:
        raise PackedImagesError(f"{path} cannot be read: {error}. {_PACK_AGAIN}") from error
    if pixels.shape != (record.images, size, size, 3) or pixels.dtype != np.uint8:
        raise PackedImagesError(
            f"{path} has shape {pixels.shape} of {pixels.dtype}, the manifest says "
            f"({record.images}, {size}, {size}, 3) of uint8. {_PACK_AGAIN}"
        )
    return pixels


def hash_pixels(pixels: NDArray[np.uint8]) -> str:
    """The sha256 of an array's bytes in C order, in hexadecimal."""
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def content_digest(size: int, shards: Iterable[ShardRecord], splits: Mapping[str, tuple[int, int]]) -> str:
    """The `digest` of a manifest: equal ones mean equal pixels, order and splits."""
    return hash_texts([size, *((shard.images, shard.sha256) for shard in shards), *splits.items()])


def hash_texts(*columns: Iterable[Any]) -> str:
    """The sha256 over equally long columns of texts and numbers, row by row, in hexadecimal."""
    digest = hashlib.sha256()
    rows = zip(*columns, strict=True)
    before = ""
    while some := ["\t".join(map(str, row)) for row in islice(rows, _ROWS_AT_ONCE)]:
        digest.update((before + "\n".join(some)).encode())
        before = "\n"
    return digest.hexdigest()
