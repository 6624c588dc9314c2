"""Fetches CelebA's official files from Google Drive, a Hugging Face dataset or a web server.

A mirror knows the address of a file; the transfer is the same for all.
"""

import logging
import re
import urllib.parse
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import requests
from filelock import Timeout
from rich import get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from celeba_gan.foundation.locks import acquire
from celeba_gan.foundation.wording import counted, in_bytes, install_command, listed
from celeba_gan.sources.download.transfer import (
    RETRY_POLICY,
    Address,
    Download,
    Mirror,
    PartialDownload,
    RetryPolicy,
    UnavailableError,
    describe,
    fetch,
    request,
    without_secrets,
)
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.official import HOME_PAGE, IMAGES_ZIP, OFFICIAL_FILES, OfficialFile, md5_of

# Several public projects use it as a copy of the official files. Its files are verified by md5, as those of any mirror.
HUGGING_FACE_DATASET: Final = "Yuehao/celeba"

_FORMS: Final = (
    f"google_drive; huggingface (the dataset {HUGGING_FACE_DATASET}); huggingface:OWNER/DATASET; "
    "or the address of a folder on a web server, such as https://host/path/"
)
_LARGEST_PAGE: Final = 1024 * 1024  # bytes of a page of Google Drive
_BROWSER: Final = {"User-Agent": "Mozilla/5.0"}  # Google Drive answers other clients with other pages
_COLUMNS: Final = (
    TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
)  # fmt: skip

logger = logging.getLogger(__name__)


def download_celeba(
    folder: Path, source: str, files: Mapping[str, OfficialFile] = OFFICIAL_FILES, policy: RetryPolicy = RETRY_POLICY
) -> list[str]:
    """Downloads the official files that are missing in `folder`; of several processes, one downloads.

    A file gets its name only when it is complete and its md5 is right. Until then it is `.NAME.partial`, from which the
    next call resumes, whatever its mirror. Existing files are compared by md5 (two to three seconds for the official
    zip) and never replaced.

    Args:
        folder: Created if missing.
        source: `google_drive` (the authors' own), `huggingface` (the dataset `Yuehao/celeba`, a copy that is not the
            authors'), `huggingface:OWNER/DATASET` (the files are found by name, in whichever of its folders), or the
            URL of a folder that holds the files.
        files: By name, in any order; the images are downloaded first.
        policy: Timeouts and pauses.

    Returns:
        The names of the downloaded files. A warning names each annotation file that could not be downloaded.

    Raises:
        SourceError: `source` is none of these, the images could not be downloaded, or another file has their name.
    """
    check_mirror(source)
    mirror = _mirror(source)
    folder = Path(folder).absolute()
    file = folder / ".download.lock"
    try:
        lock = acquire(file, timeout=0)
    except Timeout:
        logger.info("Waiting for another process that downloads into %s", folder)
        lock = acquire(file)
    try:
        missing = _missing(folder, files)
        return _fetch_all(folder, missing, mirror, policy) if missing else []
    finally:
        if lock is not None:
            lock.release()


def check_mirror(source: str) -> None:
    """Checks a value of `source.download`.

    Raises:
        SourceError: It is not a place to download from (the message lists those there are), or what reads it is not
            installed.
    """
    mirror = _mirror(source)
    package = {"google_drive": "gdown", "huggingface": "huggingface_hub"}.get(mirror.name.partition(":")[0])
    if package is not None and find_spec(package) is None:
        raise SourceError(
            f"source.download={source} needs the package {package}, which is not installed. Install it: "
            f"{install_command('download')}; or give the address of a folder on a web server, which needs no package"
        )


def _mirror(source: str) -> Mirror:
    if source == "google_drive":
        return Mirror(source, _on_google_drive)
    dataset = HUGGING_FACE_DATASET if source == "huggingface" else source.removeprefix("huggingface:")
    if re.fullmatch(r"huggingface(:[\w.-]+/[\w.-]+)?", source):
        return Mirror(f"huggingface:{dataset}", lambda file, session, policy: _on_hugging_face(dataset, file.name))
    try:
        parts = urllib.parse.urlsplit(source)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            folder = parts.path.rstrip("/")
            return Mirror(
                without_secrets(source),
                lambda file, *_: Address(parts._replace(path=f"{folder}/{file.name}", fragment="").geturl(), {}),
            )
    except ValueError:  # invalid brackets or port
        pass
    raise SourceError(f"source.download={source!r} is not a place to download CelebA from. Allowed are: {_FORMS}.")


def _on_google_drive(file: OfficialFile, session: requests.Session, policy: RetryPolicy) -> Address:
    """The authors' own files; gdown parses the page that Google shows before a large one."""
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    url = f"https://drive.google.com/uc?export=download&id={file.drive_id}"
    for _ in range(3):  # a small file has no page before it, a large one has one
        with request(session, Address(url, _BROWSER), policy) as response:
            if "Content-Disposition" in response.headers:
                break
            page = next(response.iter_content(_LARGEST_PAGE), b"").decode(errors="replace")
        try:
            url = get_url_from_gdrive_confirmation(page)
        except FileURLRetrievalError as error:
            why = f"Google Drive refuses ({' '.join(str(error).split())[:300]})"
            if re.search("quota|too many users", page, re.IGNORECASE):
                why = "Google Drive's download quota of this file is used up; try again tomorrow, or another source"
            raise UnavailableError(why) from error
    return Address(url, _BROWSER)


def _on_hugging_face(dataset: str, name: str) -> Address:
    """A file of a dataset, in any of its folders; HF_ENDPOINT and the user's token apply."""
    import httpx2
    from huggingface_hub import HfApi, get_token, hf_hub_url

    try:
        paths = HfApi().list_repo_files(dataset, repo_type="dataset")
    except (httpx2.HTTPError, OSError) as error:  # after five retries in the library
        why = " ".join(str(error).split())[:300]
        raise UnavailableError(f"Hugging Face cannot list the dataset ({why})") from error
    found = [path for path in paths if path.rpartition("/")[2] == name]
    if not found:
        files = f"{counted(len(paths), 'file')}: {listed(paths, 10)}" if paths else "no files"
        raise UnavailableError(f"the dataset has no file of this name; it has {files}")
    token = get_token()
    url = hf_hub_url(dataset, min(found, key=len), repo_type="dataset")
    return Address(url, {"Authorization": f"Bearer {token}"} if token else {})


def _fetch_all(folder: Path, missing: list[OfficialFile], mirror: Mirror, policy: RetryPolicy) -> list[str]:
    logger.warning("CelebA is for non-commercial research only and may not be passed on: see %s", HOME_PAGE)
    fetched = []
    with requests.Session() as session, Progress(*_COLUMNS, console=get_console(), transient=True) as bar:
        for file in missing:
            partial = PartialDownload(folder / file.name)
            try:
                fetch(Download(file, mirror, session, partial, policy, bar))
            except UnavailableError as error:
                names = [other.name for other in missing] if file.name == IMAGES_ZIP else [file.name]
                message = _manual_steps(partial, mirror, error, names)
                if file.name == IMAGES_ZIP:
                    raise SourceError(message) from error
                logger.warning("%s", message)
            else:
                fetched.append(file.name)
    return fetched


def _missing(folder: Path, files: Mapping[str, OfficialFile]) -> list[OfficialFile]:
    """The files to download, images first. Another file of the same name is left alone."""
    missing = []
    for file in sorted(files.values(), key=lambda file: file.name != IMAGES_ZIP):
        path = folder / file.name
        if not path.exists():
            missing.append(file)
        elif path.is_dir() or md5_of(path) != file.md5:
            what = "a folder" if path.is_dir() else describe(path)
            message = f"{path} is not the official file but {what}. To download it, move this one away and run again."
            if file.name == IMAGES_ZIP:
                raise SourceError(message)
            logger.warning("%s", message)
    return missing


def _manual_steps(partial: PartialDownload, mirror: Mirror, error: UnavailableError, names: list[str]) -> str:
    kept = f" The next run resumes from the {in_bytes(partial.size)} downloaded so far."
    return (
        f"{partial.target.name} could not be downloaded from {mirror.name}: {error}.{kept if partial.size else ''} "
        f"Or download {', '.join(names)} from {HOME_PAGE} by hand into {partial.target.parent}; existing files are "
        f"kept. Other values of source.download: {_FORMS}."
    )
