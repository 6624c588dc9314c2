"""CelebA's official files, their checksums, and statistics of the whole set."""

import hashlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from celeba_gan.storage.places import Place

HOME_PAGE: Final = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES_ZIP: Final = "img_align_celeba.zip"
IMAGES_IN_CELEBA: Final = 202_599


@dataclass(frozen=True)
class OfficialFile:
    """One file as CelebA's authors publish it."""

    name: str
    md5: str  # hexadecimal
    drive_id: str  # on the authors' Google Drive
    most_bytes: int = 100 * 2**20  # an upper bound; a download that sends more is aborted


# Checksums and ids as torchvision.datasets.CelebA lists them; that module would bring torch into every process.
OFFICIAL_FILES: Final[dict[str, OfficialFile]] = {
    file.name: file
    for file in (
        OfficialFile(IMAGES_ZIP, "00d2c5bc6d35e252742224ab0c1e8fcb", "0B7EVK8r0v71pZjFTYXZWM3FlRnM", 2**31),
        OfficialFile("list_attr_celeba.txt", "75e246fa4810816ffd6ee81facbd244c", "0B7EVK8r0v71pblRyaVFSWGxPY0U"),
        OfficialFile("list_eval_partition.txt", "d32c9cbf5e040fd4025c592c306e6668", "0B7EVK8r0v71pY0NSMzRuSXJEVkk"),
        OfficialFile("identity_CelebA.txt", "32bd1bd63d3c78cd57e08160ec5ed1e2", "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS"),
    )
}


def md5_of(path: Path | Place) -> str:
    """The md5 of a file's bytes, in hexadecimal; the official zip (1.4 GB) takes two to three seconds."""
    opened: BufferedReader = path.open("rb") if isinstance(path, Path) else path.open()
    with opened as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def verdict(path: Path | Place) -> str:
    """The comparison of a file with the one that CelebA's authors publish under its name, by md5, in words."""
    official = OFFICIAL_FILES.get(path.name)
    if official is None:
        return "no official file of this name"
    md5 = md5_of(path)
    if md5 == official.md5:
        return "official (md5 verified)"
    return f"not the official file (its md5 is {md5}, the official one's {official.md5})"
