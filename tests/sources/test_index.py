import io

import pytest
from PIL import Image

from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.index import build_index, check_rejected
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

LENIENT = IngestSettings(max_rejected_fraction=1.0)


def jpeg(width=178, height=218, **options):
    file = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(file, "JPEG", **options)
    return file.getvalue()


def name(number):
    return f"{number:06d}.jpg"


def write(folder, images, *, attributes=(), partition=(), identities=()):
    (folder / "img_align_celeba").mkdir(exist_ok=True)
    for image_id, data in images.items():
        (folder / "img_align_celeba" / image_id).write_bytes(data)
    if attributes:
        rows = [f"{image_id} " + " 1 -1" * 20 for image_id in attributes]
        (folder / "list_attr_celeba.txt").write_text("\n".join([" ".join(ATTRIBUTES), *rows]))
    if partition:
        rows = [f"{image_id} {split}" for image_id, split in partition.items()]
        (folder / "list_eval_partition.txt").write_text("\n".join(rows))
    if identities:
        (folder / "identity_CelebA.txt").write_text("\n".join(f"{image_id} 7" for image_id in identities))
    return CelebA(folder)


def test_index_joins_sizes_splits_and_annotations(tmp_path):
    images = {name(1): jpeg(), name(2): jpeg(89, 109), name(3): jpeg(icc_profile=bytes(9000))}
    every = [name(number) for number in range(1, 9)]  # rows without an image are no error: a sample of CelebA
    celeba = write(
        tmp_path, images, attributes=every, partition={i: n % 3 for n, i in enumerate(every)}, identities=every
    )
    seen = []
    index, rejected, _ = build_index(celeba, IngestSettings(), lambda done, total: seen.append((done, total)))
    assert index.columns.tolist() == ["image_id", "split", "width", "height", *ATTRIBUTES, "identity"]
    assert index["image_id"].tolist() == [name(1), name(2), name(3)]
    assert index["split"].tolist() == ["train", "valid", "test"]
    assert index[["width", "height"]].to_numpy().tolist() == [[178, 218], [89, 109], [178, 218]]
    assert index[list(ATTRIBUTES)].to_numpy().tolist() == [[1, 0] * 20] * 3
    assert {str(index[attribute].dtype) for attribute in ATTRIBUTES} == {"int8"}
    assert index["identity"].tolist() == [7, 7, 7]
    assert rejected.columns.tolist() == ["image_id", "reason"]
    assert rejected.empty
    assert seen == [(3, 3)]


def test_every_reason_to_reject(tmp_path):
    good = {name(number): jpeg() for number in range(1, 4)}
    bad = {
        "portrait.jpg": jpeg(),
        "000001 (1).jpg": jpeg(),
        "00009.jpg": jpeg(),
        name(10): b"",
        name(11): b"<html>not found</html>",
        name(12): jpeg()[:20],
        name(13): jpeg(),
        name(14): jpeg(),
    }
    known = [*good, name(10), name(11), name(12)]
    partition = dict.fromkeys([*known, name(14)], 0)
    index, rejected, _ = build_index(
        write(tmp_path, good | bad, attributes=[*known, name(13)], partition=partition), LENIENT
    )
    assert index["image_id"].tolist() == list(good)
    reasons = dict(rejected.itertuples(index=False))
    assert reasons.keys() == bad.keys()
    for image_id in ("portrait.jpg", "000001 (1).jpg", "00009.jpg"):
        assert "not a CelebA file name" in reasons[image_id]
    assert reasons[name(10)] == "empty file"
    assert "a web page" in reasons[name(11)]
    assert reasons[name(12)].startswith("damaged")
    assert reasons[name(13)] == "no row in list_eval_partition.txt"
    assert reasons[name(14)] == "no row in list_attr_celeba.txt"


def test_without_annotation_files_columns_are_absent_and_a_split_is_drawn(tmp_path, caplog):
    celeba = write(tmp_path, {name(number): jpeg(16, 16) for number in range(1, 41)})
    index, _, _ = build_index(celeba, IngestSettings())
    assert index.columns.tolist() == ["image_id", "split", "width", "height"]
    assert index["split"].value_counts().to_dict().keys() == {"train", "valid", "test"}
    for file in ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt"):
        assert sum(file in record.getMessage() for record in caplog.records) == 1
    other, _, _ = build_index(celeba, IngestSettings(seed=1))
    assert other["split"].tolist() != index["split"].tolist()


def test_a_drawn_split_does_not_depend_on_the_order_of_the_disk(tmp_path):
    images = {name(number): jpeg(16, 16) for number in range(1, 31)}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _, _ = build_index(write(tmp_path / "a", images), IngestSettings())
    other, _, _ = build_index(write(tmp_path / "b", dict(reversed(images.items()))), IngestSettings())
    assert one.equals(other)


def test_too_many_rejected_images_stop_the_run(tmp_path):
    images = {name(number): jpeg(16, 16) for number in range(1, 18)} | {name(20): b"", name(21): b"", "x.jpg": b""}
    with pytest.raises(SourceError) as caught:
        build_index(write(tmp_path, images), IngestSettings())
    message = str(caught.value)
    assert "3 of 20 images (15.0%) cannot be used; at most 1.0%" in message
    assert "2  empty file" in message
    assert "x.jpg: not a CelebA file name" in message
    assert "raise ingest.max_rejected_fraction" in message


def test_check_rejected_shows_ten_and_counts_kinds():
    rejected = [(name(number), f"damaged: {number} bytes missing") for number in range(30)]
    check_rejected(rejected, 3000, 0.01)
    with pytest.raises(SourceError) as caught:
        check_rejected(rejected, 2999, 0.01)
    assert "30  damaged\n" in str(caught.value)
    assert str(caught.value).count("bytes missing") == 10


def test_what_is_too_large_is_to_be_shrunk_not_repaired():
    rejected = [("a.png", "too large: 16,320x12,240 pixels, at most 80,000,000 in all")]
    with pytest.raises(SourceError) as caught:
        check_rejected(rejected, 1, 0.01)
    assert "Shrink images that are too large; or, to go on without them" in str(caught.value)
    with pytest.raises(SourceError, match=r"Repair the source.*; Shrink images|Shrink images.*; Repair the source"):
        check_rejected([*rejected, ("b.png", "damaged: cut off")], 2, 0.01)


def test_an_index_needs_an_image_to_train_on(tmp_path):
    with pytest.raises(SourceError, match="Too few images to train on"):
        build_index(write(tmp_path, {name(162_771): jpeg(16, 16)}, partition={name(162_771): 1}), IngestSettings())
    with pytest.raises(SourceError, match="Too few images to train on"):
        build_index(write(tmp_path, {name(162_771): b""}, partition={name(162_771): 1}), LENIENT)


def test_splits_that_are_missing_among_the_first_images_of_celeba_are_drawn_from_train(tmp_path, caplog):
    """The official partition gives the first 162,770 images to train: a sample of them has nothing to measure with."""
    names = [name(number) for number in range(1, 41)]
    images, partition = dict.fromkeys(names, jpeg(16, 16)), dict.fromkeys(names, 0)
    index, _, _ = build_index(write(tmp_path, images, partition=partition), IngestSettings())
    drawn = index.set_index("image_id")["split"]
    assert set(drawn) == {"train", "valid", "test"}
    assert "No image is marked as valid" in caplog.text

    known = drawn[drawn == "train"].index[0]
    partition[known] = 2  # one split that is there stays as it is
    index, _, _ = build_index(write(tmp_path, images, partition=partition), IngestSettings())
    again = index.set_index("image_id")["split"]
    assert again[again == "test"].index.tolist() == [known]
    assert again[again == "valid"].index.tolist() == drawn[drawn == "valid"].index.tolist()


def test_one_photograph_in_two_formats_is_one(tmp_path):
    png = io.BytesIO()
    Image.new("RGB", (16, 16)).save(png, "PNG")
    images = {name(number): jpeg(16, 16) for number in range(1, 9)} | {"000003.png": png.getvalue()}
    index, rejected, _ = build_index(write(tmp_path, images), LENIENT)
    assert index["image_id"].tolist() == [name(number) for number in range(1, 9)]
    assert rejected.to_numpy().tolist() == [["000003.png", "another image has its name in the tables"]]


def test_nobody_is_in_two_drawn_splits(tmp_path):
    images = {name(number): jpeg(16, 16) for number in range(1, 41)}
    celeba = write(tmp_path, images)
    rows = [f"{image_id} {number % 9 + 1}" for number, image_id in enumerate(images)]
    (tmp_path / "identity_CelebA.txt").write_text("\n".join(rows) + "\n")
    index, _, _ = build_index(celeba, IngestSettings())
    assert index.groupby("identity")["split"].nunique().eq(1).all()
    assert set(index["split"]) == {"train", "valid", "test"}
