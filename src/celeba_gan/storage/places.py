"""A folder or a file on any file system of fsspec, used as a path."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from celeba_gan.foundation.paths import is_url
from celeba_gan.foundation.wording import in_time, install_command
from celeba_gan.storage.errors import EXTRAS, StorageError, passes, reason
from celeba_gan.storage.secrets import mask_options

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

Result = TypeVar("Result")

PATIENCE: Final = 300.0
"""Seconds for which a broken connection is tried again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_FEW_TRIES: Final = {  # `Place` itself tries again
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"max_attempts": 0},
    "max_pool_connections": 64,
}
_BUCKETS: Final = frozenset(("s3", "s3a", "gs", "gcs"))  # what comes after :// is a bucket
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"s3": {"config_kwargs": _FEW_TRIES}}

_BUFFER_BYTES: Final = 2**20

logger = logging.getLogger(__name__)


class Place:
    """A folder or a file at an address such as `s3://bucket/folder`, with the methods of a path that are used of it.

    What fails because of the connection is tried again with growing pauses for `patience` seconds. Text and messages
    show no secret. A pickle opens its own connection.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
        names: tuple[str, ...] = (),
    ) -> None:
        """Stores the address; nothing is opened.

        Args:
            url: The address of a folder or a file.
            options: Of the file system, as fsspec takes them: credentials, the server's address.
            patience: Seconds.
            names: Below that address.

        Raises:
            StorageError: It is no address that fsspec knows.
        """
        if not is_url(url):
            raise StorageError(f"{url} is no address such as s3://bucket/folder")
        self.url, self.options, self.patience, self.names = url.rstrip("/"), dict(options or {}), patience, names
        if "@" in urlsplit(url).netloc and self.protocol in _BUCKETS:
            raise StorageError(
                f"{self} has credentials in its address, where {self.protocol}:// takes none. Give them in the "
                "environment, or as credentials of the catalog entry"
            )

    def __reduce__(self) -> tuple[type[Place], tuple[Any, ...]]:
        return Place, (self.url, self.options, self.patience, self.names)

    def __truediv__(self, name: str) -> Place:
        below = Place(self.url, self.options, self.patience, (*self.names, *filter(None, name.split("/"))))
        if "_opened" in self.__dict__:
            below.__dict__["_opened"] = self._opened
        return below

    def __str__(self) -> str:
        return self._masked("/".join([self.url, *self.names]))

    def __repr__(self) -> str:
        return f"Place({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.url, self.names))

    @property
    def protocol(self) -> str:
        """What its address begins with."""
        return self.url.partition("://")[0].split("::")[-1]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Place:
        """The folder that this is in."""
        if self.names:
            return Place(self.url, self.options, self.patience, self.names[:-1])
        return Place(self.url.rpartition("/")[0], self.options, self.patience)

    @property
    def path(self) -> str:
        """The path on its file system."""
        return "/".join([self._opened[1].rstrip("/"), *self.names])

    @property
    def files(self) -> AbstractFileSystem:
        """The file system.

        Raises:
            StorageError: fsspec does not know it, or its package is not installed.
        """
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        self.check_installed()
        try:
            defaults = {
                key: value for key, value in _DEFAULTS.get(self.protocol, {}).items() if key not in self.options
            }
            files, path = url_to_fs(self.url, **defaults, **self.options)
        except Exception as error:  # whatever a file system does with wrong options
            raise StorageError(self._failure("used", error, 0.0)) from None
        return files, path

    def exists(self) -> bool:
        """Whether there is a file, or a folder with a file below it."""
        return self._kind() is not None

    def is_file(self) -> bool:
        """Whether there is a file."""
        return self._kind() == "file"

    def size(self) -> int:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        return int(self._run("read", lambda: self._fresh().info(self.path)["size"], missing=True))

    def listing(self) -> dict[str, int]:
        """The names and sizes of the files directly in this folder; none if there is no such folder."""
        try:
            found = self._run("listed", lambda: self._fresh().ls(self.path, detail=True), missing=True)
        except FileNotFoundError:
            return {}
        return {one["name"].rpartition("/")[2]: int(one["size"]) for one in found if one["type"] == "file"}

    def walk(self) -> dict[str, dict[str, Any]]:
        """What the file system knows about every file in this folder and those below it, by the path below it."""
        found = self._run("listed", lambda: self._fresh().find(self.path, detail=True), missing=True)
        top = self.path.rstrip("/") + "/"
        return {path.removeprefix(top): about for path, about in found.items() if path.startswith(top)}

    def read_bytes(self) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        return bytes(self._run("read", lambda: self.files.cat_file(self.path), missing=True))

    def write_bytes(self, data: bytes) -> None:
        """Writes a file with one upload: it is there whole, or not at all, on every object store."""
        self._run("written", lambda: self.files.pipe_file(self.path, data))

    def unlink(self) -> None:
        """Deletes a file, if there is one."""
        with suppress(FileNotFoundError):
            self._run("deleted", lambda: self.files.rm_file(self.path), missing=True)

    def open(self) -> io.BufferedReader:
        """The file for reading anywhere in it.

        Raises:
            FileNotFoundError: There is none.
        """
        return io.BufferedReader(_File(self), _BUFFER_BYTES)

    def read_ranges(self, ranges: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The bytes [start, stop) of files below this folder, given as (name, start, stop); fetched beside each other.

        Raises:
            FileNotFoundError: A file is missing.
            StorageError: The connection broke, and stayed broken.
        """
        found: list[bytes | None] = [None] * len(ranges)

        def fetch() -> None:
            left = [place for place, data in enumerate(found) if data is None]
            paths = [f"{self.path}/{ranges[place][0]}" if ranges[place][0] else self.path for place in left]
            starts, stops = ([ranges[place][side] for place in left] for side in (1, 2))
            failed: BaseException | None = None
            for place, data in zip(left, self.files.cat_ranges(paths, starts, stops, on_error="return"), strict=True):
                name, start, stop = ranges[place]
                if isinstance(data, FileNotFoundError):
                    failed = _MissingError(self / name)
                elif isinstance(data, BaseException):
                    failed = data
                elif len(data) != stop - start:
                    failed = self._cut_off(ranges[place], len(data))
                else:
                    found[place] = data
            if failed is not None:
                raise failed

        self._run("read", fetch, missing=True)
        return [data for data in found if data is not None]

    def _cut_off(self, wanted: tuple[str, int, int], arrived: int) -> BaseException:
        """Why less of a file arrived than was wanted."""
        name, start, stop = wanted
        file = self / name
        if file._fresh().info(file.path)["size"] < stop:
            return StorageError(f"{file} is shorter than it was")
        return EOFError(f"{arrived:,} of {stop - start:,} bytes of {name} arrived")

    def with_patience(self, seconds: float) -> Place:
        """The same place, with more patience or less."""
        return Place(self.url, self.options, seconds, self.names)

    def check_installed(self) -> None:
        """Checks that what reads this place is installed; connects to nothing.

        Raises:
            StorageError: fsspec does not know it, or its package is not installed.
        """
        from fsspec import get_filesystem_class

        try:
            get_filesystem_class(self.protocol)
        except ImportError as error:
            raise StorageError(_not_installed(self.protocol, str(self), error)) from None
        except ValueError as error:
            raise StorageError(self._failure("used", error, 0.0)) from None

    def check_writable(self) -> None:
        """Writes and deletes a small file.

        Raises:
            StorageError: That is not possible.
        """
        probe = self / ".celeba_gan_can_write"
        probe.write_bytes(b"")
        probe.unlink()

    def _kind(self) -> str | None:
        try:  # fsspec's own `exists` takes a broken connection for a missing file
            return str(self._run("reached", lambda: self._fresh().info(self.path)["type"], missing=True))
        except FileNotFoundError:
            return None

    def _fresh(self) -> AbstractFileSystem:
        """The file system without what it remembers: another process may have written meanwhile."""
        self.files.invalidate_cache()
        return self.files

    def _run(self, done: str, action: Callable[[], Result], missing: bool = False) -> Result:
        """Does something as often as `patience` allows; `missing` lets a FileNotFoundError through."""
        self.files  # noqa: B018 - raises its own error
        begin, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                return action()
            except StorageError:
                raise
            except Exception as error:
                waited = time.monotonic() - begin
                if missing and isinstance(error, FileNotFoundError):
                    where = error.place if isinstance(error, _MissingError) else self
                    raise FileNotFoundError(f"{where} does not exist") from None
                if not passes(error) or waited + pause > self.patience:
                    raise StorageError(self._failure(done, error, waited)) from None
                shown = self._masked(f"{type(error).__name__}: {error}")
            logger.warning("%s cannot be %s (%s); trying again in %s", self, done, shown, in_time(pause))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _failure(self, done: str, error: BaseException, waited: float) -> str:
        return self._masked(f"{self} cannot be {done}: {reason(error, waited)}")

    def _masked(self, text: str) -> str:
        return mask_options(text, self.options, self.url)


class _MissingError(FileNotFoundError):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class _File(io.RawIOBase):
    """A file, each read of which is a request."""

    def __init__(self, place: Place) -> None:
        self._place, self._size, self._at = place, place.size(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        (data,) = self._place.read_ranges([("", self._at, stop)])
        buffer[: len(data)] = data
        self._at = stop
        return len(data)


def _not_installed(protocol: str, shown: str, error: ImportError) -> str:
    if (extra := EXTRAS.get(protocol)) is not None:
        return f"{shown} needs the extra {extra}, which is not installed: {install_command(extra)}"
    return f"{shown} needs a package that is not installed: {str(error).rstrip('.')}"
