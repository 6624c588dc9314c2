"""Ten thousand forged, cut and damaged files for everything that a project reads: images, tables, zips, its own data.

Each is read as the pipelines read it. A refusal is an error that is printed as one message (`hooks/errors.py`). What
has a checksum must be refused or give exactly what was written; of the rest, what is made of it must be of the right
kind. A stack trace, a signal, ten seconds without an answer, or more memory than 3 GiB is a failure. Generators,
directions and networks in ONNX are attacked by `hostile_files.py`, requests by `serving.py`.

    python benchmarks/hostile_data.py --files 10000 --seed 0
"""

import argparse
import contextlib
import copy
import hashlib
import io
import json
import multiprocessing
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from hostile_files import damage, forge
from kedro.io import DataCatalog
from machine import describe
from PIL import Image

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.evaluation.features.store import Described, FeatureStore
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.images.decoding import DecodingRecipe, UnreadableImageError, decode_image, image_size
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import (
    Journal,
    Manifest,
    PackedImages,
    Recipe,
    ShardRecord,
    content_digest,
    hash_pixels,
    journal_file,
    shard_file,
)
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.index import build_index
from celeba_gan.sources.source import Source
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

MOST_MEMORY: Final = 3 * 2**30
MOST_SECONDS: Final = 10
RECIPE: Final = Recipe(crop="none", size=8, filter="box", background="#ffffff", pillow="", decoder=0)
DECODING: Final = DecodingRecipe(crop="none", size=8, filter="box", background="#ffffff")
SIZES: Final = (5, 5, 3)  # images in each shard
PIXELS: Final = np.random.default_rng(0).integers(0, 256, (sum(SIZES), 8, 8, 3), dtype=np.uint8)


class TooLongError(BaseException):
    """A file was not read within `MOST_SECONDS`; nothing may catch it and call the file damaged."""


class Target(ABC):
    """A kind of file: makes a hostile one in a folder, and reads it."""

    share: int
    """Of a hundred files."""

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Makes good files."""

    @abstractmethod
    def spoil(self, folder: Path, dice: random.Random) -> None:
        """Makes one of them hostile."""

    @abstractmethod
    def read(self, folder: Path) -> str:
        """Reads it: what became of it. Raises AssertionError where what was made of it is wrong."""


def spoil_json(file: Path, good: str, dice: random.Random) -> None:
    """Forges one of the values of a JSON file, or damages its bytes, or nests it deeply."""
    if dice.random() < 0.05:
        deep = dice.choice(["[", '{"a":'])
        file.write_text(deep * 100_000)
        return
    text = json.dumps(forge(json.loads(good), dice)).encode() if dice.random() < 0.7 else good.encode()
    file.write_bytes(damage(text, dice) if dice.random() < 0.4 else text)


class Images(Target):
    """Single image files of all formats."""

    share = 22

    def prepare(self, folder: Path) -> None:
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6
        self.good: dict[str, bytes] = {}
        kinds: list[tuple[str, str, str, dict[str, Any]]] = [
            ("a", "JPEG", "RGB", {"exif": exif}), ("b", "JPEG", "L", {"progressive": True}), ("c", "JPEG", "CMYK", {}),
            ("d", "PNG", "RGBA", {}), ("e", "PNG", "P", {"transparency": 3}), ("f", "PNG", "I;16", {}),
            ("g", "WEBP", "RGBA", {"lossless": True}), ("h", "WEBP", "RGB", {"exif": exif}), ("i", "GIF", "P", {}),
            ("j", "TIFF", "RGB", {"compression": "tiff_lzw"}), ("k", "TIFF", "RGB", {}), ("l", "BMP", "RGB", {}),
            ("m", "TIFF", "RGB", {"compression": "jpeg"}), ("n", "PNG", "1", {}),
        ]  # fmt: skip
        for name, kind, mode, options in kinds:
            file = io.BytesIO()
            (noise.convert("L").convert("I;16") if mode == "I;16" else noise.convert(mode)).save(file, kind, **options)
            self.good[name] = file.getvalue()

    def spoil(self, folder: Path, dice: random.Random) -> None:
        data = self.good[dice.choice(sorted(self.good))]
        for _ in range(dice.choice([1, 1, 1, 2, 4])):
            data = self._change(data, dice)
        (folder / "image").write_bytes(data)

    def _change(self, data: bytes, dice: random.Random) -> bytes:
        if not data:
            return data
        kind, place = dice.randrange(4), dice.randrange(min(len(data), 400))
        if kind == 0:
            return damage(data, dice)
        if kind == 1:  # a size or an offset in a header
            value = dice.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1])
            return data[:place] + struct.pack(dice.choice("<>") + "I", value) + data[place + 4 :]
        if kind == 2 and data.startswith(b"\x89PNG"):  # with right checksums: what Pillow reads behind them
            return _png_with_right_sums(data[:place] + dice.randbytes(2) + data[place + 2 :])
        other = self.good[dice.choice(sorted(self.good))]
        return data[:place] + other[place:]

    def read(self, folder: Path) -> str:
        data = (folder / "image").read_bytes()
        try:
            size = image_size(data)
            assert size[0] > 0 < size[1], size
        except UnreadableImageError:
            pass  # decoding it says so, too, or finds more behind its header
        try:
            pixels = decode_image(data, DECODING)
        except UnreadableImageError as error:
            return refused(error)
        assert pixels.shape == (8, 8, 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, decode_image(data, DECODING)), "not the same twice"
        return "read"


def _png_with_right_sums(data: bytes) -> bytes:
    made, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        content = data[place + 4 : place + 8 + length]
        made += data[place : place + 4] + content + struct.pack(">I", zlib.crc32(content))
        place += 12 + length
    return made + data[place:]


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 24), (shade, 100, 50)).save(file, "JPEG")
    return file.getvalue()


def ingest(source: Source) -> str:
    """Indexes a source, and decodes its images."""
    try:
        index = build_index(source, IngestSettings(max_rejected_fraction=1.0))
    except Exception as error:
        return refused(error)
    assert len(index.images) + len(index.rejected) == index.report.images_found
    for name in index.images["image_id"]:
        assert not name.startswith("/"), name
        assert ".." not in name.split("/"), name
        with contextlib.suppress(OSError, UnreadableImageError):
            assert decode_image(source.read(name), DECODING).shape == (8, 8, 3)
    labels = set(index.images.columns) - {"image_id", "split", "width", "height", "identity", "label"}
    assert all(index.images[name].isin([0, 1]).all() for name in labels), "attributes that are not 0 or 1"
    return "read"


def refused(error: Exception) -> str:
    """The outcome of an error: it must be one that is printed as a message."""
    message = message_for_people(error)
    if message is None or not 10 < len(message) < 5000:
        raise error
    return "refused"


class Tables(Target):
    """Tables beside images: CelebA's, and those of other programs."""

    share = 14
    names: Final = tuple(f"{number:06d}.jpg" for number in range(1, 9))

    def prepare(self, folder: Path) -> None:
        names = self.names
        values = [" 1 -1" * 20, " -1  1" * 20]
        rows = [f"{name} {values[number % 2]}" for number, name in enumerate(names)]
        self.good: dict[str, str] = {
            "list_attr_celeba.txt": "\n".join([str(len(names)), " ".join(ATTRIBUTES), *rows, ""]),
            "list_eval_partition.txt": "".join(f"{name} {number % 3}\n" for number, name in enumerate(names)),
            "identity_CelebA.txt": "".join(f"{name} {number + 1}\n" for number, name in enumerate(names)),
            "attributes.csv": "image_id,Smiling,Male\n"
            + "".join(f"{name},{n % 2},1\n" for n, name in enumerate(names)),
            "metadata.csv": "file_name,label\n"
            + "".join(f"{name},{'cat' * (n % 2)}\n" for n, name in enumerate(names)),
            "metadata.jsonl": "".join(f'{{"file_name": "{name}", "label": {n % 3}}}\n' for n, name in enumerate(names)),
            "dataset.json": json.dumps({"labels": [[name, n % 3] for n, name in enumerate(names)]}),
        }
        (folder / "celeba/img_align_celeba").mkdir(parents=True)
        (folder / "faces").mkdir()
        for number, name in enumerate(names):
            for place in ("celeba/img_align_celeba", "faces"):
                (folder / place / name).write_bytes(jpeg(30 * number))

    def spoil(self, folder: Path, dice: random.Random) -> None:
        table = dice.choice(sorted(self.good))
        self.of_celeba = table.endswith(".txt")
        place = folder / ("celeba" if self.of_celeba else "faces")
        for name in self.good:
            (folder / "celeba" / name).unlink(missing_ok=True)
            (folder / "faces" / name).unlink(missing_ok=True)
        if self.of_celeba:
            for name in list(self.good)[:3]:
                (place / name).write_text(self.good[name])
        text = self.good[table]
        if table == "dataset.json" or (table == "metadata.jsonl" and dice.random() < 0.5):
            lines = text.splitlines()
            at = dice.randrange(len(lines))
            spoil_json(place / table, lines[at], dice)
            lines[at] = (place / table).read_bytes().decode("latin-1").replace("\n", " ")
            (place / table).write_bytes("\n".join(lines).encode("latin-1", "replace"))
            return
        for _ in range(dice.randint(1, 3)):
            lines = text.splitlines(keepends=True) or [""]
            at = dice.randrange(len(lines))
            match dice.randrange(7):
                case 0:
                    lines[at] = lines[at].replace(
                        dice.choice([" ", ",", "\n"]), dice.choice(["", ",,", "\0", "\t", '"'])
                    )
                case 1:
                    lines.insert(at, lines[at])
                case 2:
                    lines[at] = (
                        dice.choice(["2", "-2", "nan", "1e999", "9" * 5000, "=1+1", "../../x.jpg", "\ud7ff" * 9])
                        + lines[at]
                    )
                case 3:
                    del lines[at]
                case 4:
                    lines[at] = lines[at] * dice.choice([2, 500])
                case 5:
                    lines[at] = lines[at].replace("1", dice.choice(["2", "0.5", "", "-", "١"]))
                case _:
                    lines[at] = "".join(dice.sample(lines[at], len(lines[at])))
            text = "".join(lines)
        data = text.encode()
        (place / table).write_bytes(damage(data, dice) if dice.random() < 0.3 and data else data)

    def read(self, folder: Path) -> str:
        return ingest(CelebA(folder / "celeba") if self.of_celeba else ImageFolder(folder / "faces"))


class Zips(Target):
    """Zips with names that leave them, links, bombs, sizes that are not true, twins, passwords, and zips in zips."""

    share = 12

    def prepare(self, folder: Path) -> None:
        self.good = [jpeg(40 * number) for number in range(6)]

    def spoil(self, folder: Path, dice: random.Random) -> None:
        file = io.BytesIO()
        outside = dice.choice(
            ["../out.jpg", "/tmp/out.jpg", "a/../../out.jpg", "C:\\out.jpg", "..\\out.jpg", "//x/o.jpg", "a\0b.jpg"]
        )
        with zipfile.ZipFile(file, "w", dice.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for number, data in enumerate(self.good):
                archive.writestr(f"faces/{number}.jpg", data)
            for _ in range(dice.randint(1, 3)):
                self._add(archive, dice, outside)
        spoiled = bytearray(file.getvalue())
        if dice.random() < 0.5:  # a number in the zip's directory
            at = spoiled.find(b"PK\x01\x02", dice.randrange(len(spoiled) // 2, len(spoiled)))
            if at >= 0:
                place = at + dice.choice([8, 10, 16, 20, 24, 28, 30, 42])
                spoiled[place : place + 4] = struct.pack(
                    "<I", dice.choice([0, 1, 9, 2**16, 2**29 + 1, 2**31, 2**32 - 1])
                )
        (folder / "faces.zip").write_bytes(damage(bytes(spoiled), dice) if dice.random() < 0.2 else spoiled)

    def _add(self, archive: zipfile.ZipFile, dice: random.Random, outside: str) -> None:
        match dice.randrange(8):
            case 0:
                archive.writestr(outside, jpeg(10))
            case 1:  # a symbolic link
                entry = zipfile.ZipInfo("faces/link.jpg")
                entry.create_system, entry.external_attr = 3, 0o120777 << 16
                archive.writestr(entry, dice.choice(["/etc/passwd", "../../secret.jpg", "0.jpg"]))
            case 2:  # a bomb
                archive.writestr("faces/bomb.jpg", jpeg(1) + bytes(50_000_000), zipfile.ZIP_DEFLATED)
            case 3:  # twins
                archive.writestr("faces/1.jpg", jpeg(dice.randrange(256)))
            case 4:  # encrypted
                entry = zipfile.ZipInfo("faces/locked.jpg")
                archive.writestr(entry, jpeg(3))
                archive.filelist[-1].flag_bits |= 1
            case 5:  # a zip in the zip
                inner = io.BytesIO()
                with zipfile.ZipFile(inner, "w") as one:
                    one.writestr("x.jpg", jpeg(7))
                archive.writestr(dice.choice(["faces/inner.zip", "faces/inner.jpg"]), inner.getvalue())
            case 6:
                archive.writestr(
                    "faces/attributes.csv",
                    dice.choice(["file,Smiling\n0.jpg,1\n", "\0", "x" * 100_000, "=cmd|' /C calc'!A0"]),
                )
            case _:
                archive.writestr(
                    dice.choice(
                        ["faces/a\nb.jpg", "faces/" + "n" * 5000 + ".jpg", "faces/\u202egpj.jpg", "faces/", "faces/."]
                    ),
                    jpeg(9),
                )

    def read(self, folder: Path) -> str:
        before = sorted(folder.parent.iterdir())
        outcome = ingest(ImageFolder(folder / "faces.zip"))
        assert sorted(folder.parent.iterdir()) == before, "written outside"
        assert sorted(path.name for path in folder.iterdir()) == ["faces.zip"], "unpacked"
        return outcome


def write_packed(folder: Path) -> Manifest:
    """Small packed images."""
    records, start = [], 0
    for number, length in enumerate(SIZES):
        pixels = PIXELS[start : start + length]
        np.save(folder / shard_file(number), pixels)
        records.append(ShardRecord(file=shard_file(number), images=length, sha256=hash_pixels(pixels)))
        start += length
    splits = {"train": (0, 9), "valid": (9, 11), "test": (11, 13)}
    manifest = Manifest(
        count=len(PIXELS), size=8, recipe=RECIPE, shard_images=5, source_digest="source", images_digest="images",
        splits=splits, shards=records, unreadable=[], leaks=[], duplicates=[],
        digest=content_digest(8, records, splits),
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest


class Packed(Target):
    """Manifests and shards of packed images; what is taken must be the images that were packed."""

    share = 16

    def prepare(self, folder: Path) -> None:
        (folder / "packed").mkdir()
        self.manifest = write_packed(folder / "packed")
        self.good = {path.name: path.read_bytes() for path in (folder / "packed").iterdir()}
        np.save(folder / "outside.npy", PIXELS[:5])

    def spoil(self, folder: Path, dice: random.Random) -> None:
        place = folder / "packed"
        for name, content in self.good.items():
            (place / name).unlink(missing_ok=True)
            (place / name).write_bytes(content)
        if dice.random() < 0.5:
            spoil_json(place / "manifest.json", self.good["manifest.json"].decode(), dice)
            if dice.random() < 0.2:
                content = json.loads(self.good["manifest.json"])
                content["shards"][0]["file"] = dice.choice(
                    [
                        "../outside.npy",
                        str(folder / "outside.npy"),
                        "./shard-00000.npy",
                        "..",
                        "",
                        "\0",
                        "/dev/zero",
                        "/proc/self/mem",
                    ]
                )
                (place / "manifest.json").write_text(json.dumps(content))
            return
        shard = place / shard_file(dice.randrange(len(SIZES)))
        good = self.good[shard.name]
        match dice.randrange(7):
            case 0:
                shard.write_bytes(damage(good, dice))
            case 1:
                np.save(shard, np.array([{}] * 5, object), allow_pickle=True)
            case 2:  # the header of version 1: 10 bytes, then a Python literal
                header = dice.choice(
                    [
                        b"(" * 5000,
                        b"{'descr': '|O', 'fortran_order': False, 'shape': (5, 8, 8, 3), }",
                        b"{'descr': '|u1', 'fortran_order': True, 'shape': (5, 8, 8, 3), }",
                        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 8, 8, 3), }",
                        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 8, 8, 3), }",
                        b"[" * 60,
                        b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (5,), }",
                        b"__import__('os')",
                        b"{" + b"1:" * 999,
                    ]
                )
                shard.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + good[128:])
            case 3:
                at = dice.randrange(128)
                shard.write_bytes(good[:at] + dice.randbytes(1) + good[at + 1 :])
            case 4:
                with zipfile.ZipFile(shard, "w") as archive:
                    archive.writestr("x.npy", good)
            case 5:
                shard.write_bytes(dice.choice([b"PK\x03\x04", b"PK\x05\x06"]) + dice.randbytes(60))
            case _:
                shard.unlink()
                if dice.random() < 0.5:
                    shard.symlink_to(dice.choice(["../outside.npy", "/dev/zero", "nowhere"]))

    def read(self, folder: Path) -> str:
        dataset: Any = PackedImagesDataset(str(folder / "packed"))
        try:
            packed: PackedImages = DataCatalog({"x": dataset}).load("x")
            packed.verify()  # what preprocess does before it keeps them
            manifest = packed.manifest
            images = packed.gather(np.arange(len(packed)))
            assert np.array_equal(images, PIXELS), "other images"
            assert (manifest.splits, packed.digest) == (self.manifest.splits, self.manifest.digest), "another content"
        except AssertionError:
            raise
        except Exception as error:
            return refused(error)
        return "read rightly"


class Journals(Target):
    """Journals of an interrupted packing: sealed, so they are kept as they are, or not."""

    share = 4

    def prepare(self, folder: Path) -> None:
        record = write_packed(folder).shards[0]
        (folder / "manifest.json").unlink()
        self.good = Journal(plan="plan", shard=record, start=0, stop=5, unreadable=[], leaks=[], digests="").to_bytes()

    def spoil(self, folder: Path, dice: random.Random) -> None:
        data = damage(self.good, dice)
        if dice.random() < 0.4:  # with a right seal
            line = json.dumps(forge(json.loads(self.good.splitlines()[0]), dice)).encode()
            data = line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"
        (folder / journal_file(0)).write_bytes(data)

    def read(self, folder: Path) -> str:
        kept = UnfinishedPacking(folder, "").finished("plan", 8)
        if not kept:
            return "not kept"
        assert (kept[0].shard.file, kept[0].shard.images) == (shard_file(0), 5)
        return "kept"


class Snapshots(Target):
    """Snapshots of a training: resumed, or refused."""

    share = 8

    def prepare(self, folder: Path) -> None:
        from celeba_gan.datasets.runs import RunDataset

        self.settings = TrainSettings.model_validate(
            {
                "kimg": 0.032, "tick_kimg": 0.016, "batch_size": 8, "n_critic": 1, "network": {"dcgan": {"width": 4}},
                "latent": {"size": 4}, "grid": {"rows": 1, "columns": 1}, "threads": 1, "device": "cpu",
                "evaluate_every_kimg": None, "augment": {"name": "ada"},
            }
        )  # fmt: skip
        self.images = _InMemory()
        (first, *_) = train(self.images, self.settings)
        self.dataset = RunDataset(str(folder / "run"), "snapshot")
        RunDataset(str(folder / "run")).run.append(first.snapshot)
        self.file = folder / "run/training_state/state.safetensors"
        self.good = self.file.read_bytes()
        (length,) = struct.unpack("<Q", self.good[:8])
        self.header, self.body = json.loads(self.good[8 : 8 + length]), self.good[8 + length :]

    def spoil(self, folder: Path, dice: random.Random) -> None:
        if dice.random() < 0.3:
            self.file.write_bytes(damage(self.good, dice))
            return
        header = copy.deepcopy(self.header)
        match dice.randrange(5):
            case 0:
                name = dice.choice([name for name in header if name != "__metadata__"])
                del header[name]
            case 1:
                one, other = dice.sample([name for name in header if name != "__metadata__"], 2)
                header[one], header[other] = header[other], header[one]
            case 2:
                header = forge(header, dice)
            case _:
                header["__metadata__"]["card"] = json.dumps(forge(json.loads(header["__metadata__"]["card"]), dice))
        text = json.dumps(header).encode()
        self.file.write_bytes(struct.pack("<Q", len(text)) + text + self.body)

    def read(self, folder: Path) -> str:
        try:
            catalog = DataCatalog({"x": self.dataset})
            snapshot: Any = catalog.load("x")
            ticks = list(train(self.images, self.settings, resumed=snapshot))
        except Exception as error:
            return refused(error)
        return f"resumed, {len(ticks)} ticks"


class _InMemory:
    size, digest = 16, "images"

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 8), "valid": (8, 16), "test": (16, 24)}[name]

    def gather(self, indices: Any) -> Any:
        return np.zeros((len(indices), 16, 16, 3), np.uint8)


class Documents(Target):
    """Documents in JSON: reports, evaluations, and the records of sampling."""

    share = 10

    def prepare(self, folder: Path) -> None:
        tests = Path(__file__).parents[1] / "tests"
        self.good = {
            "celeba_gan.evaluation.documents.Evaluation": (
                tests / "evaluation/fixtures/evaluation_v1.json"
            ).read_text(),
            "celeba_gan.sources.source_report.SourceReport": (
                tests / "sources/stored/source_report_v1.json"
            ).read_text(),
        }
        for file in sorted((tests / "reporting").rglob("*_v1.json")):
            self.good.setdefault("celeba_gan.reporting.data.data_report.DataReport", file.read_text())

    def spoil(self, folder: Path, dice: random.Random) -> None:
        self.kind = dice.choice(sorted(self.good))
        spoil_json(folder / "document.json", self.good[self.kind], dice)

    def read(self, folder: Path) -> str:
        from celeba_gan.datasets.reports import DocumentDataset

        dataset: Any = DocumentDataset(str(folder / "document.json"), self.kind)
        try:
            document: Any = DataCatalog({"x": dataset}).load("x")
        except Exception as error:
            return refused(error)
        again = type(document).from_json(json.loads(json.dumps(document.to_json(), allow_nan=False)), "again")
        assert again == document
        return "read"


class Features(Target):
    """Cached features and numbers: taken as they were written, or computed again."""

    share = 6

    def prepare(self, folder: Path) -> None:
        self.rows = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
        self.store = FeatureStore(folder / "features")
        self.numbers = {"frechet": 1.5, "swd": 0.25}
        self.store.describe("key", 7, lambda: [Described(self.rows[:, :3], self.rows[:, 3:])])
        self.store.numbers("key", lambda: self.numbers)
        self.good = {path.name: path.read_bytes() for path in (folder / "features").iterdir()}

    def spoil(self, folder: Path, dice: random.Random) -> None:
        shutil.rmtree(folder / "features")
        (folder / "features").mkdir()
        for name, content in self.good.items():
            file = folder / "features" / name
            if file.suffix == ".json":
                spoil_json(file, content.decode(), dice)
                continue
            match dice.randrange(6):
                case 0 | 1:
                    file.write_bytes(damage(content, dice))
                case 2:
                    file.write_bytes(b"PK\x03\x04" + dice.randbytes(50))
                case 3:
                    np.save(file, np.array([{}] * 7, object), allow_pickle=True)
                case 4:
                    np.save(file, self.rows.astype(dice.choice(["f8", "f2", "i4", "c8"])))
                case _:
                    parts = name.split(".")
                    parts[1] = dice.choice(["x", "-1", "", "999"])
                    file.with_name(".".join(parts)).write_bytes(content)

    def read(self, folder: Path) -> str:
        again = []

        def compute() -> list[Described]:
            again.append(1)
            return [Described(self.rows[:, :3], self.rows[:, 3:])]

        found = self.store.describe("key", 7, compute)
        assert np.array_equal(found.features, self.rows[:, :3]), "other features"
        assert np.array_equal(found.outputs, self.rows[:, 3:]), "other outputs"
        numbers = self.store.numbers("key", lambda: self.numbers)
        assert all(type(name) is str and type(value) in (int, float) for name, value in numbers.items()), numbers
        return "computed again" if again else "read rightly"


class ProjectTables(Target):
    """The labels in Parquet, metric rows in JSON, and grids in PNG, as the catalog reads them."""

    share = 8

    def prepare(self, folder: Path) -> None:
        from kedro_datasets.pandas import ParquetDataset

        from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
        from celeba_gan.gan.runs.metric_rows import MetricRows
        from celeba_gan.reporting.grids import ImageGrid

        self.labels = pd.DataFrame({"image_id": [f"{n}.jpg" for n in range(500)], "split": "train"})
        self.labels = self.labels.assign(Smiling=np.arange(500, dtype=np.int8) % 2)
        options = self._of_catalog("labels")
        self.datasets: dict[str, Any] = {
            "labels": ParquetDataset(filepath=str(folder / "labels.parquet"), **options),
            "rows": MetricRowsDataset(str(folder / "rows")),
            "grids": TrainingGridsDataset(str(folder / "grids")),
        }
        self.datasets["labels"].save(self.labels)
        self.datasets["rows"].save(MetricRows(100, [{"images": 50, "loss": 1.5}, {"images": 100, "loss": 0.5}]))
        self.datasets["grids"].save(ImageGrid(100, PIXELS[0]))
        self.files = {
            "labels": folder / "labels.parquet",
            "rows": folder / "rows/000000000100.json",
            "grids": folder / "grids/000000000100.png",
        }
        self.good = {name: file.read_bytes() for name, file in self.files.items()}

    @staticmethod
    def _of_catalog(entry: str) -> dict[str, Any]:
        import yaml

        catalog = yaml.safe_load((Path(__file__).parents[1] / "conf/base/catalog.yml").read_text())
        return {name: value for name, value in catalog[entry].items() if name in ("load_args", "save_args")}

    def spoil(self, folder: Path, dice: random.Random) -> None:
        self.kind = dice.choice(sorted(self.files))
        if self.kind == "rows":
            spoil_json(self.files["rows"], self.good["rows"].decode(), dice)
        else:
            self.files[self.kind].write_bytes(damage(self.good[self.kind], dice))

    def read(self, folder: Path) -> str:
        try:
            found: Any = DataCatalog(dict(self.datasets)).load(self.kind)
        except Exception as error:
            return refused(error)
        if self.kind == "labels":
            if list(found.columns) != list(self.labels.columns):  # the names of columns have no checksum
                return "labels read with another name of a column"
            pd.testing.assert_frame_equal(found, self.labels)
        elif self.kind == "rows":
            assert len(found) == 0 or found.select_dtypes("number").shape == found.shape, found.dtypes
        else:
            assert all(grid.pixels.dtype == np.uint8 for grid in found)
        return f"{self.kind} read"


TARGETS: Final[tuple[type[Target], ...]] = (
    Images, Tables, Zips, Packed, Journals, Snapshots, Documents, Features, ProjectTables,
)  # fmt: skip


def attack(kind: type[Target], count: int, seed: int, at: Any, found: Any) -> None:
    """Reads so many hostile files of a kind; `at` is the number of the present one."""
    import logging

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + MOST_MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _too_long)
    top = Path(tempfile.mkdtemp(prefix="hostile-"))
    folder = top / "files"
    folder.mkdir()
    target = kind()
    target.prepare(folder)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        at.value = number
        target.spoil(folder, random.Random(f"{kind.__name__} {seed} {number}"))
        began = time.perf_counter()
        signal.alarm(MOST_SECONDS)
        try:
            outcomes[target.read(folder)] += 1
        except (Exception, TooLongError) as error:  # whatever a user would see as a traceback
            signal.alarm(0)
            outcomes["FAILED"] += 1
            kept = top / f"{number}"
            shutil.copytree(folder, kept, symlinks=True)
            print(f"{kind.__name__} {number}: {type(error).__name__}: {str(error)[:200]} ({kept})", flush=True)
        signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - began)
    found.put((dict(outcomes), slowest))
    if not outcomes["FAILED"]:
        shutil.rmtree(top)


def _too_long(*_: object) -> None:
    raise TooLongError(f"no answer after {MOST_SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="some of " + ", ".join(kind.__name__ for kind in TARGETS))
    arguments = parser.parse_args()
    print(describe(), f"seed {arguments.seed}")
    failed = 0
    spawn = multiprocessing.get_context("spawn")
    for kind in TARGETS:
        if arguments.kinds and kind.__name__ not in arguments.kinds:
            continue
        count = arguments.files * kind.share // 100
        at, found = spawn.Value("q", -1), spawn.Queue()
        process = spawn.Process(target=attack, args=(kind, count, arguments.seed, at, found))
        process.start()
        process.join()
        if process.exitcode:
            print(f"{kind.__name__}: the process ended with {process.exitcode} at file {at.value}")
            failed += 1
            continue
        outcomes, slowest = found.get()
        failed += outcomes.get("FAILED", 0)
        print(
            f"{kind.__name__}: {count} files, {dict(sorted(outcomes.items()))}, the slowest {slowest:.2f} s", flush=True
        )
    print(f"{failed} of {arguments.files} crashed, hung, or were taken for what they are not")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
