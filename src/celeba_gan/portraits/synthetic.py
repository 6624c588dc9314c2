"""A stand-in for CelebA: drawn portraits on disk in CelebA's official layout, quirks included."""

import dataclasses
import io
import json
import logging
import shutil
import time
import zipfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import ClassVar

from celeba_gan.foundation.cores import available_cores
from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.locks import locked
from celeba_gan.foundation.wording import listed
from celeba_gan.images.workers import map_in_processes
from celeba_gan.portraits import DRAWING_VERSION, IDENTITY_BLOCK, draw, sample_portrait
from celeba_gan.sources.celeba import SYNTHETIC_RECORD, CelebA
from celeba_gan.sources.official import IMAGES_ZIP
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES
from celeba_gan.sources.tables.celeba_tables import ATTRIBUTES_FILE, IDENTITIES_FILE, PARTITION_FILE

logger = logging.getLogger(__name__)

_FILES = (IMAGES_ZIP, ATTRIBUTES_FILE, PARTITION_FILE, IDENTITIES_FILE, SYNTHETIC_RECORD)

_JPEG_QUALITY = 90
_CHUNK = 32  # images drawn per task: about a quarter of a second, about 300 KB
_MOST_IMAGES = 999_999  # CelebA's file names have six digits


class NotSyntheticError(ValueError):
    """A folder holds files that were not drawn here; it is neither used nor replaced."""


@dataclasses.dataclass(frozen=True)
class SyntheticCelebA:
    """A set of drawn portraits: images (1 to 999,999) and seed determine every byte, for one version of Pillow.

    Raises:
        ValueError: `images` or `workers` is out of range.
    """

    images: int = 4096
    seed: int = 0
    workers: int | None = None
    """Processes; None: one per core."""

    def __post_init__(self) -> None:
        if not 1 <= self.images <= _MOST_IMAGES:
            raise ValueError(f"images must be 1..{_MOST_IMAGES}, not {self.images}: names have six digits, as CelebA's")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1 (or None for one per core), not {self.workers}")

    @property
    def record(self) -> dict[str, int]:
        """The content of `synthetic.json`, which identifies the set in a folder."""
        return {"images": self.images, "seed": self.seed, "drawing_version": DRAWING_VERSION}

    def ensure(self, folder: Path) -> bool:
        """Draws the set into a folder unless it is there, and returns whether it did; of several processes, one draws.

        The set is drawn beside the folder and renamed when complete, so the folder never holds part of a set. It
        replaces another synthetic set, an empty folder, and one that holds only `.gitkeep`.

        Raises:
            NotSyntheticError: The folder holds files that were not drawn here. Nothing is changed.
        """
        folder = folder.resolve()  # a link to another disk stays a link
        if self._is_in(folder):
            return False
        with locked(folder.parent / f".{folder.name}.lock"):
            if self._is_in(folder):
                return False
            _refuse_foreign(folder)
            staging = folder.parent / f".{folder.name}.partial"
            if staging.exists():
                shutil.rmtree(staging)
            self.write(staging)
            if (folder / ".gitkeep").exists():
                shutil.copy2(folder / ".gitkeep", staging)
            if folder.exists():
                shutil.rmtree(folder)
            staging.rename(folder)
        return True

    def write(self, folder: Path) -> None:
        """Draws the set into a folder, `synthetic.json` last. Prefer `ensure`, which never leaves an incomplete set."""
        from rich import get_console
        from rich.progress import Progress

        console = get_console()
        folder.mkdir(parents=True, exist_ok=True)
        workers = min(self.workers or available_cores(), -(-self.images // _CHUNK))
        logger.info("Drawing %d portraits, seed %d, with %d processes", self.images, self.seed, workers)
        begin = time.monotonic()
        with (
            zipfile.ZipFile(folder / IMAGES_ZIP, "w", zipfile.ZIP_STORED) as archive,
            (folder / ATTRIBUTES_FILE).open("w", newline="\r\n") as attributes,
            (folder / PARTITION_FILE).open("w", newline="\r\n") as partition,
            (folder / IDENTITIES_FILE).open("w", newline="\r\n") as identity,
            Progress(console=console, transient=True, disable=not console.is_interactive) as shown,
        ):
            attributes.write(f"{self.images}\n{' '.join(ATTRIBUTES)} \n")
            chunks = [range(begin, min(begin + _CHUNK, self.images)) for begin in range(0, self.images, _CHUNK)]
            drawn = chain.from_iterable(map_in_processes(_draw_chunk, (self.seed,), chunks, workers))
            task = shown.add_task("Drawing portraits", total=self.images)
            for index, (jpeg, values, person) in enumerate(drawn):
                name = f"{index + 1:06d}.jpg"
                # depends on neither clock, umask nor platform
                entry = zipfile.ZipInfo(f"img_align_celeba/{name}", date_time=(1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, jpeg)
                attributes.write(f"{name} {' '.join(f'{2 * value - 1:2d}' for value in values)}\n")
                partition.write(f"{name} {self._split(index)}\n")
                identity.write(f"{name} {person}\n")
                shown.update(task, completed=index + 1)
        (folder / SYNTHETIC_RECORD).write_text(json.dumps(self.record, indent=2) + "\n")
        logger.info("Drew %d portraits in %.1f s", self.images, time.monotonic() - begin)

    def _split(self, index: int) -> int:
        """0 train, 1 valid, 2 test: consecutive blocks of about 80, 10 and 10 percent, as in CelebA.

        Larger sets are cut between two people, so that, as in CelebA, nobody is in two splits.
        """
        grain = IDENTITY_BLOCK if self.images >= 10 * IDENTITY_BLOCK else 1
        ends = (round(self.images * share / grain) * grain for share in (0.8, 0.9))
        return sum(index >= end for end in ends)

    def _is_in(self, folder: Path) -> bool:
        return all((folder / name).is_file() for name in _FILES) and _read_record(folder) == self.record


class DrawnPortraits(CelebA):
    """A `SyntheticCelebA` as a source of photographs, drawn into the folder `path` on first use."""

    parameters: ClassVar[Mapping[str, str]] = {}
    distant = False  # they are drawn into a folder of this machine

    def __init__(self, path: Path, *, images: int, seed: int) -> None:
        super().__init__(path)
        self.set = SyntheticCelebA(images, seed)

    def prepare(self) -> None:
        """As `SyntheticCelebA.ensure`."""
        assert isinstance(self.path, Path)
        self.set.ensure(self.path)


def _draw_chunk(seed: int, indices: range) -> list[tuple[bytes, tuple[int, ...], int]]:
    """JPEG, attributes (0 or 1) and identity of each portrait."""
    drawn = []
    for index in indices:
        portrait, jpeg = sample_portrait(seed, index), io.BytesIO()
        draw(portrait).save(jpeg, "JPEG", quality=_JPEG_QUALITY)
        drawn.append((jpeg.getvalue(), tuple(portrait.attributes().values()), portrait.identity))
    return drawn


def _read_record(folder: Path) -> object:
    """The content of `synthetic.json`; None if it is missing or damaged."""
    try:
        return parse_json((folder / SYNTHETIC_RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _refuse_foreign(folder: Path) -> None:
    """Raises if replacing a folder would lose files that were not drawn here."""
    if not folder.exists():
        return
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [folder.name]
    record = _read_record(folder)
    allowed = (".gitkeep", *(_FILES if record is not None else ()))
    foreign = [name for name in found if name not in allowed]
    if foreign:
        raise NotSyntheticError(
            f"{folder} holds files that were not drawn here ({listed(foreign, 5)}), so no portraits are drawn into it. "
            "Nothing was changed. Choose another folder, or, if this is CelebA, use --env celeba."
        )
    if record is not None:
        logger.info("%s holds another synthetic set (%s): drawing it again", folder, record)
