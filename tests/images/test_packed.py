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
    content_digest,
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
    splits = {"train": (0, 13), "valid": (13, 17), "test": (17, 17)}
    manifest = Manifest(
        count=len(PIXELS),
        size=8,
        recipe=Recipe(crop=178, size=8, filter="box", background="#ffffff", decoder=1, pillow="1"),
        shard_images=5,
        source_digest="source",
        images_digest="images",
        splits=splits,
        shards=records,
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest=content_digest(8, records, splits),
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
    assert packed.digest == packed.manifest.digest
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


def zip_of_arrays(folder):
    np.savez(folder / "other.npz", PIXELS[:5])
    (folder / "other.npz").rename(folder / shard_file(0))


def beginning_of_a_zip(folder):
    (folder / shard_file(0)).write_bytes(b"PK\x03\x04" + bytes(100))


def columns_first(folder):
    np.save(folder / shard_file(0), np.asfortranarray(PIXELS[:5]))


def unfinished_header(folder):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8,"
    (folder / shard_file(0)).write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(960))


@pytest.mark.parametrize("damage", [zip_of_arrays, beginning_of_a_zip, columns_first, unfinished_header])
def test_what_is_no_plain_array_is_no_shard(tmp_path, damage):
    damage(write(tmp_path))
    with pytest.raises(PackedImagesError, match=r"shard-00000\.npy cannot be read: .*kedro run --pipelines preprocess"):
        PackedImages(tmp_path).check()


@pytest.mark.parametrize(
    "change",
    [
        {"count": 16},
        {"size": 4},
        {"splits": {"train": (0, 17), "valid": (13, 17), "test": (17, 17)}},
        {"shards": []},
        {"digest": "0" * 64},
    ],
)
def test_a_manifest_that_was_changed_is_refused(tmp_path, change):
    manifest = PackedImages(write(tmp_path)).manifest
    (tmp_path / "manifest.json").write_text(manifest.model_copy(update=change).model_dump_json())
    with pytest.raises(PackedImagesError, match=r"manifest\.json is inconsistent"):
        PackedImages(tmp_path).check()


@pytest.mark.parametrize("name", ["../secret.npy", "{outside}", "./shard-00000.npy", "shard-00001.npy", "", "..", "\0"])
def test_a_manifest_names_no_file_but_its_own_shards(tmp_path, name):
    """The content of the other file would be right: it is its place that is refused."""
    folder = tmp_path / "packed"
    folder.mkdir()
    manifest = PackedImages(write(folder)).manifest
    np.save(tmp_path / "secret.npy", PIXELS[:5])
    first = manifest.shards[0].model_copy(update={"file": name.format(outside=tmp_path / "secret.npy")})
    forged = manifest.model_copy(update={"shards": [first, *manifest.shards[1:]]})
    (folder / "manifest.json").write_text(forged.model_dump_json())
    with pytest.raises(PackedImagesError, match=r"manifest\.json is inconsistent"):
        PackedImages(folder).check()


def test_a_shard_is_no_link_out_of_its_folder_which_itself_may_be_one(tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    write(folder)
    (tmp_path / "link").symlink_to(folder)
    PackedImages(tmp_path / "link").verify()
    (folder / shard_file(0)).rename(tmp_path / "elsewhere.npy")
    (folder / shard_file(0)).symlink_to("../elsewhere.npy")
    with pytest.raises(PackedImagesError, match=r"shard-00000\.npy is not in .*packed, but a link"):
        PackedImages(folder).check()
