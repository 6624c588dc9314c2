"""A transfer of one file over HTTP that outlives its process: it carries on from the half that is there.

It serves every source, because neither library has one: huggingface_hub drops a half that broke off, gdown does not see
that the file changed between two runs.
"""

import dataclasses
import itertools
import json
import logging
import os
import shutil
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import requests
from requests.exceptions import ChunkedEncodingError, RequestException
from rich.progress import Progress
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from celeba_gan.foundation.wording import in_bytes
from celeba_gan.images.appearance import appearance
from celeba_gan.sources.official import OfficialFile, md5_of

_CHUNK: Final = 64 * 1024  # bytes; at most one chunk is lost when a connection breaks
_STAND_INS: Final = frozenset(appearance(head) for head in (b"", b"<html>", b"version https://git-lfs"))

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a download waits for its server.

    Attributes:
        pauses: Seconds before each further try; they start anew whenever more of the file has come than ever before.
        longest_pause: Seconds; a server that asks for more (Retry-After) is not waited for.
        timeouts: Seconds to connect, and seconds without a byte.
    """

    pauses: tuple[float, ...] = (2.0, 5.0, 15.0, 30.0, 60.0)
    longest_pause: float = 120.0
    timeouts: tuple[float, float] = (10.0, 60.0)


PATIENCE: Final = Patience()


class UnavailableError(Exception):
    """A file cannot be had, and trying again at once would not help; the message is half a sentence that says why."""


class BrokenError(Exception):
    """A transfer broke off, or its server was busy; the message is half a sentence that says how."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after  # seconds that the server asks to be left alone


class Address(NamedTuple):
    """Where a file is, and what to send with the request for it."""

    url: str
    headers: dict[str, str]


class Place(NamedTuple):
    """A source: its name for people, and how to find the address of a file."""

    name: str
    address: Callable[[OfficialFile, requests.Session, Patience], Address]


class Half:
    """What has come of a file, and beside it the mark by which its server knows that version of it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.partial")
        self._record = target.with_name(f".{target.name}.partial.json")

    @property
    def size(self) -> int:
        """Bytes; 0 where nothing has come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def mark(self, place: Place) -> str | None:
        """For If-Range. None where the half came from elsewhere: then the md5 alone says whether the parts fit."""
        try:
            record = json.loads(self._record.read_text())
            return str(record["mark"]) if record["place"] == place.name and record["mark"] else None
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def begin(self, place: Place, mark: str | None) -> None:
        """Start from nothing."""
        self.remove()
        self._record.write_text(json.dumps({"place": place.name, "mark": mark}))

    def remove(self) -> None:
        """Drop it and its mark."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the whole file its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.remove()


class Download(NamedTuple):
    """One file, where it comes from, and where it goes."""

    file: OfficialFile
    place: Place
    session: requests.Session
    half: Half
    patience: Patience
    bar: Progress


def fetch(download: Download) -> None:
    """Fetch one file, with as many tries as it takes and `patience` allows.

    Raises:
        UnavailableError: It cannot be had. What is good of it stays in its half.
    """
    file, half = download.file, download.half
    begin = time.monotonic()
    longest, pauses = half.size, iter(download.patience.pauses)
    while True:
        before, kept, broken = half.size, 0, None
        try:
            kept = _receive(download)
        except BrokenError as error:
            broken = error
        except OSError as error:
            raise UnavailableError(f"{half.path} cannot be written ({error.strerror})") from error
        # Not its length but the md5 says whether a file is whole: a server need not announce a length, nor a right one.
        if half.size and (broken is None or half.size != before) and md5_of(half.path) == file.md5:
            break
        if broken is None:
            wrong = describe(half.path)
            half.remove()
            if not kept:
                raise UnavailableError(f"what came is not the official file: its md5 is wrong; it is {wrong}")
            logger.warning("%s: the parts of two tries make no whole; starting again from its beginning", file.name)
            continue
        if half.size > longest:
            longest, pauses = half.size, iter(download.patience.pauses)
        _pause(download, broken, next(pauses, None))
    size, seconds = half.size, time.monotonic() - begin
    half.publish()
    logger.info("%s: %s in %.1f s from %s", file.name, in_bytes(size), seconds, download.place.name)


def _receive(download: Download) -> int:
    """Ask once for what is missing of a file, and append it to its half.

    Returns:
        How many bytes of the half were there before. 0: all of it came now.

    Raises:
        BrokenError: Not all came.
        UnavailableError: The server has no such file, or sends something else. The half is as it was.
    """
    file, place, session, half, patience, bar = download
    url, headers = place.address(file, session, patience)
    offset, mark = half.size, half.mark(place)
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and mark:
        wanted["If-Range"] = mark
    with answer(session, Address(url, headers | wanted), patience) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return offset  # there is nothing after the half: it is whole, or of another version
        chunks = response.iter_content(_CHUNK)
        goes_on = offset > 0 and _continues(response, offset, mark)
        if offset and not goes_on and response.status_code == HTTPStatus.PARTIAL_CONTENT:
            half.remove()
            raise BrokenError(f"{_host(url)} has another version of the file than before")
        offset = offset if goes_on else 0
        total = _announced(response, half, offset)
        if not goes_on:
            first = next(chunks, b"")
            if (looks := appearance(first)) in _STAND_INS:  # the half is worth more than a page that says "come later"
                raise UnavailableError(f"{shown(response.url)} is {looks}")
            chunks = itertools.chain([first], chunks)
            half.begin(place, _mark(response))
        task = bar.add_task(file.name, total=total, completed=offset)
        try:
            with half.path.open("ab") as out:
                for chunk in chunks:
                    if out.tell() + len(chunk) > file.most_bytes:
                        half.remove()
                        raise UnavailableError(f"{shown(response.url)} sends more than {file.most_bytes:,} bytes")
                    out.write(chunk)
                    bar.advance(task, len(chunk))
        finally:
            bar.remove_task(task)
        if total is None and "Transfer-Encoding" not in response.headers:  # nothing says whether that was all
            raise BrokenError(f"{_host(url)} ended without having said how long the file is")
    return offset


def _continues(response: requests.Response, offset: int, mark: str | None) -> bool:
    """Whether the answer goes on where the half ends, in the same version of the file."""
    return (
        response.status_code == HTTPStatus.PARTIAL_CONTENT
        and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        and "Content-Encoding" not in response.headers
        and (mark is None or _mark(response) in (None, mark))
    )


def _mark(response: requests.Response) -> str | None:
    """What names the version of the file: a strong ETag, else the time of its last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _announced(response: requests.Response, half: Half, offset: int) -> int | None:
    """The size of the whole file as far as the server says it, in bytes; refused where the disk has no room for it."""
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal() or "Content-Encoding" in response.headers:
        return None
    free = shutil.disk_usage(half.path.parent).free
    if int(length) > free:
        needed = in_bytes(int(length))
        raise UnavailableError(f"{needed} of it are missing, and the disk has {in_bytes(free)} free")
    return offset + int(length)


@contextmanager
def answer(session: requests.Session, address: Address, patience: Patience) -> Iterator[requests.Response]:
    """A server's answer; what goes wrong until it is read is said as `BrokenError` or `UnavailableError`."""
    url, headers = address
    headers = headers | {"Accept-Encoding": "identity"}  # offsets count the bytes of the file
    try:
        with session.get(url, headers=headers, stream=True, timeout=patience.timeouts) as response:
            _check_status(response, patience)
            yield response
    except requests.Timeout as error:
        raise BrokenError(f"{_host(url)} did not answer in time") from error
    except ChunkedEncodingError as error:
        raise BrokenError(f"{_host(url)} broke off") from error
    except requests.ConnectionError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise UnavailableError(f"the certificate of {_host(url)} is not trusted") from error
        raise BrokenError(f"{_host(url)} could not be reached, or fell silent") from error
    except RequestException as error:
        raise UnavailableError(f"{shown(url)} cannot be read ({type(error).__name__})") from error


def _check_status(response: requests.Response, patience: Patience) -> None:
    status = response.status_code
    if response.ok or (status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in response.request.headers):
        return
    said = f"{status} {response.reason or ''} {response.headers.get('X-Error-Message', '')}".strip()
    if status not in (408, 429) and status < 500:
        raise UnavailableError(f"{shown(response.url)} answered {said}")
    try:
        after = Retry().get_retry_after(response.raw) or 0.0
    except InvalidHeader:
        after = 0.0
    if after > patience.longest_pause:
        raise UnavailableError(f"{_host(response.url)} answered {said}, and asks to be left alone for {after:.0f} s")
    raise BrokenError(f"{_host(response.url)} answered {said}", after)


def _pause(download: Download, broken: BrokenError, pause: float | None) -> None:
    """Wait before the next try; None: there is none."""
    if pause is None:
        raise UnavailableError(f"{broken} ({len(download.patience.pauses) + 1} tries)") from broken
    pause = max(pause, broken.after)
    so_far = in_bytes(download.half.size)
    logger.warning("%s: %s; trying again in %.0f s (%s so far)", download.file.name, broken, pause, so_far)
    time.sleep(pause)


def describe(path: Path) -> str:
    """What a file seems to be, and its size."""
    with path.open("rb") as file:
        return f"{appearance(file.read(4096))} of {path.stat().st_size:,} bytes"


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
