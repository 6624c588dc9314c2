"""Fetches CelebA's official files from Google Drive, a Hugging Face dataset or a web server.

Each source only says where a file is; the transfer is the same for all, because neither library has one that outlives
its process: huggingface_hub drops a half that broke off, gdown does not see that the file changed between two runs.
"""

import dataclasses
import itertools
import json
import logging
import os
import re
import shutil
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import filelock
import requests
from requests.exceptions import ChunkedEncodingError, RequestException
from rich import filesize, get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from celeba_gan.celeba.errors import SourceError, appearance
from celeba_gan.celeba.official import OFFICIAL_FILES, OfficialFile, md5_of
from celeba_gan.celeba.source import IMAGES_ZIP

HOME_PAGE: Final = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

# It is used as a copy of all the official files, under their names, by several public projects; that its bytes are the
# official ones is not known beforehand: the md5 of every file decides, as for any other source.
HUGGING_FACE_DATASET: Final = "Yuehao/celeba"

_FORMS: Final = (
    f"google_drive; huggingface (the dataset {HUGGING_FACE_DATASET}); huggingface:OWNER/DATASET; "
    "or the address of a folder on a web server, such as https://host/path/"
)
_CHUNK: Final = 64 * 1024  # bytes; at most one chunk is lost when a connection breaks
_LARGEST_PAGE: Final = 1024 * 1024  # bytes of a page of Google Drive
_BROWSER: Final = {"User-Agent": "Mozilla/5.0"}  # Google Drive answers other clients with other pages
_COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)
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


def download_celeba(
    folder: Path, source: str, files: Mapping[str, OfficialFile] = OFFICIAL_FILES, patience: Patience = PATIENCE
) -> list[str]:
    """Fetch the official files that are not in `folder` yet; of several processes at once, one fetches.

    A file gets its name only when it is whole and its md5 is right. What has come of it before lies in `.NAME.partial`,
    and the next call, whatever its source, carries on from there. Files that are there are compared by md5 (two to
    three seconds for the official zip) and never replaced.

    Args:
        folder: Made when missing.
        source: `google_drive` (the authors' own), `huggingface` (the dataset `Yuehao/celeba`, a copy that is not the
            authors'), `huggingface:OWNER/DATASET` (the files are found by name, in whichever of its folders), or the
            URL of a folder that holds the files.
        files: By name, in any order; the images are fetched first.
        patience: Timeouts and pauses.

    Returns:
        The names of the files fetched now. Annotation files that could not be had are missing and warned about.

    Raises:
        SourceError: The source is none of these, the images could not be had, or another file lies under their name.
    """
    place = _place(source)
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        missing = _missing(folder, files)
        return _fetch_all(folder, missing, place, patience) if missing else []


class _UnavailableError(Exception):
    """A file cannot be had, and trying again at once would not help; the message is half a sentence that says why."""


class _BrokenError(Exception):
    """A transfer broke off, or its server was busy; the message is half a sentence that says how."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after  # seconds that the server asks to be left alone


class _Address(NamedTuple):
    url: str
    headers: dict[str, str]


class _Place(NamedTuple):
    """A source: its name for people, and how to find the address of a file."""

    name: str
    address: Callable[[OfficialFile, requests.Session, Patience], _Address]


def _place(source: str) -> _Place:
    if source == "google_drive":
        return _Place(source, _on_google_drive)
    dataset = HUGGING_FACE_DATASET if source == "huggingface" else source.removeprefix("huggingface:")
    if re.fullmatch(r"huggingface(:[\w.-]+/[\w.-]+)?", source):
        return _Place(f"huggingface:{dataset}", lambda file, session, patience: _on_hugging_face(dataset, file.name))
    try:
        parts = urllib.parse.urlsplit(source)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            folder = parts.path.rstrip("/")
            return _Place(
                _shown(source),
                lambda file, *_: _Address(parts._replace(path=f"{folder}/{file.name}", fragment="").geturl(), {}),
            )
    except ValueError:  # brackets or a port that cannot be
        pass
    raise SourceError(f"source.download={source!r} is not a place to download CelebA from. Allowed are: {_FORMS}.")


def _on_google_drive(file: OfficialFile, session: requests.Session, patience: Patience) -> _Address:
    """The authors' own files; gdown reads the page that Google shows before a large one."""
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    url = f"https://drive.google.com/uc?export=download&id={file.drive_id}"
    for _ in range(3):  # a small file has no page before it, a large one has one
        with _answer(session, _Address(url, _BROWSER), patience) as response:
            if "Content-Disposition" in response.headers:
                break
            page = next(response.iter_content(_LARGEST_PAGE), b"").decode(errors="replace")
        try:
            url = get_url_from_gdrive_confirmation(page)
        except FileURLRetrievalError as error:
            if re.search("quota|too many users", page, re.IGNORECASE):
                why = "Google Drive's quota of downloads of this file is used up; try again tomorrow, or elsewhere"
            else:
                why = f"Google Drive does not give it ({' '.join(str(error).split())[:300]})"
            raise _UnavailableError(why) from error
    return _Address(url, _BROWSER)


def _on_hugging_face(dataset: str, name: str) -> _Address:
    """A file of a dataset, in whichever folder of it; HF_ENDPOINT and the user's token count, as ever."""
    import httpx2
    from huggingface_hub import HfApi, get_token, hf_hub_url

    try:
        paths = HfApi().list_repo_files(dataset, repo_type="dataset")
    except (httpx2.HTTPError, OSError) as error:  # after the library's own five retries
        why = " ".join(str(error).split())[:300]
        raise _UnavailableError(f"Hugging Face does not list the dataset ({why})") from error
    found = [path for path in paths if path.rpartition("/")[2] == name]
    if not found:
        has = ", ".join([*paths[:10], *(["..."] if paths[10:] else [])]) or "nothing"
        raise _UnavailableError(f"the dataset has no file of this name; it has {len(paths)} files: {has}")
    token = get_token()
    url = hf_hub_url(dataset, min(found, key=len), repo_type="dataset")
    return _Address(url, {"Authorization": f"Bearer {token}"} if token else {})


class _Half:
    """What has come of a file, and beside it the mark by which its server knows that version of it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.partial")
        self._record = target.with_name(f".{target.name}.partial.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def mark(self, place: _Place) -> str | None:
        """For If-Range. None where the half came from elsewhere: then the md5 alone says whether the parts fit."""
        try:
            record = json.loads(self._record.read_text())
            return str(record["mark"]) if record["place"] == place.name and record["mark"] else None
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def begin(self, place: _Place, mark: str | None) -> None:
        self.remove()
        self._record.write_text(json.dumps({"place": place.name, "mark": mark}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the whole file its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.remove()


class _Download(NamedTuple):
    """One file, where it comes from, and where it goes."""

    file: OfficialFile
    place: _Place
    session: requests.Session
    half: _Half
    patience: Patience
    bar: Progress


def _fetch_all(folder: Path, missing: list[OfficialFile], place: _Place, patience: Patience) -> list[str]:
    logger.warning("CelebA is for non-commercial research only and may not be passed on: see %s", HOME_PAGE)
    fetched = []
    with requests.Session() as session, Progress(*_COLUMNS, console=get_console(), transient=True) as bar:
        for file in missing:
            half = _Half(folder / file.name)
            try:
                _fetch(_Download(file, place, session, half, patience, bar))
            except _UnavailableError as error:
                if file.name == IMAGES_ZIP:
                    raise SourceError(_by_hand(half, place, error, [other.name for other in missing])) from error
                logger.warning("%s", _by_hand(half, place, error, [file.name]))
            else:
                fetched.append(file.name)
    return fetched


def _fetch(download: _Download) -> None:
    """Fetch one file, with as many tries as it takes and `patience` allows.

    Raises:
        _UnavailableError: It cannot be had. What is good of it stays in its half.
    """
    file, half = download.file, download.half
    begin = time.monotonic()
    longest, pauses = half.size, iter(download.patience.pauses)
    while True:
        before, kept, broken = half.size, 0, None
        try:
            kept = _receive(download)
        except _BrokenError as error:
            broken = error
        except OSError as error:
            raise _UnavailableError(f"{half.path} cannot be written ({error.strerror})") from error
        # Not its length but the md5 says whether a file is whole: a server need not announce a length, nor a right one.
        if half.size and (broken is None or half.size != before) and md5_of(half.path) == file.md5:
            break
        if broken is None:
            wrong = _describe(half.path)
            half.remove()
            if not kept:
                raise _UnavailableError(f"what came is not the official file: its md5 is wrong; it is {wrong}")
            logger.warning("%s: the parts of two tries make no whole; starting again from its beginning", file.name)
            continue
        if half.size > longest:
            longest, pauses = half.size, iter(download.patience.pauses)
        _pause(download, broken, next(pauses, None))
    size, seconds = half.size, time.monotonic() - begin
    half.publish()
    logger.info("%s: %s in %.1f s from %s", file.name, filesize.decimal(size), seconds, download.place.name)


def _receive(download: _Download) -> int:
    """Ask once for what is missing of a file, and append it to its half.

    Returns:
        How many bytes of the half were there before. 0: all of it came now.

    Raises:
        _BrokenError: Not all came.
        _UnavailableError: The server has no such file, or sends something else. The half is as it was.
    """
    file, place, session, half, patience, bar = download
    url, headers = place.address(file, session, patience)
    offset, mark = half.size, half.mark(place)
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and mark:
        wanted["If-Range"] = mark
    with _answer(session, _Address(url, headers | wanted), patience) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return offset  # there is nothing after the half: it is whole, or of another version
        chunks = response.iter_content(_CHUNK)
        goes_on = offset > 0 and _continues(response, offset, mark)
        if offset and not goes_on and response.status_code == HTTPStatus.PARTIAL_CONTENT:
            half.remove()
            raise _BrokenError(f"{_host(url)} has another version of the file than before")
        offset = offset if goes_on else 0
        total = _announced(response, half, offset)
        if not goes_on:
            first = next(chunks, b"")
            if (looks := appearance(first)) in _STAND_INS:  # the half is worth more than a page that says "come later"
                raise _UnavailableError(f"{_shown(response.url)} is {looks}")
            chunks = itertools.chain([first], chunks)
            half.begin(place, _mark(response))
        task = bar.add_task(file.name, total=total, completed=offset)
        try:
            with half.path.open("ab") as out:
                for chunk in chunks:
                    out.write(chunk)
                    bar.advance(task, len(chunk))
        finally:
            bar.remove_task(task)
        if total is None and "Transfer-Encoding" not in response.headers:  # nothing says whether that was all
            raise _BrokenError(f"{_host(url)} ended without having said how long the file is")
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


def _announced(response: requests.Response, half: _Half, offset: int) -> int | None:
    """The size of the whole file as far as the server says it, in bytes; refused where the disk has no room for it."""
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal() or "Content-Encoding" in response.headers:
        return None
    free = shutil.disk_usage(half.path.parent).free
    if int(length) > free:
        needed = filesize.decimal(int(length))
        raise _UnavailableError(f"{needed} of it are missing, and the disk has {filesize.decimal(free)} free")
    return offset + int(length)


@contextmanager
def _answer(session: requests.Session, address: _Address, patience: Patience) -> Iterator[requests.Response]:
    """A server's answer; what goes wrong until it is read is said as `_BrokenError` or `_UnavailableError`."""
    url, headers = address
    headers = headers | {"Accept-Encoding": "identity"}  # offsets count the bytes of the file
    try:
        with session.get(url, headers=headers, stream=True, timeout=patience.timeouts) as response:
            _check_status(response, patience)
            yield response
    except requests.Timeout as error:
        raise _BrokenError(f"{_host(url)} did not answer in time") from error
    except ChunkedEncodingError as error:
        raise _BrokenError(f"{_host(url)} broke off") from error
    except requests.ConnectionError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise _UnavailableError(f"the certificate of {_host(url)} is not trusted") from error
        raise _BrokenError(f"{_host(url)} could not be reached, or fell silent") from error
    except RequestException as error:
        raise _UnavailableError(f"{_shown(url)} cannot be read ({type(error).__name__})") from error


def _check_status(response: requests.Response, patience: Patience) -> None:
    status = response.status_code
    if response.ok or (status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in response.request.headers):
        return
    said = f"{status} {response.reason or ''} {response.headers.get('X-Error-Message', '')}".strip()
    if status not in (408, 429) and status < 500:
        raise _UnavailableError(f"{_shown(response.url)} answered {said}")
    try:
        after = Retry().get_retry_after(response.raw) or 0.0
    except InvalidHeader:
        after = 0.0
    if after > patience.longest_pause:
        raise _UnavailableError(f"{_host(response.url)} answered {said}, and asks to be left alone for {after:.0f} s")
    raise _BrokenError(f"{_host(response.url)} answered {said}", after)


def _pause(download: _Download, broken: _BrokenError, pause: float | None) -> None:
    """Wait before the next try; None: there is none."""
    if pause is None:
        raise _UnavailableError(f"{broken} ({len(download.patience.pauses) + 1} tries)") from broken
    pause = max(pause, broken.after)
    so_far = filesize.decimal(download.half.size)
    logger.warning("%s: %s; trying again in %.0f s (%s so far)", download.file.name, broken, pause, so_far)
    time.sleep(pause)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    lock = filelock.FileLock(folder / ".download.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logger.info("Another process downloads into %s: waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _missing(folder: Path, files: Mapping[str, OfficialFile]) -> list[OfficialFile]:
    """The files to fetch, images first. What lies under the name of one and is not that file stays as it is."""
    missing = []
    for file in sorted(files.values(), key=lambda file: file.name != IMAGES_ZIP):
        path = folder / file.name
        if not path.exists():
            missing.append(file)
        elif path.is_dir() or md5_of(path) != file.md5:
            what = "a folder" if path.is_dir() else _describe(path)
            message = f"{path} is not the official file but {what}. To have it downloaded, move it away, and run again."
            if file.name == IMAGES_ZIP:
                raise SourceError(message)
            logger.warning("%s", message)
    return missing


def _by_hand(half: _Half, place: _Place, error: _UnavailableError, names: list[str]) -> str:
    kept = f" The {filesize.decimal(half.size)} that have come are kept: the next run carries on from there."
    return (
        f"{half.target.name} could not be downloaded from {place.name}: {error}.{kept if half.size else ''} "
        f"By hand: get {', '.join(names)} from {HOME_PAGE} and put them into {half.target.parent}; what is there is "
        f"not downloaded again. Other values of source.download: {_FORMS}."
    )


def _describe(path: Path) -> str:
    with path.open("rb") as file:
        return f"{appearance(file.read(4096))} of {path.stat().st_size:,} bytes"


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
