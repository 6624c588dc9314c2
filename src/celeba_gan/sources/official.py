"""CelebA's official files, their checksums, and statistics of the whole set."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME_PAGE: Final = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES_ZIP: Final = "img_align_celeba.zip"
IMAGES_IN_CELEBA: Final = 202_599


@dataclass(frozen=True)
class OfficialFile:
    """One file as CelebA's authors publish it.

    Attributes:
        name: Its file name.
        md5: Of its bytes, hexadecimal.
        drive_id: Of the file on the authors' Google Drive.
        most_bytes: An upper bound; a download that sends more is aborted.
    """

    name: str
    md5: str
    drive_id: str
    most_bytes: int = 100 * 2**20


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


# From the numbers of images with and without each attribute in list_attr_celeba.txt, as listed in
# github.com/yzy1996/Artificial-Intelligence, 1-Machine-Learning/8-Dataset (22,516 with 5_o_Clock_Shadow, 156,734 with
# Young; each pair adds up to 202,599), rounded to four digits.
PUBLISHED_RATES: Final[dict[str, float]] = {
    "5_o_Clock_Shadow": 0.1111,
    "Arched_Eyebrows": 0.2670,
    "Attractive": 0.5125,
    "Bags_Under_Eyes": 0.2046,
    "Bald": 0.0224,
    "Bangs": 0.1516,
    "Big_Lips": 0.2408,
    "Big_Nose": 0.2345,
    "Black_Hair": 0.2393,
    "Blond_Hair": 0.1480,
    "Blurry": 0.0509,
    "Brown_Hair": 0.2052,
    "Bushy_Eyebrows": 0.1422,
    "Chubby": 0.0576,
    "Double_Chin": 0.0467,
    "Eyeglasses": 0.0651,
    "Goatee": 0.0628,
    "Gray_Hair": 0.0419,
    "Heavy_Makeup": 0.3869,
    "High_Cheekbones": 0.4550,
    "Male": 0.4168,
    "Mouth_Slightly_Open": 0.4834,
    "Mustache": 0.0415,
    "Narrow_Eyes": 0.1151,
    "No_Beard": 0.8349,
    "Oval_Face": 0.2841,
    "Pale_Skin": 0.0429,
    "Pointy_Nose": 0.2774,
    "Receding_Hairline": 0.0798,
    "Rosy_Cheeks": 0.0657,
    "Sideburns": 0.0565,
    "Smiling": 0.4821,
    "Straight_Hair": 0.2084,
    "Wavy_Hair": 0.3196,
    "Wearing_Earrings": 0.1889,
    "Wearing_Hat": 0.0485,
    "Wearing_Lipstick": 0.4724,
    "Wearing_Necklace": 0.1230,
    "Wearing_Necktie": 0.0727,
    "Young": 0.7736,
}
"""The share of CelebA's images that have each attribute."""


def md5_of(path: Path) -> str:
    """The md5 of a file's bytes, in hexadecimal; the official zip (1.4 GB) takes two to three seconds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def verdict(path: Path) -> str:
    """Compares a file with the one that CelebA's authors publish under its name, by md5.

    Returns:
        "official (md5 verified)", or "not the official file (its md5 is ..., the official one's ...)", or "no official
        file of this name".
    """
    official = OFFICIAL_FILES.get(path.name)
    if official is None:
        return "no official file of this name"
    md5 = md5_of(path)
    if md5 == official.md5:
        return "official (md5 verified)"
    return f"not the official file (its md5 is {md5}, the official one's {official.md5})"
