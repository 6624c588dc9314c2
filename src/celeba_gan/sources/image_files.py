"""Lists image files in a folder tree or a zip, and reads them by name. Nothing is extracted.

The listing of CelebA's 202,599 names must be small, in this process and in every worker. So the zip's directory is kept
in arrays (20 MB), and a worker gets a `portion`: the standard library's objects take 130 MB, and its reader four times
as long for an image.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from celeba_gan.images.appearance import appearance
from celeba_gan.images.decoding import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    UnreadableImageError,
    UnsupportedFormatError,
    image_format,
)
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.system_files import system_file
from celeba_gan.storage.places import Place

MAX_FILE_BYTES: Final = 512 * 2**20
"""Larger files are rejected: a zip bomb would fill the memory before any decoder saw it."""


_SIGNATURE_BYTES: Final = 32
_COPIES: Final = frozenset(
    (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".bak", ".old", ".orig")
)
"""Suffixes, in lower case, of unfinished downloads and backup copies, which are no photographs of their own."""


class ImageFiles(ABC):
    """Image files by name: their path below `path`, with `/`.

    A file whose suffix is not that of an image is judged by its first bytes.

    Attributes:
        path: The folder or the zip.
        names: All names of image files, sorted.
        rejected: (name, reason) of image files that cannot be used, whatever their content.
        ignored: Counts of other files by suffix.
        skipped: Counts of files and folders that systems create, and of hidden ones, by name and use: "@eaDir
            (thumbnails)". What is in such a folder is neither listed nor counted.
    """

    def __init__(self, path: Path | Place) -> None:
        self.path = path
        self.names: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.ignored: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        place = bisect_left(self.names, name)
        return place < len(self.names) and self.names[place] == name

    @abstractmethod
    def read(self, name: str, size: int = -1) -> bytes:
        """Reads one file, or its first `size` bytes.

        Raises:
            OSError: It is missing or damaged.
        """

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """A short text that changes when the file does, without reading it.

        Raises:
            FileNotFoundError: It is missing.
        """

    @abstractmethod
    def portion(self, names: Sequence[str]) -> ImageFiles:
        """The same files, but only these: small enough to be sent to another process."""

    @abstractmethod
    def read_other(self, name: str) -> bytes | None:
        """The content of another file, such as a table; None if it does not exist."""

    def _is_listed(self, name: str, read: Callable[[int], bytes]) -> bool:
        """Whether this is an image file; counts or rejects the others. `read` gets the first bytes of it."""
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of 202,599 names takes a second
        if suffix not in IMAGE_SUFFIXES and not self._is_image(name, suffix, read):
            return False
        if not name.isprintable():
            self._reject(name, "its name holds characters that are no text")
            return False
        return True

    def _is_image(self, name: str, suffix: str, read: Callable[[int], bytes]) -> bool:
        """Whether a file is an image by its first bytes, whatever its suffix; counts or rejects the others."""
        found = reason = ""
        if suffix not in _COPIES and not suffix.endswith(("~", "_original")):
            try:
                found = image_format(read(_SIGNATURE_BYTES))
            except UnsupportedFormatError as error:
                reason = str(error)
            except (UnreadableImageError, OSError):  # no image, or unknown
                pass
        # a phone's JPEG may be called .heic; but most raw files are TIFFs, whose first image is a thumbnail
        if suffix in FOREIGN_SUFFIXES and found in ("", "TIFF"):
            found, reason = "", f"unsupported: {suffix[1:].upper()} is not read here, convert it to JPEG or PNG"
        if reason:
            self._reject(name, reason)
        elif not found:
            self.ignored[ascii(suffix)[1:-1] or "(no suffix)"] += 1
        return bool(found)

    def _skips(self, name: str) -> bool:
        """Whether a system creates files or folders of this name, or it is hidden; counts it."""
        use = system_file(name)
        if use is not None:
            self.skipped[f"{ascii(name)[1:-1]} ({use})" if use != "hidden" else "hidden"] += 1
        return use is not None

    def _no_image(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self.path} has no image {name}")

    def _reject(self, name: str, reason: str) -> None:
        written = name if name.isprintable() else ascii(name)[1:-1]  # a table cannot hold control characters
        self.rejected.append((written, reason))


class ListedFiles(ImageFiles):
    """Image files of which the names of all other files beside them are known, too."""

    @property
    @abstractmethod
    def others(self) -> list[str]:
        """The names of the files that are not images."""


class FolderFiles(ImageFiles):
    """The image files in a folder and the folders below it; links are followed, without cycles.

    `names` are theirs; None lists all.
    """

    path: Path

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        super().__init__(path)
        if names is None:
            names = [name for name in self._walk() if self._is_listed(name, partial(_read_file, f"{path}/{name}"))]
        self.names = sorted(names)

    def read(self, name: str, size: int = -1) -> bytes:
        """As `ImageFiles.read`."""
        return _read_file(self._file(name), size)

    def fingerprint(self, name: str) -> str:
        """Size and time of modification."""
        try:
            status = os.stat(self._file(name))  # noqa: PTH116
        except FileNotFoundError:
            raise self._no_image(name) from None
        return f"{status.st_size}-{status.st_mtime_ns}"

    def portion(self, names: Sequence[str]) -> FolderFiles:
        """As `ImageFiles.portion`."""
        return FolderFiles(self.path, names)

    def read_other(self, name: str) -> bytes | None:
        """As `ImageFiles.read_other`."""
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def _file(self, name: str) -> str:
        if name not in self:
            raise self._no_image(name)
        return f"{self.path}/{name}"

    def _walk(self) -> Iterator[str]:
        """Names of all files, with `/`, except those that systems create."""
        top = os.stat(self.path)  # noqa: PTH116
        seen = {(top.st_dev, top.st_ino)}
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            try:
                entries = os.scandir(f"{self.path}/{prefix}")
            except PermissionError as error:
                what = f"{self.path}/{prefix} cannot be listed: {error.strerror}"
                raise SourceError(f"{what}. Grant access, or move it away") from error
            with entries:
                # independent of the disk; real folders before links to them
                for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
                    if self._skips(entry.name):
                        continue
                    if not _is_folder(entry):
                        yield prefix + entry.name
                        continue
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        waiting.append(f"{prefix}{entry.name}/")


class ZipFiles(ListedFiles):
    """The image files in a zip.

    Of entries with the same name the last one is used, as by every program that unpacks.

    Raises:
        SourceError: It is not a zip, or incomplete.
    """

    def __init__(self, path: Path | Place) -> None:
        super().__init__(path)
        self._file: FileIO | None = None
        self._others: dict[str, _Entry] = {}
        names, numbers, skipped = [], array("q"), set[str]()
        created_in = cache(system_part)  # few folders hold all the names
        for entry in self._directory():
            name = entry.name
            folder, _, file = name.rpartition("/")
            created = created_in(folder) if folder else None
            if created is None and file not in ("", ".", "..") and system_file(file):
                created = name
            if created is not None:
                if created not in skipped:
                    self._skips(created.rpartition("/")[2])
                    skipped.add(created)
                continue
            if name.endswith("/"):
                continue
            if not self._is_listed(name, partial(self._read, entry)):
                self._others[name] = entry
            elif name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
                self._reject(name, "its name points outside of the zip")
            elif (reason := entry.refusal()) is not None:
                self._reject(name, reason)
            else:
                names.append(name)
                numbers.extend(entry[1:])
        order = sorted(range(len(names)), key=names.__getitem__)  # stable: equal names in the order of the zip
        kept = []
        for number, place in enumerate(order, start=1):
            if number < len(order) and names[place] == names[order[number]]:
                self._reject(names[place], "more than once in the zip: the last one of this name is used")
            else:
                kept.append(place)
        self.names = [names[place] for place in kept]
        import numpy as np

        self._entries = np.array(numbers, np.int64).reshape(-1, len(_Entry._fields) - 1)[kept]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None}

    def read(self, name: str, size: int = -1) -> bytes:
        """As `ImageFiles.read`; complete files are verified by the checksum in the zip's directory."""
        return self._read(self._entry(name), size)

    def fingerprint(self, name: str) -> str:
        """The checksum and size in the zip's directory."""
        numbers = self._entries[self._place(name)].tolist()  # an `_Entry` of each would cost a second for CelebA
        return f"{numbers[_CRC]:08x}-{numbers[_SIZE]}"

    def portion(self, names: Sequence[str]) -> ZipFiles:
        """As `ImageFiles.portion`."""
        portion = ZipFiles.__new__(ZipFiles)
        self._fill(portion, names)
        return portion

    def read_other(self, name: str) -> bytes | None:
        """As `ImageFiles.read_other`."""
        entry = self._others.get(name)
        if entry is None:
            return None
        if (reason := entry.refusal()) is not None:
            raise SourceError(f"{name} in {self.path} cannot be read: {reason}. Unpack the zip, and pass the folder")
        try:
            return self._read(entry, -1)
        except OSError as error:
            raise SourceError(f"{name} in {self.path} is {error}. Download the zip again") from error

    @property
    def others(self) -> list[str]:
        """As `ListedFiles.others`."""
        return list(self._others)

    def _fill(self, portion: ZipFiles, names: Sequence[str]) -> None:
        ImageFiles.__init__(portion, self.path)
        portion._file, portion._others = None, {}
        portion.names = sorted(names)
        portion._entries = self._entries[[self._place(name) for name in portion.names]]

    def _entry(self, name: str) -> _Entry:
        return _Entry(name, *self._entries[self._place(name)].tolist())

    def _place(self, name: str) -> int:
        place = bisect_left(self.names, name)
        if place == len(self.names) or self.names[place] != name:
            raise self._no_image(name)
        return place

    def _read(self, entry: _Entry, size: int) -> bytes:
        if size < 0 and entry.size > MAX_FILE_BYTES:
            raise OSError(too_large(entry.size))
        return self._unpack(entry, size, self._at(*self._span(entry, size)))

    def _at(self, offset: int, length: int) -> bytes:
        """So many bytes of the zip, or those that there are."""
        if self._file is None:
            self._file = FileIO(str(self.path))
        self._file.seek(offset)
        return self._file.read(length)

    def _span(self, entry: _Entry, size: int) -> tuple[int, int]:
        """Where a file, or its first `size` bytes, probably is: offset and length.

        The length of the local header is unknown: its extra field may differ from the directory's. One read of the
        likely length usually gets header and data.
        """
        return entry.offset, _LOCAL.size + _LOCAL_GUESS + self._wanted(entry, size)

    def _wanted(self, entry: _Entry, size: int) -> int:
        return entry.packed_size if size < 0 else min(entry.packed_size, size + _DEFLATE_GROWTH)

    def _unpack(self, entry: _Entry, size: int, head: bytes) -> bytes:
        """A file, or its first `size` bytes, from the bytes at its `_span`."""
        if len(head) < _LOCAL.size or not head.startswith(b"PK\x03\x04"):
            raise OSError("damaged in the zip: no file begins where its directory says")
        name_size, extra_size = _LOCAL.unpack_from(head)[-2:]
        begin, wanted = _LOCAL.size + name_size + extra_size, self._wanted(entry, size)
        packed = head[begin : begin + wanted]
        if len(packed) < wanted:
            packed = self._at(entry.offset + begin, wanted)
        try:
            stored, most = entry.method == zipfile.ZIP_STORED, entry.size if size < 0 else size
            data = packed if stored else zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most + 1)
        except zlib.error as error:
            raise OSError(f"damaged in the zip: {error}") from error
        if size >= 0:
            return data[:size]
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise OSError("damaged in the zip: its checksum or length is another than the zip's directory says")
        return data

    def _directory(self) -> Iterator[_Entry]:
        """The entries of the zip's central directory, in its order."""
        try:
            opened = self.path.open("rb") if isinstance(self.path, Path) else self.path.open()
            with opened as file, zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:  # whatever damage leads to
            raise _not_a_zip(self.path, *self._size_and_head()) from error
        for entry in entries:
            name = entry.orig_filename
            if not (entry.flag_bits & _UTF8 or name.isascii()):  # many programs do not set the flag
                with contextlib.suppress(UnicodeError):
                    name = name.encode("cp437").decode()
            numbers = (entry.header_offset, entry.compress_size, entry.file_size, entry.CRC, entry.compress_type)
            yield _Entry(name.replace("\\", "/"), *numbers, entry.flag_bits)

    def _size_and_head(self) -> tuple[int, bytes]:
        path = Path(str(self.path))
        with path.open("rb") as file:
            return path.stat().st_size, file.read(4096)


class _Entry(NamedTuple):
    """One file in a zip."""

    name: str
    offset: int
    packed_size: int
    size: int
    crc: int
    method: int
    flags: int

    def refusal(self) -> str | None:
        """Why it cannot be read; None if it can."""
        if self.flags & 1:
            return "encrypted in the zip"
        if self.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"unsupported: packed by method {self.method} in the zip, only deflate and no packing are read"
        largest = max(self.size, self.packed_size)
        return too_large(largest) if largest > MAX_FILE_BYTES else None


_SIZE, _CRC = (_Entry._fields.index(field) - 1 for field in ("size", "crc"))
_DEFLATE_GROWTH: Final = 256  # the most that deflate adds to incompressible data of this length
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_GUESS: Final = 160  # name and extra field of a local header
_UTF8: Final = 0x800


def _read_file(path: str, size: int) -> bytes:
    """Reads a file, or its first `size` bytes; -1 for all."""
    status = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise OSError("not a file")
    with FileIO(path) as file:
        if size < 0 and status.st_size > MAX_FILE_BYTES:
            raise OSError(too_large(status.st_size))
        return file.read(size)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it raises
        return False


def system_part(name: str) -> str | None:
    """The path of the first folder or file in a path that a system creates; None if there is none."""
    parts = name.split("/")
    for end, part in enumerate(parts, start=1):
        if part not in (".", "..") and system_file(part):
            return "/".join(parts[:end])
    return None


def too_large(size: int) -> str:
    """Why a file of so many bytes is not read."""
    return f"too large: {size:,} bytes in one file, at most {MAX_FILE_BYTES:,}"


def _not_a_zip(path: Path | Place, size: int, head: bytes) -> SourceError:
    looks = appearance(head)
    if looks == "a zip archive":
        looks = "the beginning of one: its end, with the list of files, is missing (an interrupted download?)"
    if "image" in looks:
        return SourceError(f"{path} is a single image: name the folder or the zip that holds all of them")
    return SourceError(
        f"{path} ({size:,} bytes) is not a complete zip archive; it looks like {looks}. Download it again, or use "
        "the unpacked images without this file"
    )
