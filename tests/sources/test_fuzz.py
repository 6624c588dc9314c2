"""Mutated zips and tables: whatever is in them, the answer is an index or one of the project's own errors."""

import io
import random
import signal
import zipfile

import pytest
from PIL import Image

from celeba_gan.images.decoding import UnreadableImageError, decode_image
from celeba_gan.images.packed import Recipe
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.index import build_index
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

SETTINGS = IngestSettings(max_rejected_fraction=1.0)
RECIPE = Recipe(crop="none", size=8, filter="box", background="#ffffff", pillow="", decoder=0)
NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]
SIGNATURES = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"]
NASTY = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff", b"\r\n", b",", b"-1", b"1", b"\0", *SIGNATURES]


def picture(shade, kind, **options):
    file = io.BytesIO()
    Image.new("RGB", (20, 24), (shade, 100, 50)).save(file, kind, **options)
    return file.getvalue()


def originals():
    """The files of small sources in the forms that people have."""
    pictures = [picture(30 * n, "PNG" if n % 3 == 2 else "JPEG") for n in range(len(NAMES))]
    zips = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in zip(NAMES, pictures, strict=True):
                with archive.open(f"img_align_celeba/{name}", "w", force_zip64=method == zipfile.ZIP_DEFLATED) as entry:
                    entry.write(data)
            archive.writestr("img_align_celeba/attributes.csv", "file,Smiling\n" + "".join(f"{n},1\n" for n in NAMES))
        zips[method] = file.getvalue()
    rows = [" 1 -1" * 20, " -1  1" * 20]
    attributes = [" ".join(ATTRIBUTES) + " ", *(f"{name} {rows[n % 2]}" for n, name in enumerate(NAMES))]
    text = {
        "img_align_celeba.zip": zips[zipfile.ZIP_STORED],
        "list_attr_celeba.txt": "\r\n".join([str(len(NAMES)), *attributes, ""]).encode(),
        "list_eval_partition.txt": "".join(f"{name} {n % 3}\r\n" for n, name in enumerate(NAMES)).encode(),
        "identity_CelebA.txt": "".join(f"{name} {n + 1}\n" for n, name in enumerate(NAMES)).encode(),
    }
    table = "\n".join(["image_id," + ",".join(ATTRIBUTES), *(f"{name}," + ",".join("01" * 20) for name in NAMES)])
    kaggle = {
        "archive.zip": zips[zipfile.ZIP_DEFLATED],
        "list_attr_celeba.csv": table.encode(),
        "list_eval_partition.csv": (
            "image_id,partition\n" + "".join(f"{n},{i % 3}\n" for i, n in enumerate(NAMES))
        ).encode(),
    }
    return [text, kaggle]


def mutate(data, dice):
    """The bytes with one to four things done to them that transfers, disks, editors and enemies do."""
    data = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at, other = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
        at, end = min(at, other), max(at, other)
        match dice.randrange(8):
            case 0:
                del data[end:]
            case 1:
                del data[at : min(end, at + dice.randint(1, 64))]
            case 2:
                data[at:at] = data[at : min(end, at + 300)]
            case 3:
                data[at : at + 4] = dice.choice(NASTY)
            case 4:
                data[at:at] = dice.randbytes(dice.randint(1, 40))
            case 5:
                data[at : at + 64] = bytes(64)
            case 6:
                tail = max(0, len(data) - dice.randint(1, 800))  # a zip's directory
                data[tail : tail + 1] = dice.randbytes(1)
            case _:
                for _ in range(dice.randint(1, 8) if data else 0):
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        if not data:
            return b""
    return bytes(data)


def run(source):
    """What ingest and packing do with a source: returns how many images came out."""
    index = build_index(source, SETTINGS)
    decoded = 0
    for image_id in index.images["image_id"]:
        try:
            pixels = decode_image(source.read(image_id), RECIPE)
            assert pixels.shape == (8, 8, 3)
            decoded += 1
        except (OSError, UnreadableImageError):
            pass
    assert len(index.images) + len(index.rejected) == index.report.images_found
    return decoded


@pytest.mark.parametrize("cases", [250, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_sources_give_an_index_or_an_error_of_ours(tmp_path, cases):
    forms = originals()
    outcomes = {"index": 0, "refused": 0}

    def hang(number, frame):
        raise KeyboardInterrupt("took more than ten seconds")  # nothing may catch it and call the file damaged

    before = signal.signal(signal.SIGALRM, hang)
    try:
        for case in range(cases):
            dice = random.Random(case)
            files = dict(dice.choice(forms))
            for name in dice.sample(sorted(files), k=dice.choice([1, 1, 1, 2])):
                files[name] = mutate(files[name], dice)
            folder = tmp_path / str(case % 50)
            folder.mkdir(exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            for name, data in files.items():
                (folder / name).write_bytes(data)
            archive = next(name for name in files if name.endswith(".zip"))
            source = (
                CelebA(folder)
                if case % 3
                else ImageFolder(folder / archive, labels="subfolders" if dice.random() < 0.3 else None)
            )
            signal.alarm(10)
            try:
                run(source)
                outcomes["index"] += 1
            except SourceError:
                outcomes["refused"] += 1
            except Exception as error:
                raise AssertionError(f"case {case}, {source}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert outcomes["index"] > cases / 5  # the mutations are not so coarse that all is refused at the door
    assert outcomes["refused"] > cases / 20
