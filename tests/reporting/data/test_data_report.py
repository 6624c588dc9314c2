import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_gan.images.packed import LeftOut, Manifest, Recipe
from celeba_gan.reporting.data.data_report import DataReport
from celeba_gan.reporting.data.pixel_statistics import PixelStatistics
from celeba_gan.reporting.data.report import DataTables, summarise_data
from celeba_gan.sources.source_report import SourceReport

STORED = Path(__file__).with_name("stored") / "data_report_v1.json"
SPLITS = ("train", "valid", "test")
PUBLISHED = {"Male": 0.4, "Bald": 0.02}
PIXELS = PixelStatistics(300, np.full((8, 8, 3), (100.0, 90.0, 80.0)), np.full((8, 8, 3), 50.0), 7)
CLASSES = pd.DataFrame({"class": [0, 1], "name": ["not Male", "Male"], "train": [200, 90], "valid": 5, "test": 5})


def make_index(count=400, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image_id": [f"{number:06d}.jpg" for number in range(count)],
            "split": random.choice(SPLITS, count, p=[0.7, 0.2, 0.1]),
            "width": random.choice(np.array([100, 178, 200], np.int32), count),
            "height": random.choice(np.array([218, 300], np.int32), count),
            "Male": (random.random(count) < 0.4).astype("int8"),
            "any: <name>": (random.random(count) < 0.01).astype("int8"),
            "identity": random.integers(0, 60, count).astype("int32"),
            "label": random.choice(["cats", "null", "1"], count),
        }
    )


def make_manifest(unreadable=(), leaks=(), duplicates=()):
    return Manifest(
        count=1,
        size=8,
        recipe=Recipe(crop=100, size=8, filter="box", background="white", decoder=1, pillow="12"),
        shard_images=64,
        source_digest="",
        images_digest="",
        splits={},
        shards=[],
        unreadable=[LeftOut(image_id=name, reason=reason) for name, reason in unreadable],
        leaks=[LeftOut(image_id=name, reason="duplicate") for name in leaks],
        duplicates=[list(group) for group in duplicates],
        digest="",
    )


NO_CLASSES = pd.DataFrame(columns=["name", "train", "valid", "test"])


def make_report(index, manifest, *, kind="celeba", classes=CLASSES, left_out_classes=NO_CLASSES, rejected=None):
    left_out = {record.image_id for record in [*manifest.unreadable, *manifest.leaks]}
    labels = index[~index["image_id"].isin(left_out)].reset_index(drop=True)
    labels = labels.drop(columns=["width", "height", "identity"], errors="ignore").assign(**{"class": 0})
    rejected = rejected or {"not an image": 3, "empty file": 1}
    source = SourceReport(
        source="CelebA in a folder",
        kind=kind,
        images_found=len(index) + sum(rejected.values()),
        indexed=len(index),
        rejected=rejected,
        ignored_files={".txt": 2},
        files=[],
        notes=["No identities."],
    )
    tables = DataTables(index, labels, classes, left_out_classes)
    return summarise_data(tables, source, manifest, PIXELS, ["Male"], 0.5, PUBLISHED)


def test_classes_that_were_left_out_are_a_finding():
    rare = pd.DataFrame([("anna", 0, 1, 0), ("ben", 1, 0, 0)], columns=["name", "train", "valid", "test"])
    report = make_report(make_index(), make_manifest(), left_out_classes=rare)
    assert report.findings[0] == (
        "2 classes left out for too few training images (preprocess.min_class_images), 2 images in all: anna (0), "
        "ben (1). left_out_classes.csv beside the labels lists them."
    )
    assert "left out" not in make_report(make_index(), make_manifest()).findings[0]


def test_every_number_is_that_of_counting_one_by_one():
    index = make_index()
    train = index.loc[index["split"] == "train", "image_id"].tolist()
    unreadable = [(train[0], "damaged: at 7"), (train[1], "damaged: at 8"), (train[2], "not an image")]
    groups = [[f"{number:06d}.jpg", f"{number + 200:06d}.jpg"] for number in range(20, 33)]
    report = make_report(index, make_manifest(unreadable, [train[3]], groups))
    gone = {*train[:4]}
    rows = index.to_dict("records")
    packed = [row for row in rows if row["image_id"] not in gone]

    images = report.images
    assert images.found == 404
    for split in (*SPLITS, "all"):
        of_split = [row for row in packed if split in (row["split"], "all")]
        assert images.packed[split] == len(of_split)
        assert images.indexed[split] == len([row for row in rows if split in (row["split"], "all")])
        assert images.persons[split] == len({row["identity"] for row in of_split})
        for name in ("Male", "any: <name>"):
            having = sum(row[name] for row in of_split)
            assert report.attributes[name].images[split] == having
            assert report.attributes[name].share[split] == pytest.approx(having / len(of_split), abs=1e-12)
        for label in ("cats", "null", "1"):
            having = sum(row["label"] == label for row in of_split)
            assert report.labels[label].images[split] == having
            assert report.labels[label].share[split] == pytest.approx(having / len(of_split), abs=1e-12)
    assert list(report.attributes) == ["Male", "any: <name>"]
    assert report.attributes["Male"].published == 0.4
    assert report.attributes["any: <name>"].published is None

    assert report.left_out.model_dump() == {
        "rejected": {"not an image": 3, "empty file": 1},
        "unreadable": {"damaged": 2, "not an image": 1},
        "unusable": 7,
        "share": 7 / 404,
        "largest_share": 0.5,
        "leaks": 1,
    }
    assert report.duplicates.model_dump() == {"photographs": 26, "groups": 13, "first_groups": groups[:10]}

    sizes = report.sizes
    counted = {}
    for row in rows:
        counted[row["width"], row["height"]] = counted.get((row["width"], row["height"]), 0) + 1
    assert sizes.distinct == 6
    assert (sizes.smallest, sizes.largest) == ((100, 218), (200, 300))
    assert {(row.width, row.height): row.photographs for row in sizes.most_common} == counted
    in_order = [row.photographs for row in sizes.most_common]
    assert in_order == sorted(in_order, reverse=True)

    assert report.pixels.model_dump() == {"mean": [100.0, 90.0, 80.0], "deviation": [50.0] * 3, "gray_images": 7}
    assert report.classes.number == 2
    assert report.classes.with_few_images == 1
    assert report.to_json()["classes"]["smallest"][0] == {
        "class": 1,
        "name": "Male",
        "train": 90,
        "valid": 5,
        "test": 5,
    }
    assert report.recipe.crop == 100
    assert report.source.notes == ["No identities."]


@pytest.mark.parametrize("seed", range(3))
def test_it_is_json_without_nan_also_where_there_is_little(seed):
    index = make_index(60, seed)
    one_split = index.assign(split="train")  # as after a run in which all others were unreadable
    bare = index[["image_id", "split", "width", "height"]]
    for part in (index, one_split, bare):
        report = make_report(part, make_manifest())
        stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert DataReport.from_json(stored, "a test") == report
        assert report.findings
    assert make_report(bare, make_manifest()).images.persons is None
    assert make_report(one_split, make_manifest()).attributes["Male"].share["test"] is None


def test_attributes_of_other_photographs_are_not_set_beside_celebas():
    report = make_report(make_index(), make_manifest(), kind="folder")
    assert report.attributes["Male"].published is None
    assert make_report(make_index(), make_manifest(), kind="synthetic").attributes["Male"].published == 0.4


def test_many_classes_and_labels_are_cut():
    index = make_index(500).assign(label=[f"person {number % 250}" for number in range(500)])
    number = np.arange(250)
    classes = pd.DataFrame({"class": number, "name": number.astype(str), "train": 1000 - number, "valid": 1, "test": 1})
    report = make_report(index, make_manifest(), classes=classes)
    assert report.classes.number == 250
    assert [row.train for row in report.classes.smallest] == list(range(751, 851))
    assert len(report.labels) == 60


def test_a_stored_report_loads_and_is_written_as_it_was(tmp_path):
    report = DataReport.read(STORED)
    assert report.images.packed["train"] == 26
    assert report.to_json() == {"format_version": 1, **json.loads(STORED.read_text())}
    (tmp_path / "again.json").write_text(json.dumps(report.to_json()))
    assert DataReport.read(tmp_path / "again.json") == report
