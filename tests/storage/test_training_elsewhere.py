"""Training from elsewhere: bit for bit the weights of training from the disk, whatever the connection does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from breaking_proxy import BreakingProxy
from torch import Tensor

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train
from celeba_gan.images.packed import (
    Journal,
    Manifest,
    PackedImages,
    Recipe,
    Shard,
    ShardRecord,
    content_digest,
    hash_pixels,
    shard_file,
)
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place
from small_training import SMALL

LENGTHS = [40, 40, 40, 7]
PIXELS = np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), 16, 16, 3), dtype=np.uint8)
ADA = {"augment": {"name": "ada"}}  # which reads valid images as well
SETTINGS = TrainSettings.model_validate(SMALL | {"kimg": 0.24, "tick_kimg": 0.08} | ADA)
SPLITS = {"train": (0, 90), "valid": (90, 120), "test": (120, 127)}


def save(dataset: PackedImagesDataset) -> None:
    records = []
    for number, pixels in enumerate(np.split(PIXELS, np.cumsum(LENGTHS)[:-1])):
        records.append(ShardRecord(file=shard_file(number), images=len(pixels), sha256=hash_pixels(pixels)))
        journal = Journal(plan="", shard=records[-1], start=0, stop=0, unreadable=[], leaks=[], digests="")
        dataset.save(Shard(number, pixels, journal))
    dataset.save(
        Manifest(
            count=len(PIXELS),
            size=16,
            recipe=Recipe(crop=178, size=16, filter="box", background="#ffffff", decoder=1, pillow="1"),
            shard_images=40,
            source_digest="source",
            images_digest="images",
            splits=SPLITS,
            shards=records,
            unreadable=[],
            leaks=[],
            duplicates=[],
            digest=content_digest(16, records, SPLITS),
        )
    )


def weights(tick: Tick) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tick.snapshot.tensors.items()}


@pytest.fixture(scope="module")
def from_disk(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("disk") / "images"
    save(PackedImagesDataset(str(folder)))
    return [weights(tick) for tick in train(PackedImages(folder), SETTINGS)]


def assert_equal(found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> None:
    assert len(found) == len(expected) == 4
    for mine, its in zip(found, expected, strict=True):
        assert mine.keys() == its.keys()
        assert not [name for name in mine if not torch.equal(mine[name], its[name])]


@pytest.mark.parametrize("cache_gb", [0.0, 70_000e-9, 1.0])
@pytest.mark.parametrize("read_ahead", [pytest.param(0, marks=pytest.mark.slow), 8])
def test_the_weights_are_those_of_training_from_the_disk(
    new_place: Callable[..., Place],
    from_disk: list[dict[str, Tensor]],
    tmp_path: Path,
    cache_gb: float,
    read_ahead: int,
) -> None:
    place = new_place()
    save(PackedImagesDataset(place.url, credentials=place.options))
    use = StorageSettings(cache=str(tmp_path / "cache"), cache_gb=cache_gb, read_ahead=read_ahead)
    images = PackedImages(place, use)
    assert_equal([weights(tick) for tick in train(images, SETTINGS)], from_disk)
    images.close()
    stored = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert stored <= cache_gb * 1e9
    assert (stored > 30_000) == (cache_gb > 0)


@pytest.mark.slow
def test_a_training_whose_connection_breaks_resumes_from_its_last_tick(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, from_disk: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    save(PackedImagesDataset(s3, credentials=s3_options))
    place = Place(s3, {**s3_options, "endpoint_url": proxy.url}, patience=0.0)
    use = StorageSettings(cache_gb=0.0, read_ahead=2)
    images, ticks, last = PackedImages(place, use), [], None
    training = train(images, SETTINGS)
    with pytest.raises(StorageError, match=r"cannot be read: .*; the same command resumes"):
        for tick in training:
            ticks.append(weights(tick))
            last = Snapshot(tick.snapshot.kind, tick.snapshot.card, ticks[-1])
            proxy.down = len(ticks) == 2
    images.close()
    assert len(ticks) == 2
    proxy.down = False
    images = PackedImages(place.with_patience(20.0), use)
    proxy.cuts = [300, 0, 4000, 1000]
    resumed = [weights(tick) for tick in train(images, SETTINGS, last)]
    images.close()
    assert proxy.broken >= 4
    assert_equal([*ticks, *resumed], from_disk)


def test_a_shard_that_changes_during_training_stops_it(new_place: Callable[..., Place], tmp_path: Path) -> None:
    place = new_place()
    save(PackedImagesDataset(place.url, credentials=place.options))
    images = PackedImages(place, StorageSettings(cache_gb=0.0, read_ahead=2))
    images.verify()
    data = bytearray((place / "shard-00001.npy").read_bytes())
    for number in range(40):  # a bit of every image
        data[200 + number * 16 * 16 * 3] ^= 1
    (place / "shard-00001.npy").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"shard-00001\.npy has changed since it was packed. Pack them again"):
        list(train(images, SETTINGS))
    images.close()
