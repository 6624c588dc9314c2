import errno
import io
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from PIL import Image

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packing import pack_images

SETTINGS = PreprocessSettings(size=8, crop=16, shard_images=10, workers=1)


class Source:
    """Pictures of one colour each."""

    def read(self, image_id):
        file = io.BytesIO()
        Image.new("RGB", (16, 16), (int(image_id), 0, 0)).save(file, "PNG")
        return file.getvalue()

    def fingerprint(self, image_ids):
        return list(image_ids)

    def portion(self, image_ids):
        return self


def index(count):
    return pd.DataFrame({"image_id": [f"{number:03d}" for number in range(count)], "split": "train"})


def chunks(count=35, settings=SETTINGS):
    yield from pack_images(Source(), index(count), settings, None)


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "packed"


@pytest.fixture
def dataset(folder):
    return PackedImagesDataset(str(folder))


def test_shards_and_manifest_come_back(dataset, folder):
    assert PackedImagesDataset(str(folder), missing_ok=True).load() is None
    for chunk in chunks():
        assert not dataset.exists()
        dataset.save(chunk)
    assert dataset.exists()
    packed = dataset.load()
    packed.verify()
    np.testing.assert_array_equal(packed.gather(range(35))[:, 0, 0, 0], range(35))
    assert sorted(contents(folder)) == ["manifest.json", *(f"shard-0000{number}.npy" for number in range(4))]


def test_an_interrupted_packing_is_not_taken_for_whole(dataset, folder):
    for chunk in chunks():
        dataset.save(chunk)
    packing = pack_images(Source(), index(35), SETTINGS.model_copy(update={"size": 16}), None)
    dataset.save(next(packing))
    packing.close()
    assert not dataset.exists()
    assert isinstance(PackedImagesDataset(str(folder), missing_ok=True).load(), UnfinishedPacking)
    with pytest.raises(DatasetError, match="No finished packed images"):
        dataset.load()


def test_a_killed_packing_is_not_taken_for_whole(dataset, folder):
    for chunk in chunks():
        dataset.save(chunk)
    program = """
        import os, signal, sys
        import numpy as np
        from celeba_gan.datasets.packed_images import PackedImagesDataset
        from celeba_gan.images.packed import Shard
        def die_halfway(file, header):
            file.write(b"half"); file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        np.lib.format.write_array_header_1_0 = die_halfway
        PackedImagesDataset(sys.argv[1]).save(Shard(0, np.zeros((10, 8, 8, 3), np.uint8), journal=None))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(folder)], check=False)
    assert done.returncode == -9
    assert dataset.exists()  # what was there before counts until a new shard is whole
    for chunk in chunks():  # packing again repairs everything and leaves nothing behind
        dataset.save(chunk)
    dataset.load().verify()
    assert not list(folder.glob(".*"))


def test_fewer_shards_than_before_leave_no_surplus(dataset, folder):
    for count in (35, 12):
        for chunk in chunks(count):
            dataset.save(chunk)
    assert sorted(contents(folder)) == ["manifest.json", "shard-00000.npy", "shard-00001.npy"]
    assert len(dataset.load()) == 12


def test_saving_the_same_manifest_changes_nothing(dataset, folder):
    for chunk in chunks():
        dataset.save(chunk)
    manifest = dataset.load().manifest
    before = contents(folder)
    dataset.save(manifest)
    assert contents(folder) == before


def test_a_manifest_without_its_shards_is_refused(dataset, folder):
    packing = chunks()
    dataset.save(next(packing))
    *_, manifest = packing
    with pytest.raises(DatasetError, match=r"has no shard-00001\.npy"):
        dataset.save(manifest)
    assert not dataset.exists()


def test_a_shard_of_the_wrong_size_is_not_whole(dataset, folder):
    for chunk in chunks():
        dataset.save(chunk)
    path = folder / "shard-00002.npy"
    path.write_bytes(path.read_bytes()[:-5])
    assert not dataset.exists()


def test_kedro_streams_and_the_second_run_reuses(folder, caplog):
    caplog.set_level("INFO")

    def pack(settings, before):
        yield from pack_images(Source(), index(35), settings, before)

    catalog = DataCatalog(
        {
            "packed_before": PackedImagesDataset(str(folder), missing_ok=True),
            "packed_images": PackedImagesDataset(str(folder)),
        }
    )
    catalog["settings"] = SETTINGS
    pipeline = Pipeline([Node(pack, inputs=["settings", "packed_before"], outputs="packed_images", name="pack")])
    SequentialRunner().run(pipeline, catalog)
    before = contents(folder)
    catalog["packed_images"].load().verify()
    SequentialRunner().run(pipeline, catalog)
    assert contents(folder) == before
    assert "packed images in" in caplog.text


def test_damaged_shards_are_found_by_their_checksum_and_packed_again(dataset, folder):
    for chunk in chunks():
        dataset.save(chunk)
    whole = contents(folder)
    shard = folder / "shard-00001.npy"
    pixels = bytearray(shard.read_bytes())
    pixels[-1] ^= 1
    shard.write_bytes(pixels)
    for chunk in pack_images(Source(), index(35), SETTINGS, dataset.load()):
        dataset.save(chunk)
    assert {name: data for name, (data, _) in contents(folder).items()} == {
        name: data for name, (data, _) in whole.items()
    }


def test_what_fails_halfway_leaves_no_staging_file(dataset, folder, monkeypatch):
    for chunk in chunks():
        dataset.save(chunk)
    whole = contents(folder)

    def full(file, header):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    shard = next(chunks(settings=SETTINGS.model_copy(update={"size": 16})))
    with pytest.raises(DatasetError, match=r"shard-00000\.npy cannot be written: No space left on device"):
        dataset.save(shard)
    assert contents(folder) == whole
