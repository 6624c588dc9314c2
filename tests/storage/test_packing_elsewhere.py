"""Packing to places that lie elsewhere: the same bytes as on a disk, whole or not at all."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from breaking_proxy import BreakingProxy
from kedro.io import DatasetError

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import PackedImages
from celeba_gan.images.packing import pack_images
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place

COUNT = 90
SETTINGS = PreprocessSettings(size=16, crop=24, shard_images=20, workers=1)


class Noise:
    """Photographs of noise; one of them cannot be read."""

    def read(self, image_id: str) -> bytes:
        import io

        from PIL import Image

        if image_id == "000031":
            return b"no image"
        pixels = np.random.default_rng(int(image_id)).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    def fingerprint(self, image_ids: list[str]) -> list[str]:
        return list(image_ids)

    def portion(self, image_ids: list[str]) -> "Noise":
        return self


def index() -> pd.DataFrame:
    splits = [("train", "train", "train", "valid", "test")[number % 5] for number in range(COUNT)]
    return pd.DataFrame({"image_id": [f"{number:06d}" for number in range(COUNT)], "split": splits})


Dataset = Callable[..., PackedImagesDataset]


@pytest.fixture
def new_dataset(new_place: Callable[..., Place], tmp_path: Path) -> Dataset:
    """Makes the dataset of a folder elsewhere, as a new process does."""

    def make(missing_ok: bool = False, endpoint: str | None = None) -> PackedImagesDataset:
        place = new_place()
        options = {**place.options, **({"endpoint_url": endpoint} if endpoint else {})}
        use = {"cache": str(tmp_path / "cache"), "patience_s": 5}
        return PackedImagesDataset(place.url, missing_ok=missing_ok, credentials=options, storage=use)

    return make


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("packed") / "images"
    pack(PackedImagesDataset(str(folder)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pack(dataset: PackedImagesDataset, saves: int | None = None, settings: PreprocessSettings = SETTINGS) -> int:
    """Packs as the pipeline does, until so many parts were saved; how many were."""
    before = PackedImagesDataset.__new__(PackedImagesDataset)
    before.__dict__.update({**dataset.__dict__, "_missing_ok": True})
    packing: Iterator[Any] = pack_images(Noise(), index(), settings, before.load())
    parts = 0
    while parts != saves and (part := next(packing, None)) is not None:
        dataset.save(part)
        parts += 1
    packing.close()
    return parts


def contents(dataset: PackedImagesDataset) -> dict[str, bytes]:
    assert dataset.place is not None
    return {name: (dataset.place / name).read_bytes() for name in dataset.place.listing()}


def test_the_bytes_are_those_of_a_disk_and_come_back(
    new_dataset: Dataset, on_disk: dict[str, bytes], tmp_path: Path
) -> None:
    assert new_dataset(missing_ok=True).load() is None
    assert not new_dataset().exists()
    assert pack(new_dataset()) == 6
    assert contents(new_dataset()) == on_disk
    assert new_dataset().exists()
    packed = new_dataset().load()
    assert isinstance(packed, PackedImages)
    for name, data in on_disk.items():
        (tmp_path / "local").mkdir(exist_ok=True)
        (tmp_path / "local" / name).write_bytes(data)
    local = PackedImages(tmp_path / "local")
    assert (len(packed), packed.digest, packed.split("valid")) == (len(local), local.digest, local.split("valid"))
    chosen = np.random.default_rng(0).integers(0, len(local), 30)
    np.testing.assert_array_equal(packed.gather(chosen), local.gather(chosen))
    for mine, its in zip(local.batches(3, 71, 7), packed.batches(3, 71, 7), strict=True):
        np.testing.assert_array_equal(mine, its)
    packed.verify()
    packed.close()


def test_packing_again_uploads_nothing(new_dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pack(new_dataset())
    place = new_dataset().place
    assert place is not None
    before = place.walk()
    assert pack(new_dataset()) == 1
    assert place.walk() == before
    assert f"Reusing the {COUNT - 1} packed images in {place}" in caplog.text


@pytest.mark.parametrize("saves", [1, 5, *(pytest.param(saves, marks=pytest.mark.slow) for saves in (2, 3, 4))])
def test_an_interrupted_packing_carries_on(new_dataset: Dataset, on_disk: dict[str, bytes], saves: int) -> None:
    pack(new_dataset(), saves)
    assert not new_dataset().exists()
    assert isinstance(new_dataset(missing_ok=True).load(), UnfinishedPacking)
    with pytest.raises(DatasetError, match="No finished packed images in"):
        new_dataset().load()
    assert pack(new_dataset()) == 6 - saves
    assert contents(new_dataset()) == on_disk


def test_a_shard_of_another_packing_between_the_others_is_not_kept(
    new_dataset: Dataset, on_disk: dict[str, bytes]
) -> None:
    pack(new_dataset(), 3)
    other = SETTINGS.model_copy(update={"filter": "box"})
    packing = pack_images(Noise(), index(), other, None)
    dataset, upload = new_dataset(), Place.write_bytes
    shard = next(packing)
    packing.close()
    with pytest.MonkeyPatch.context() as killed:  # after the upload of the shard, before that of its journal

        def write_bytes(place: Place, data: bytes) -> None:
            if place.name.endswith(".journal"):
                raise KeyboardInterrupt
            upload(place, data)

        killed.setattr(Place, "write_bytes", write_bytes)
        with pytest.raises(KeyboardInterrupt):
            dataset.save(shard)
    assert pack(new_dataset()) == 6
    assert contents(new_dataset()) == on_disk


def test_a_connection_that_breaks_while_packing_costs_nothing(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, on_disk: dict[str, bytes]
) -> None:
    credentials = {**s3_options, "endpoint_url": proxy.url}
    dataset = PackedImagesDataset(s3, credentials=credentials, storage={"patience_s": 20})
    packing = pack_images(Noise(), index(), SETTINGS, None)
    for part in packing:
        proxy.cuts = [0, 0]
        dataset.save(part)
    assert proxy.broken >= 2 * 6
    assert contents(dataset) == on_disk


@pytest.mark.slow
def test_a_connection_that_stays_broken_keeps_the_shards_before(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, on_disk: dict[str, bytes]
) -> None:
    def dataset() -> PackedImagesDataset:
        return PackedImagesDataset(s3, credentials={**s3_options, "endpoint_url": proxy.url}, storage={"patience_s": 0})

    pack(dataset(), 3)
    packing = pack_images(Noise(), index(), SETTINGS, None)
    proxy.down = True
    with pytest.raises(DatasetError, match=r"manifest\.json cannot be deleted: .*; the same command resumes"):
        dataset().save(next(packing))
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        dataset().load()
    assert isinstance(caught.value.__cause__, StorageError)
    proxy.down = False
    assert pack(dataset()) == 3
    assert contents(dataset()) == on_disk


def test_a_manifest_is_refused_whose_shards_are_missing(new_dataset: Dataset) -> None:
    *shards, manifest = pack_images(Noise(), index(), SETTINGS, None)
    new_dataset().save(shards[0])
    with pytest.raises(DatasetError, match=r"has no shard-00001\.npy, which the manifest names"):
        new_dataset().save(manifest)
    assert not new_dataset().exists()


def test_a_smaller_packing_leaves_nothing_of_a_larger_one(new_dataset: Dataset) -> None:
    pack(new_dataset(), settings=SETTINGS.model_copy(update={"shard_images": 10}))
    pack(new_dataset())
    assert sorted(contents(new_dataset())) == ["manifest.json", *(f"shard-0000{number}.npy" for number in range(5))]


def test_a_half_written_manifest_is_not_taken_for_one(new_dataset: Dataset) -> None:
    pack(new_dataset())
    place = new_dataset().place
    assert place is not None
    text = (place / "manifest.json").read_bytes()
    (place / "manifest.json").write_bytes(text[: len(text) // 2])
    with pytest.raises(DatasetError, match=r"manifest\.json is not a valid manifest"):
        new_dataset().load()
    assert pack(new_dataset()) == 6


def test_its_description_shows_no_secret(s3_options: dict[str, Any]) -> None:
    dataset = PackedImagesDataset("s3://bucket/faces?secret=abcdef", credentials=s3_options)
    shown = f"{dataset!r} {dataset} {dataset._describe()}"
    assert "s3://bucket/faces?secret=***" in shown
    for secret in (s3_options["key"], s3_options["secret"], "abcdef"):
        assert secret not in shown
