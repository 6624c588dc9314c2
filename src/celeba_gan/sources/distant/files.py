"""Image files in a folder or a zip that lies elsewhere.

A request takes as long as reading a hundred files on a disk. So each gets the next files as well, beside each other:
sources are read in the order of the names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import MAX_FILE_BYTES, ImageFiles, ListedFiles, ZipFiles, system_part, too_large
from celeba_gan.storage.places import Place

_WINDOW_FILES: Final = 256
_WINDOW_BYTES: Final = 32 * 2**20
_STAMPS: Final = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What file systems call the version of a file; the first that there is."""


class Window:
    """What was read together: files from one name on, as far as they are small."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, str], bytes] = {}

    def get(
        self,
        name: str,
        size: int,
        names: Sequence[str],
        length: Callable[[str], int],
        fetch: Callable[[Sequence[str]], list[bytes]],
    ) -> bytes:
        """The bytes of a file, or the first `size` of them; those after it are fetched at once.

        Args:
            name: Of the file.
            size: -1: all.
            names: All names, sorted.
            length: The bytes that will be read of a file.
            fetch: Gets some files.
        """
        if (size, name) not in self._read:
            place, wanted, total = bisect_left(names, name), [name], length(name)
            for other in names[place + 1 : place + _WINDOW_FILES]:
                total += length(other)
                if total > _WINDOW_BYTES:
                    break
                wanted.append(other)
            try:
                found = fetch(wanted)
            except FileNotFoundError:  # deleted meanwhile: it, or one after it
                wanted = [name]
                found = fetch(wanted)
            self._read = {(size, one): data for one, data in zip(wanted, found, strict=True)}
        return self._read.pop((size, name))


class DistantFolder(ListedFiles):
    """The image files in a folder that lies elsewhere, and in those below it."""

    path: Place

    def __init__(self, path: Place) -> None:
        super().__init__(path)
        try:
            self._about: Mapping[str, Mapping[str, Any]] = path.walk()
        except FileNotFoundError:
            raise SourceError(f"There is no folder {path}") from None
        self._window, self._others = Window(), []
        names, skipped = [], set[str]()
        created_in = cache(system_part)
        for name, about in self._about.items():
            folder, _, file = name.rpartition("/")
            created = created_in(name if system_part(file) else folder) if folder or system_part(file) else None
            if created is not None:
                if created not in skipped:
                    self._skips(created.rpartition("/")[2])
                    skipped.add(created)
            elif about.get("type") == "file" and self._is_listed(name, partial(self._begin, name)):
                names.append(name)
            else:
                self._others.append(name)
        self.names = sorted(names)

    @property
    def others(self) -> list[str]:
        """As `ListedFiles.others`."""
        return self._others

    def read(self, name: str, size: int = -1) -> bytes:
        """As `ImageFiles.read`."""
        if name not in self:
            raise self._no_image(name)
        if size < 0 and self._size(name) > MAX_FILE_BYTES:
            raise OSError(too_large(self._size(name)))

        def length(one: str) -> int:
            return self._size(one) if size < 0 else min(size, self._size(one))

        return self._window.get(
            name, size, self.names, length, lambda some: self.path.read_ranges([(one, 0, length(one)) for one in some])
        )

    def fingerprint(self, name: str) -> str:
        """Size and the version that the file system knows."""
        if name not in self:
            raise self._no_image(name)
        about = self._about[name]
        stamp = next((str(about[key]) for key in _STAMPS if about.get(key)), "")
        return f"{self._size(name)}-{stamp.strip(chr(34))}"

    def portion(self, names: Sequence[str]) -> DistantFolder:
        """As `ImageFiles.portion`."""
        portion = DistantFolder.__new__(DistantFolder)
        ImageFiles.__init__(portion, self.path)
        portion.names, portion._others, portion._window = sorted(names), [], Window()
        portion._about = {name: {"size": self._size(name)} for name in names}
        return portion

    def read_other(self, name: str) -> bytes | None:
        """As `ImageFiles.read_other`."""
        return (self.path / name).read_bytes() if name in self._about else None

    def _size(self, name: str) -> int:
        return int(self._about[name]["size"])

    def _begin(self, name: str, size: int) -> bytes:
        return self.path.read_ranges([(name, 0, min(size, self._size(name)))])[0]


class DistantZip(ZipFiles):
    """The image files in a zip that lies elsewhere; only its directory and what is read is fetched."""

    path: Place

    def __init__(self, path: Place) -> None:
        self._window = Window()
        self._end = path.size()
        super().__init__(path)

    def read(self, name: str, size: int = -1) -> bytes:
        """As `ZipFiles.read`."""

        def span(one: str) -> tuple[str, int, int]:
            start, length = self._span(self._entry(one), size)
            return "", start, min(start + length, self._end)

        def length(one: str) -> int:
            _, start, stop = span(one)
            return stop - start

        entry = self._entry(name)  # raises for a name that is not there
        if size < 0 and entry.size > MAX_FILE_BYTES:
            raise OSError(too_large(entry.size))
        head = self._window.get(
            name, size, self.names, length, lambda some: self.path.read_ranges([span(one) for one in some])
        )
        return self._unpack(entry, size, head)

    def portion(self, names: Sequence[str]) -> DistantZip:
        """As `ImageFiles.portion`."""
        portion = DistantZip.__new__(DistantZip)
        self._fill(portion, names)
        portion._window, portion._end = Window(), self._end
        return portion

    def _at(self, offset: int, length: int) -> bytes:
        return self.path.read_ranges([("", offset, min(offset + length, self._end))])[0]

    def _size_and_head(self) -> tuple[int, bytes]:
        return self._end, self._at(0, 4096)


def distant_files(path: Place) -> ImageFiles:
    """The image files of a zip or a folder that lies elsewhere.

    Raises:
        SourceError: It is a file, and no zip.
    """
    return DistantZip(path) if path.is_file() else DistantFolder(path)
