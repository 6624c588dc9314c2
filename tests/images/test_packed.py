import hashlib
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeba_gan.images.packed import (
    Journal,
    Manifest,
    PackedImages,
    PackedImagesError,
    Recipe,
    ShardRecord,
    hash_pixels,
    hash_texts,
    shard_file,
)

LENGTHS = [5, 5, 5, 2]
PIXELS = np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("packed"))


def write(folder):
    records, start = [], 0
    for number, length in enumerate(LENGTHS):
        pixels = PIXELS[start : start + length]
        np.save(folder / shard_file(number), pixels)
        records.append(ShardRecord(file=shard_file(number), images=length, sha256=hash_pixels(pixels)))
        start += length
    manifest = Manifest(
        count=len(PIXELS),
        size=8,
        recipe=Recipe(crop=178, size=8, filter="box", background="#ffffff", decoder=1, pillow="1"),
        shard_images=5,
        source_digest="source",
        images_digest="images",
        splits={"train": (0, 13), "valid": (13, 17), "test": (17, 17)},
        shards=records,
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest="content",
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, len(PIXELS) - 1), max_size=40))
def test_gather_equals_brute_force(folder, indices):
    images = PackedImages(folder).gather(indices)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, PIXELS[np.array(indices, int)])


@pytest.mark.parametrize("indices", [[17], [-1], [0, 99], [0.5], [[0, 1]]])
def test_gather_refuses_what_is_no_index(folder, indices):
    with pytest.raises(IndexError):
        PackedImages(folder).gather(indices)


def test_manifest_length_and_splits(folder):
    packed = PackedImages(folder)
    assert len(packed) == 17
    assert packed.digest == "content"
    assert packed.split("valid") == (13, 17)
    assert packed.split("test") == (17, 17)
    with pytest.raises(PackedImagesError, match="the splits are train, valid, test"):
        packed.split("validation")
    packed.check()
    packed.verify()


def test_a_pickle_holds_the_path_alone(folder):
    packed = PackedImages(folder)
    packed.gather([0, 16])
    pickled = pickle.dumps(packed)
    assert len(pickled) < 500
    np.testing.assert_array_equal(pickle.loads(pickled).gather([3]), PIXELS[3:4])


def damaged_pixel(folder):
    np.load(folder / shard_file(1), mmap_mode="r+")[0, 0, 0, 0] ^= 1


def truncated(folder):
    path = folder / shard_file(2)
    path.write_bytes(path.read_bytes()[:-1])


def empty(folder):
    (folder / shard_file(2)).write_bytes(b"")


def missing(folder):
    (folder / shard_file(3)).unlink()


def other_shape(folder):
    np.save(folder / shard_file(0), PIXELS[:4])


def object_pickle(folder):
    np.save(folder / shard_file(0), np.array([{}], object), allow_pickle=True)


@pytest.mark.parametrize("damage", [truncated, empty, missing, other_shape, object_pickle])
def test_check_finds_shards_of_the_wrong_size(tmp_path, damage):
    damage(write(tmp_path))
    with pytest.raises(PackedImagesError, match=r"shard-0000\d\.npy .*kedro run --pipelines preprocess"):
        PackedImages(tmp_path).check()


def test_verify_finds_a_changed_pixel(tmp_path):
    damaged_pixel(write(tmp_path))
    PackedImages(tmp_path).check()
    with pytest.raises(PackedImagesError, match=r"shard-00001\.npy has changed"):
        PackedImages(tmp_path).verify()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No finished packed images"),
        ("{", "not a .*manifest"),
        ('{"format_version": 1}', "manifest.*: format_version"),
        ('{"format_version": 3}', "manifest.*: format_version"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path, text, message):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(PackedImagesError, match=message):
        PackedImages(tmp_path).manifest  # noqa: B018


def test_texts_are_hashed_row_by_row():
    rows = hash_texts(["a", "b"], [1, 2])
    assert rows == hashlib.sha256(b"a\t1\nb\t2").hexdigest()
    assert hash_texts([]) == hashlib.sha256(b"").hexdigest()


def test_a_journal_comes_back_and_a_damaged_one_does_not():
    journal = Journal(
        plan="plan",
        shard=ShardRecord(file="shard-00000.npy", images=3, sha256="0"),
        start=0,
        stop=4,
        unreadable=[(1, "not an image: looks like a\nweb page")],
        leaks=[],
        digests="AAAA",
    )
    data = journal.to_bytes()
    assert Journal.from_bytes(data) == journal
    for place in range(len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(ValueError):  # noqa: PT011 - pydantic's, or the checksum's
            Journal.from_bytes(bytes(damaged))
    for length in range(len(data) - 1):
        with pytest.raises(ValueError):  # noqa: PT011
            Journal.from_bytes(data[:length])
