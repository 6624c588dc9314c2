"""Photographs in a folder or a zip elsewhere: the same index and the same packed bytes as from the disk."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from breaking_proxy import BreakingProxy
from kedro.io import DatasetError
from pandas.testing import assert_frame_equal
from PIL import Image

from celeba_gan.datasets.sources import SourceDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.packed import Manifest, Shard
from celeba_gan.images.packing import pack_images
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.distant import files as distant
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.image_files import MAX_FILE_BYTES
from celeba_gan.sources.index import Index, build_index
from celeba_gan.sources.source import Source
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place

SETTINGS = PreprocessSettings(size=16, crop="none", shard_images=20, workers=1)


def picture(seed: int, kind: str = "PNG", side: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two people in subfolders, a table, and what else lies in folders."""
    top = tmp_path_factory.mktemp("faces")
    files = {f"{('anna', 'ben')[number % 2]}/{number:03d}.png": picture(number) for number in range(60)}
    files |= {
        "anna/100.jpg": picture(100, "JPEG", 90),
        "anna/no_suffix": picture(101),
        "ben/broken.jpg": b"no image at all",
        "notes.txt": b"about these",
        ".DS_Store": b"\0",
        "@eaDir/anna.png": picture(102),
        "anna/@eaDir/1.png": picture(103),
        "attributes.csv": b"image_id,Smiling\n"
        + "".join(f"{name},{number % 2}\n" for number, name in enumerate(sorted(files))).encode()
        + b"anna/100.jpg,1\nanna/no_suffix,0\nben/broken.jpg,0\n",
    }
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def upload(folder: Path, place: Place) -> Place:
    for path in folder.rglob("*"):
        if path.is_file():
            (place / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
    return place


def upload_zip(folder: Path, file: Place) -> Place:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    file.write_bytes(content.getvalue())
    return file


def indexed(source: Source) -> Index:
    return build_index(source, IngestSettings(max_rejected_fraction=0.2))


def packed(source: Source, index: Index) -> tuple[list[bytes], Manifest]:
    shards = []
    for part in pack_images(source, index.images, SETTINGS, None):
        if isinstance(part, Shard):
            shards.append(part.images.tobytes())
        else:
            manifest = part
    return shards, manifest


def assert_same(mine: Source, its: Source) -> None:
    found, expected = indexed(mine), indexed(its)
    assert_frame_equal(found.images, expected.images)
    assert_frame_equal(found.rejected, expected.rejected)
    assert found.report.model_dump(exclude={"source", "files"}) == expected.report.model_dump(
        exclude={"source", "files"}
    )
    shards, manifest = packed(mine, found)
    assert (shards, manifest.digest) == (packed(its, expected)[0], packed(its, expected)[1].digest)


@pytest.mark.parametrize("labels", ["subfolders", pytest.param(None, marks=pytest.mark.slow)])
def test_a_folder_elsewhere_is_indexed_and_packed_as_one_on_the_disk(
    new_place: Callable[..., Place], folder: Path, labels: str | None
) -> None:
    place = upload(folder, new_place())
    assert_same(ImageFolder(place, labels=labels), ImageFolder(folder, labels=labels))


def test_a_zip_elsewhere_is_indexed_and_packed_as_one_on_the_disk(
    new_place: Callable[..., Place], folder: Path, tmp_path: Path
) -> None:
    place = upload_zip(folder, new_place() / "faces.zip")
    (tmp_path / "faces.zip").write_bytes(place.read_bytes())
    assert_same(ImageFolder(place), ImageFolder(tmp_path / "faces.zip"))
    assert ImageFolder(place).fingerprint(["anna/000.png"]) == ImageFolder(tmp_path / "faces.zip").fingerprint(
        ["anna/000.png"]
    )


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from celeba_gan.portraits.synthetic import SyntheticCelebA

    folder = tmp_path_factory.mktemp("celeba")
    SyntheticCelebA(30, 0).ensure(folder)
    (folder / "synthetic.json").unlink()
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip in a folder"])
def test_celeba_elsewhere_is_that_of_the_disk(
    new_place: Callable[..., Place], celeba: Path, tmp_path: Path, kind: str
) -> None:
    unpacked = tmp_path / "celeba"
    unpacked.mkdir()
    (unpacked / "Anno").mkdir()
    for path in celeba.glob("*.txt"):
        (unpacked / "Anno" / path.name).write_bytes(path.read_bytes())
    with zipfile.ZipFile(next(celeba.glob("*.zip"))) as archive:
        archive.extractall(unpacked)
    place = new_place()
    if kind == "folder":
        upload(unpacked, place)
        expected = CelebA(unpacked)
    else:
        upload(unpacked / "Anno", place / "Anno")
        (place / "Img/img_align_celeba.zip").write_bytes(next(celeba.glob("*.zip")).read_bytes())
        expected = CelebA(celeba)
    settings = IngestSettings()
    found, its = build_index(CelebA(place), settings), build_index(expected, settings)
    assert_frame_equal(found.images, its.images)
    assert {file.name for file in found.report.files} >= {path.name for path in celeba.glob("*.txt")}


def test_requests_are_few(s3: str, s3_options: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[int] = []
    real = Place.read_ranges

    def count(place: Place, ranges: Any) -> list[bytes]:
        requests.append(len(ranges))
        return real(place, ranges)

    monkeypatch.setattr(Place, "read_ranges", count)
    source = ImageFolder(upload(folder, Place(s3, s3_options)))
    listed = len(requests)
    assert listed == 0
    names = source.image_names
    listed = len(requests)  # files without the suffix of an image
    headers = [source.header(name) for name in names]
    assert len(requests) - listed == 1
    portion = pickle.loads(pickle.dumps(source.portion(names)))
    data = [portion.read(name) for name in names]
    assert len(requests) - listed == 2
    assert headers == [one[:4096] for one in data] == [(folder / name).read_bytes()[:4096] for name in names]


def test_large_files_are_not_all_read_at_once(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(memory)
    for number in range(6):
        (place / f"{number}.png").write_bytes(bytes([number]) * 1000)
    monkeypatch.setattr(distant, "_WINDOW_BYTES", 2500)
    files = distant.DistantFolder(place)
    assert [files.read(f"{number}.png") for number in range(6)] == [bytes([number]) * 1000 for number in range(6)]
    assert len(files._window._read) <= 2


def test_a_photograph_that_is_deleted_meanwhile_is_missing_alone(new_place: Callable[..., Place]) -> None:
    place = new_place()
    for number in range(4):
        (place / f"{number}.png").write_bytes(picture(number))
    files = distant.DistantFolder(place)
    (place / "2.png").unlink()
    assert files.read("0.png") == picture(0)
    assert files.read("1.png") == picture(1)
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        files.read("2.png")
    assert files.read("3.png") == picture(3)


def test_the_fingerprint_of_a_file_changes_with_it(new_place: Callable[..., Place]) -> None:
    place = new_place()
    (place / "1.png").write_bytes(picture(1))
    before = distant.DistantFolder(place).fingerprint("1.png")
    assert distant.DistantFolder(place).fingerprint("1.png") == before
    (place / "1.png").write_bytes(picture(2))
    assert distant.DistantFolder(place).fingerprint("1.png") != before


@pytest.mark.slow
def test_a_broken_connection_leaves_no_photograph_out(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, folder: Path
) -> None:
    upload(folder, Place(s3, s3_options))
    source = ImageFolder(Place(s3, {**s3_options, "endpoint_url": proxy.url}, patience=0.0))
    index = indexed(source)
    proxy.down = True
    with pytest.raises(StorageError, match=r"cannot be read: .*; the same command resumes"):
        packed(source, index)
    with pytest.raises(StorageError):
        indexed(source)
    proxy.down = False
    proxy.cuts = [1000, 0, 2000]
    patient = ImageFolder(Place(s3, {**s3_options, "endpoint_url": proxy.url}, patience=20.0))
    assert packed(patient, index)[1].digest == packed(ImageFolder(folder), indexed(ImageFolder(folder)))[1].digest


@pytest.mark.slow
def test_processes_read_it_as_well(s3: str, s3_options: dict[str, Any], folder: Path) -> None:
    source = ImageFolder(upload(folder, Place(s3, s3_options)))
    index = indexed(source)
    parts = list(pack_images(source, index.images, SETTINGS.model_copy(update={"workers": 2}), None))
    assert isinstance(parts[-1], Manifest)
    assert parts[-1].digest == packed(ImageFolder(folder), indexed(ImageFolder(folder)))[1].digest


def test_what_is_no_source_is_refused(new_place: Callable[..., Place]) -> None:
    place = new_place()
    for prepare, message in (
        (lambda: None, r"There is no folder .*packed"),
        (lambda: (place / "a.txt").write_bytes(b"1"), r"No image in .*packed, only other files \(1 \.txt\)"),
    ):
        prepare()
        with pytest.raises(SourceError, match=message):
            ImageFolder(place).image_names  # noqa: B018
    with pytest.raises(SourceError, match=r"a\.txt \(1 bytes\) is not a complete zip archive"):
        ImageFolder(place / "a.txt").image_names  # noqa: B018
    assert MAX_FILE_BYTES > 1


def test_the_catalog_entry_of_a_source(s3: str, s3_options: dict[str, Any], folder: Path) -> None:
    upload(folder, Place(s3, s3_options))
    dataset = SourceDataset("celeba_gan.sources.folder.ImageFolder", s3, credentials=s3_options)
    assert dataset.exists()
    assert dataset.load().describe() == f"63 images in {s3}"
    assert s3_options["secret"] not in repr(dataset)
    with pytest.raises((SourceError, DatasetError), match="DrawnPortraits needs a folder of this machine"):
        SourceDataset("celeba_gan.portraits.synthetic.DrawnPortraits", s3, {"images": 4, "seed": 0})
    celeba = SourceDataset("celeba_gan.sources.celeba.CelebA", s3, {"download": "huggingface"}, credentials=s3_options)
    with pytest.raises(DatasetError, match="is elsewhere, and downloads go to this machine: leave out"):
        celeba.load()
