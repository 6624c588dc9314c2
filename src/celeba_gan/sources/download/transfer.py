"""Downloads one file over HTTP, and resumes it in another process.

Neither library does: huggingface_hub discards an interrupted download, gdown does not notice that the file changed
between two runs.
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

from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.wording import in_bytes
from celeba_gan.images.appearance import appearance
from celeba_gan.sources.official import OfficialFile, md5_of

_CHUNK: Final = 64 * 1024  # bytes; at most one chunk is lost when a connection breaks
_STAND_INS: Final = frozenset(appearance(head) for head in (b"", b"<html>", b"version https://git-lfs"))

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How long a download waits for its server, in seconds."""

    pauses: tuple[float, ...] = (2.0, 5.0, 15.0, 30.0, 60.0)
    """Before each retry; they start again whenever the partial download has grown."""
    longest_pause: float = 120.0
    """A longer Retry-After ends the download."""
    timeouts: tuple[float, float] = (10.0, 60.0)
    """To connect, and without a byte."""


RETRY_POLICY: Final = RetryPolicy()


class UnavailableError(Exception):
    """A file cannot be downloaded, and an immediate retry would not help; the message is a clause that says why."""


class InterruptedTransferError(Exception):
    """A transfer was interrupted, or its server was busy; the message is a clause that says how."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after  # seconds, as the server requests


class Address(NamedTuple):
    """The URL of a file, and the headers of a request for it."""

    url: str
    headers: dict[str, str]


class Mirror(NamedTuple):
    """A place to download from: its name for people, and how to find the address of a file."""

    name: str
    address: Callable[[OfficialFile, requests.Session, RetryPolicy], Address]


class PartialDownload:
    """The downloaded part of a file, and beside it the HTTP validator of the version it belongs to."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.partial")
        self._record = target.with_name(f".{target.name}.partial.json")

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self, mirror: Mirror) -> str | None:
        """For If-Range. None after a change of the mirror: then only the md5 tells whether the parts match."""
        try:
            record = parse_json(self._record.read_text())
            return str(record["validator"]) if record["mirror"] == mirror.name and record["validator"] else None
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def begin(self, mirror: Mirror, validator: str | None) -> None:
        """Discards what there is, and records what comes next."""
        self.remove()
        self._record.write_text(json.dumps({"mirror": mirror.name, "validator": validator}))

    def remove(self) -> None:
        """Deletes it and its validator."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def publish(self) -> None:
        """Gives the complete file its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.remove()


class Download(NamedTuple):
    """One file, where it comes from, and where it goes."""

    file: OfficialFile
    mirror: Mirror
    session: requests.Session
    partial: PartialDownload
    policy: RetryPolicy
    bar: Progress


def fetch(download: Download) -> None:
    """Downloads one file, with as many retries as `policy` allows.

    Raises:
        UnavailableError: It cannot be downloaded. The valid part is kept.
    """
    file, partial = download.file, download.partial
    begin = time.monotonic()
    longest, pauses = partial.size, iter(download.policy.pauses)
    while True:
        before, kept, interruption = partial.size, 0, None
        try:
            kept = _receive(download)
        except InterruptedTransferError as error:
            interruption = error
        except OSError as error:
            raise UnavailableError(f"{partial.path} cannot be written ({error.strerror})") from error
        # Completeness is decided by md5, not by length: a server may announce none, or a wrong one.
        if partial.size and (interruption is None or partial.size != before) and md5_of(partial.path) == file.md5:
            break
        if interruption is None:
            wrong = describe(partial.path)
            partial.remove()
            if not kept:
                raise UnavailableError(f"the download is not the official file: its md5 is wrong; it is {wrong}")
            logger.warning("%s: the parts of two downloads do not match; starting again from the beginning", file.name)
            continue
        if partial.size > longest:
            longest, pauses = partial.size, iter(download.policy.pauses)
        pause = next(pauses, None)
        if pause is None:
            raise UnavailableError(f"{interruption} ({len(download.policy.pauses) + 1} tries)") from interruption
        pause, so_far = max(pause, interruption.after), in_bytes(partial.size)
        logger.warning("%s: %s; retrying in %.0f s (%s so far)", file.name, interruption, pause, so_far)
        time.sleep(pause)
    size, seconds = partial.size, time.monotonic() - begin
    partial.publish()
    logger.info("%s: %s in %.1f s from %s", file.name, in_bytes(size), seconds, download.mirror.name)


def _receive(download: Download) -> int:
    """Requests the missing part of a file once, appends it, and returns how many bytes were kept from before.

    Raises:
        InterruptedTransferError: The transfer is incomplete.
        UnavailableError: The server has no such file, or sends something else. The partial download is unchanged.
    """
    file, mirror, session, partial, policy, bar = download
    url, headers = mirror.address(file, session, policy)
    offset, validator = partial.size, partial.validator(mirror)
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and validator:
        wanted["If-Range"] = validator
    with request(session, Address(url, headers | wanted), policy) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return offset  # nothing follows: it is complete, or of another version
        chunks = response.iter_content(_CHUNK)
        partly = offset > 0 and response.status_code == HTTPStatus.PARTIAL_CONTENT
        resumes = (
            partly
            and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            and "Content-Encoding" not in response.headers
            and (validator is None or _validator(response) in (None, validator))
        )
        if partly and not resumes:
            partial.remove()
            raise InterruptedTransferError(f"{_host(url)} now has another version of the file")
        offset = offset if resumes else 0
        total = _announced(response, partial, offset)
        if not resumes:
            first = next(chunks, b"")
            if (looks := appearance(first)) in _STAND_INS:  # keep the partial download: the page may say "come later"
                raise UnavailableError(f"{without_secrets(response.url)} is {looks}")
            chunks = itertools.chain([first], chunks)
            partial.begin(mirror, _validator(response))
        task = bar.add_task(file.name, total=total, completed=offset)
        try:
            with partial.path.open("ab") as out:
                for chunk in chunks:
                    if out.tell() + len(chunk) > file.most_bytes:
                        partial.remove()
                        where = without_secrets(response.url)
                        raise UnavailableError(f"{where} sends more than {file.most_bytes:,} bytes")
                    out.write(chunk)
                    bar.advance(task, len(chunk))
        finally:
            bar.remove_task(task)
        if total is None and "Transfer-Encoding" not in response.headers:  # the end may be missing
            raise InterruptedTransferError(f"{_host(url)} closed the connection without announcing a length")
    return offset


def _validator(response: requests.Response) -> str | None:
    """A strong ETag, else Last-Modified."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _announced(response: requests.Response, partial: PartialDownload, offset: int) -> int | None:
    """The size of the whole file in bytes, if the server announces it; raises if the disk has no room for it."""
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal() or "Content-Encoding" in response.headers:
        return None
    free = shutil.disk_usage(partial.path.parent).free
    if int(length) > free:
        needed = in_bytes(int(length))
        raise UnavailableError(f"{needed} are missing, and the disk has {in_bytes(free)} free")
    return offset + int(length)


@contextmanager
def request(session: requests.Session, address: Address, policy: RetryPolicy) -> Iterator[requests.Response]:
    """A server's response; errors until it is read become `InterruptedTransferError` or `UnavailableError`."""
    url, headers = address
    headers = headers | {"Accept-Encoding": "identity"}  # offsets count the bytes of the file
    try:
        with session.get(url, headers=headers, stream=True, timeout=policy.timeouts) as response:
            _check_status(response, policy)
            yield response
    except requests.Timeout as error:
        raise InterruptedTransferError(f"{_host(url)} did not respond in time") from error
    except ChunkedEncodingError as error:
        raise InterruptedTransferError(f"{_host(url)} closed the connection") from error
    except requests.ConnectionError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise UnavailableError(f"the certificate of {_host(url)} is not trusted") from error
        raise InterruptedTransferError(f"{_host(url)} could not be reached, or stopped responding") from error
    except RequestException as error:
        raise UnavailableError(f"{without_secrets(url)} cannot be read ({type(error).__name__})") from error


def _check_status(response: requests.Response, policy: RetryPolicy) -> None:
    status = response.status_code
    if response.ok or (status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in response.request.headers):
        return
    status_line = f"{status} {response.reason or ''} {response.headers.get('X-Error-Message', '')}".strip()
    if status not in (408, 429) and status < 500:
        raise UnavailableError(f"{without_secrets(response.url)} responded {status_line}")
    try:
        after = Retry().get_retry_after(response.raw) or 0.0
    except InvalidHeader:
        after = 0.0
    if after > policy.longest_pause:
        raise UnavailableError(f"{_host(response.url)} responded {status_line}, and requests a pause of {after:.0f} s")
    raise InterruptedTransferError(f"{_host(response.url)} responded {status_line}", after)


def describe(path: Path) -> str:
    """The apparent type of a file, and its size."""
    with path.open("rb") as file:
        return f"{appearance(file.read(4096))} of {path.stat().st_size:,} bytes"


def without_secrets(url: str) -> str:
    """A URL without user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
