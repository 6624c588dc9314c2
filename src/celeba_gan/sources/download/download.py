"""Fetches CelebA's official files from Google Drive, a Hugging Face dataset or a web server.

Each source only says where a file is; the transfer is the same for all.
"""

import logging
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock
import requests
from rich import get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from celeba_gan.foundation.wording import counted, in_bytes, listed
from celeba_gan.sources.download.transfer import (
    PATIENCE,
    Address,
    Download,
    Half,
    Patience,
    Place,
    UnavailableError,
    answer,
    describe,
    fetch,
    shown,
)
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.official import HOME_PAGE, IMAGES_ZIP, OFFICIAL_FILES, OfficialFile, md5_of

# It is used as a copy of all the official files, under their names, by several public projects; that its bytes are the
# official ones is not known beforehand: the md5 of every file decides, as for any other source.
HUGGING_FACE_DATASET: Final = "Yuehao/celeba"

_FORMS: Final = (
    f"google_drive; huggingface (the dataset {HUGGING_FACE_DATASET}); huggingface:OWNER/DATASET; "
    "or the address of a folder on a web server, such as https://host/path/"
)
_LARGEST_PAGE: Final = 1024 * 1024  # bytes of a page of Google Drive
_BROWSER: Final = {"User-Agent": "Mozilla/5.0"}  # Google Drive answers other clients with other pages
_COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)

logger = logging.getLogger(__name__)


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


def check_place(source: str) -> None:
    """Refuse what is no place to download from.

    Raises:
        SourceError: Lists the places there are.
    """
    _place(source)


def _place(source: str) -> Place:
    if source == "google_drive":
        return Place(source, _on_google_drive)
    dataset = HUGGING_FACE_DATASET if source == "huggingface" else source.removeprefix("huggingface:")
    if re.fullmatch(r"huggingface(:[\w.-]+/[\w.-]+)?", source):
        return Place(f"huggingface:{dataset}", lambda file, session, patience: _on_hugging_face(dataset, file.name))
    try:
        parts = urllib.parse.urlsplit(source)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            folder = parts.path.rstrip("/")
            return Place(
                shown(source),
                lambda file, *_: Address(parts._replace(path=f"{folder}/{file.name}", fragment="").geturl(), {}),
            )
    except ValueError:  # brackets or a port that cannot be
        pass
    raise SourceError(f"source.download={source!r} is not a place to download CelebA from. Allowed are: {_FORMS}.")


def _on_google_drive(file: OfficialFile, session: requests.Session, patience: Patience) -> Address:
    """The authors' own files; gdown reads the page that Google shows before a large one."""
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    url = f"https://drive.google.com/uc?export=download&id={file.drive_id}"
    for _ in range(3):  # a small file has no page before it, a large one has one
        with answer(session, Address(url, _BROWSER), patience) as response:
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
            raise UnavailableError(why) from error
    return Address(url, _BROWSER)


def _on_hugging_face(dataset: str, name: str) -> Address:
    """A file of a dataset, in whichever folder of it; HF_ENDPOINT and the user's token count, as ever."""
    import httpx2
    from huggingface_hub import HfApi, get_token, hf_hub_url

    try:
        paths = HfApi().list_repo_files(dataset, repo_type="dataset")
    except (httpx2.HTTPError, OSError) as error:  # after the library's own five retries
        why = " ".join(str(error).split())[:300]
        raise UnavailableError(f"Hugging Face does not list the dataset ({why})") from error
    found = [path for path in paths if path.rpartition("/")[2] == name]
    if not found:
        files = f"{counted(len(paths), 'file')}: {listed(paths, 10)}" if paths else "no files"
        raise UnavailableError(f"the dataset has no file of this name; it has {files}")
    token = get_token()
    url = hf_hub_url(dataset, min(found, key=len), repo_type="dataset")
    return Address(url, {"Authorization": f"Bearer {token}"} if token else {})


def _fetch_all(folder: Path, missing: list[OfficialFile], place: Place, patience: Patience) -> list[str]:
    logger.warning("CelebA is for non-commercial research only and may not be passed on: see %s", HOME_PAGE)
    fetched = []
    with requests.Session() as session, Progress(*_COLUMNS, console=get_console(), transient=True) as bar:
        for file in missing:
            half = Half(folder / file.name)
            try:
                fetch(Download(file, place, session, half, patience, bar))
            except UnavailableError as error:
                if file.name == IMAGES_ZIP:
                    raise SourceError(_by_hand(half, place, error, [other.name for other in missing])) from error
                logger.warning("%s", _by_hand(half, place, error, [file.name]))
            else:
                fetched.append(file.name)
    return fetched


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
            what = "a folder" if path.is_dir() else describe(path)
            message = f"{path} is not the official file but {what}. To have it downloaded, move it away, and run again."
            if file.name == IMAGES_ZIP:
                raise SourceError(message)
            logger.warning("%s", message)
    return missing


def _by_hand(half: Half, place: Place, error: UnavailableError, names: list[str]) -> str:
    kept = f" The {in_bytes(half.size)} that have come are kept: the next run carries on from there."
    return (
        f"{half.target.name} could not be downloaded from {place.name}: {error}.{kept if half.size else ''} "
        f"By hand: get {', '.join(names)} from {HOME_PAGE} and put them into {half.target.parent}; what is there is "
        f"not downloaded again. Other values of source.download: {_FORMS}."
    )
