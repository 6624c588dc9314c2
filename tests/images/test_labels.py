import io
import logging
from itertools import islice, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.labels import (
    LabelError,
    attribute_names,
    check_labels,
    class_names,
    count_classes,
    label_images,
    labels_as_named,
    list_duplicates,
    name_labels,
    without_rare_classes,
)
from celeba_gan.images.packed import Manifest, PackedImagesError, Recipe, hash_texts
from celeba_gan.images.packing import pack_images, packing_order
from celeba_gan.pipelines.preprocess import nodes
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.tables.attributes_csv import read_custom_attributes


class Source:
    def read(self, image_id):
        """Every photograph in a gray of its own, but for `leak`, which is `d`, and `twin`, which is `a`."""
        if image_id == "unreadable":
            return b""
        file = io.BytesIO()
        gray = 8 * ord({"leak": "d", "twin": "a"}.get(image_id, image_id)) % 256
        Image.new("RGB", (16, 16), (gray, gray, gray)).save(file, "PNG")
        return file.getvalue()

    def fingerprint(self, image_ids):
        return ["same"] * len(image_ids)

    def portion(self, image_ids):
        return self


INDEX = pd.DataFrame(
    [
        ("e", "test", 0, 1, "dogs"),
        ("c", "train", 1, 1, "cats"),
        ("unreadable", "train", 1, 0, "cats"),
        ("a", "train", 0, 0, "dogs"),
        ("leak", "train", 1, 0, "dogs"),
        ("d", "valid", 1, 0, "cats"),
        ("b", "train", 0, 1, "cats"),
        ("f", "train", 1, 0, "dogs"),
        ("twin", "train", 0, 0, "dogs"),
    ],
    columns=["image_id", "split", "Male", "Smiling", "label"],
).assign(width=16, height=16, identity=3)


@pytest.fixture(scope="module")
def manifest():
    *_, manifest = pack_images(Source(), INDEX, PreprocessSettings(size=8, crop=16, workers=1), None)
    return manifest


def manifest_of(index):
    """What packing would write about an index of which everything can be packed, without packing it."""
    order = packing_order(index)
    return Manifest(
        count=len(order),
        size=8,
        recipe=Recipe(crop=16, size=8, filter="box", background="white", decoder=1, pillow="12"),
        shard_images=64,
        source_digest="",
        images_digest=hash_texts(order["image_id"], order["split"]),
        splits={},
        shards=[],
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest="",
    )


def test_row_i_describes_packed_image_i(manifest):
    labels = label_images(manifest, INDEX, ["Male", "Smiling"])
    assert labels.columns.tolist() == ["image_id", "split", "label", "Male", "Smiling", "class"]
    assert labels["image_id"].tolist() == ["a", "b", "c", "f", "twin", "d", "e"]  # neither unreadable nor leak
    assert labels["label"].tolist() == ["dogs", "cats", "cats", "dogs", "dogs", "cats", "dogs"]
    assert labels.index.tolist() == list(range(7))
    for split, (start, stop) in manifest.splits.items():
        assert set(labels["split"][start:stop]) == {split}
    assert str(labels["class"].dtype) == "int16"
    names = class_names(["Male", "Smiling"])
    assert [names[number] for number in labels["class"]] == [
        " + ".join(name if has else f"not {name}" for name, has in (("Male", male), ("Smiling", smiling)))
        for male, smiling in labels[["Male", "Smiling"]].itertuples(index=False)
    ]


def test_labels_belong_to_their_images_and_to_no_others(manifest, tmp_path):
    labels = label_images(manifest, INDEX, ["Male"])
    labels.to_parquet(tmp_path / "labels.parquet")
    check_labels(pd.read_parquet(tmp_path / "labels.parquet"), manifest)
    for others in (labels[:-1], labels.iloc[::-1], pd.concat([labels, labels[:1]])):
        with pytest.raises(
            PackedImagesError, match=r"other images than the 7 packed ones.*preprocess with the same --env and"
        ):
            check_labels(others, manifest)
    for column in ("image_id", "split", "class"):
        with pytest.raises(PackedImagesError, match="other images than the 7 packed ones"):
            check_labels(labels.rename(columns={column: "another"}), manifest)


def test_duplicates_are_listed_and_the_leak_is_marked(manifest):
    duplicates = list_duplicates(manifest, INDEX)
    assert duplicates.columns.tolist() == ["image_id", "split", "group", "removed"]
    assert duplicates.to_numpy().tolist() == [
        ["a", "train", 1, 0],
        ["twin", "train", 1, 0],
        ["d", "valid", 2, 0],
        ["leak", "train", 2, 1],
    ]


def test_without_duplicates_the_list_has_a_head_alone():
    assert list_duplicates(manifest_of(INDEX), INDEX).to_csv(index=False) == "image_id,split,group,removed\n"


def test_without_a_choice_there_is_one_class(manifest):
    labels = label_images(manifest, INDEX.drop(columns=["Male", "Smiling", "label"]), [])
    assert labels.columns.tolist() == ["image_id", "split", "class"]
    assert labels["class"].tolist() == [0] * 7
    assert class_names([]) == ["all"]
    assert count_classes(labels, []).to_dict("records") == [
        {"class": 0, "name": "all", "train": 5, "valid": 1, "test": 1}
    ]


CATALOG = yaml.safe_load((Path(__file__).parents[2] / "conf/base/catalog.yml").read_text())["classes"]
SAVE, LOAD = CATALOG["save_args"], CATALOG["load_args"]
folders = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(folders, min_size=1, max_size=6, unique=True),
    attribute=folders.filter(lambda name: name not in {"image_id", "split", "label", "class"}),
    order=st.permutations(["label", "attribute"]),
    data=st.data(),
)
def test_any_folder_name_makes_classes_that_can_be_counted_again(values, attribute, order, data):
    """Whatever the names, such as `a: {b}`, `null` or one with commas: they come back from the class numbers."""
    every = [(value, has, split) for value in values for has in (0, 1) for split in ("train", "valid")]
    more = data.draw(st.lists(st.sampled_from(every), max_size=10))
    rows = data.draw(st.permutations(every + more))
    index = pd.DataFrame(rows, columns=["label", attribute, "split"])
    index.insert(0, "image_id", [f"{number:03d}" for number in range(len(index))])
    condition_on = [attribute if name == "attribute" else name for name in order]
    labels = label_images(manifest_of(index), index, condition_on)

    choices = {"label": sorted(values), attribute: [f"not {attribute}", attribute]}
    names = [" + ".join(name) for name in product(*(choices[name] for name in condition_on))]
    assert class_names(condition_on, sorted(values)) == names
    for row in labels.to_dict("records"):
        own = {"label": row["label"], attribute: choices[attribute][row[attribute]]}
        assert names[row["class"]] == " + ".join(own[name] for name in condition_on)
    counted = count_classes(labels, condition_on)
    assert counted["name"].tolist() == names
    for split in ("train", "valid", "test"):
        expected = [((labels["class"] == number) & (labels["split"] == split)).sum() for number in range(len(names))]
        assert counted[split].tolist() == expected
    # as the catalog keeps it, and a reader finds it again
    again = pd.read_csv(io.StringIO(counted.to_csv(**SAVE)), **LOAD)
    pd.testing.assert_frame_equal(again, counted, check_dtype=False)


def test_attributes_are_all_columns_but_the_known_ones():
    assert attribute_names(INDEX.assign(**{"any: name": 1})) == ["Male", "Smiling", "any: name"]


def test_an_unknown_attribute_is_refused_with_near_matches(manifest):
    with pytest.raises(ValueError, match=r"'smilling'.*did you mean Smiling"):
        label_images(manifest, INDEX, ["smilling"])
    with pytest.raises(ValueError, match="the attributes are Male, Smiling"):
        label_images(manifest, INDEX, ["xyz"])
    with pytest.raises(
        ValueError, match=r"no table .*of 0 and 1\. Add or correct attributes\.csv .*, or leave it empty"
    ):
        label_images(manifest, INDEX.drop(columns=["Male", "Smiling"]), ["Male"])
    with pytest.raises(ValueError, match=r"no labels\. A folder of your own .*source\.labels=subfolders"):
        label_images(manifest, INDEX.drop(columns="label"), ["label"])
    with pytest.raises(ValueError, match="'identity'"):
        label_images(manifest, INDEX, ["identity"])


def test_an_attribute_is_not_lost_for_its_name(manifest):
    with pytest.raises(ValueError, match=r"attribute named class.*Rename it"):
        label_images(manifest, INDEX.assign(**{"class": 1}), [])


def test_empty_classes_are_refused_by_name_and_number(manifest):
    index = INDEX.assign(Smiling=(INDEX["image_id"] == "d").astype("int8"))  # smiling only outside of train
    with pytest.raises(
        ValueError,
        match=r"\['Smiling'\] makes 2 classes, 1 of them .* train split: Smiling \(valid 1, test 0\)\. .*5 to 5",
    ):
        label_images(manifest, index, ["Smiling"])
    index = INDEX.assign(label=np.where(INDEX["image_id"] == "e", "only in test", INDEX["label"]))
    with pytest.raises(ValueError, match=r"only in test \(valid 0, test 1\)\. The others have 2 to 3\."):
        label_images(manifest, index, ["label"])


def test_the_way_out_of_empty_classes_fits_the_names(manifest):
    index = INDEX.assign(Smiling=0, label=np.where(INDEX["image_id"] == "e", "only in test", INDEX["label"]))
    for condition_on, advice in {
        ("Smiling",): r"Choose another attribute, which some images of train have and others do not\.$",
        ("label",): r"Leave out such classes with --params preprocess\.min_class_images=1\.$",
        ("Male", "Smiling"): r"Remove one of the names, or leave out such classes with .*min_class_images=1\.$",
    }.items():
        with pytest.raises(LabelError, match=advice):
            without_rare_classes(index, condition_on, 0)
        with pytest.raises(LabelError, match=advice):
            label_images(manifest_of(index), index, condition_on)


def persons():
    """Person k has k photographs in train, and one each in valid and test."""
    rows = [
        (f"{person}/{split}{number}", split, f"person {person}", number % 2)
        for person in range(1, 6)
        for split, count in (("train", person), ("valid", 1), ("test", 1))
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["image_id", "split", "label", "Male"])


@pytest.mark.parametrize("fewest", [1, 3, 5])
def test_rare_classes_are_left_out_and_listed(fewest):
    index = persons()
    kept, left_out = without_rare_classes(index, ["label"], fewest)
    assert left_out.to_dict("list") == {
        "name": [f"person {person}" for person in range(1, fewest)],
        "train": list(range(1, fewest)),
        "valid": [1] * (fewest - 1),
        "test": [1] * (fewest - 1),
    }
    names = [f"person {person}" for person in range(fewest, 6)]
    assert kept["image_id"].tolist() == index.loc[index["label"].isin(names), "image_id"].tolist()
    labels = label_images(manifest_of(kept), kept, ["label"], min_class_images=fewest)
    assert [names[number] for number in labels["class"]] == labels["label"].tolist()
    counted = count_classes(labels, ["label"])
    assert counted[["class", "name", "train"]].to_numpy().tolist() == [
        [number, name, fewest + number] for number, name in enumerate(names)
    ]


def test_combinations_without_an_image_are_no_classes_once_rare_ones_are_left_out():
    index = persons()  # person 1 is never Male, and all in valid and test are not
    kept, left_out = without_rare_classes(index, ["label", "Male"], 2)
    assert left_out["name"].tolist() == [
        "person 1 + not Male", "person 2 + not Male", "person 2 + Male", "person 3 + Male"
    ]  # fmt: skip
    labels = label_images(manifest_of(kept), kept, ["label", "Male"], min_class_images=2)
    counted = count_classes(labels, ["label", "Male"])
    assert counted["name"].tolist() == [
        "person 3 + not Male", "person 4 + not Male", "person 4 + Male", "person 5 + not Male", "person 5 + Male"
    ]  # fmt: skip
    assert counted["train"].tolist() == [2, 2, 2, 3, 2]
    assert str(labels["class"].dtype) == "int16"


def test_with_zero_nothing_is_left_out_and_the_numbers_are_those_of_all_combinations(manifest):
    kept, left_out = without_rare_classes(INDEX, ["Male", "Smiling"], 0)
    assert kept.equals(INDEX)
    assert len(left_out) == 0
    every = label_images(manifest, INDEX, ["Male", "Smiling"])
    assert every["class"].tolist() == (2 * every["Male"] + every["Smiling"]).tolist()


def test_a_minimum_that_leaves_a_split_empty_is_refused():
    with pytest.raises(
        LabelError, match=r"5 of 5 classes and all images of train and valid and test\. The largest class has 5 images"
    ):
        without_rare_classes(persons(), ["label"], 6)
    few = persons()
    few = few[(few["split"] != "valid") | (few["label"] == "person 1")]
    with pytest.raises(LabelError, match="leaves out 1 of 5 classes and all images of valid"):
        without_rare_classes(few, ["label"], 2)


def test_more_classes_than_numbers_are_refused_before_they_are_made():
    index = INDEX.loc[np.zeros(20_000, int)].assign(
        image_id=[f"{number:05d}" for number in range(20_000)], label=[f"person {number}" for number in range(20_000)]
    )
    with pytest.raises(ValueError, match=r"makes 40,000 classes; 32,768 at most"):
        label_images(manifest_of(index), index, ["label", "Male"])


def test_labels_of_another_index_are_refused(manifest):
    swapped = INDEX.assign(split=INDEX["split"].replace({"valid": "test", "test": "valid"}))  # equal counts
    with pytest.raises(PackedImagesError, match=r"packed from another index.*preprocess with the same --env and"):
        label_images(manifest, swapped, [])


LEAKING = pd.DataFrame(
    [  # `Source` gives a capital letter the gray of the small one
        ("a", "train", "anna"), ("b", "train", "anna"), ("A", "valid", "anna"),
        ("c", "train", "bert"), ("C", "test", "bert"),
        ("d", "train", "carl"), ("e", "train", "carl"), ("g", "valid", "carl"), ("h", "test", "carl"),
    ],
    columns=["image_id", "split", "label"],
)  # fmt: skip


REPORT = SimpleNamespace(notes=[])


def preprocess(folder, fewest, saves=None):
    """Packs and labels as the stage does: the packed images, labels, classes, and classes left out.

    With `saves` packing is interrupted after so many, and nothing is labelled.
    """
    settings = PreprocessSettings(
        size=8, crop=16, workers=1, shard_images=2, condition_on=["label"], min_class_images=fewest
    )
    before = PackedImagesDataset(str(folder), missing_ok=True).load()
    rejected = pd.DataFrame(columns=["image_id", "reason"])
    dataset = PackedImagesDataset(str(folder))
    packing = nodes.pack_images(Source(), LEAKING, rejected, REPORT, settings, IngestSettings(), before)
    for part in islice(packing, saves):
        dataset.save(part)
    packing.close()
    if saves is not None:
        return None
    packed = dataset.load()
    return packed, *nodes.label_images(packed, LEAKING, settings)[:3]


@pytest.mark.parametrize(
    ("fewest", "names", "left_out"),
    [
        (1, ["anna", "carl"], [["bert", 0, 0, 1]]),
        (2, ["carl"], [["anna", 1, 1, 0], ["bert", 1, 0, 1]]),  # bert is rare before anything is decoded
    ],
)
def test_a_class_that_loses_its_training_images_as_duplicates_is_rare(tmp_path, caplog, fewest, names, left_out):
    packed, labels, classes, rare = preprocess(tmp_path, fewest)
    assert classes["name"].tolist() == names
    assert classes["train"].min() >= fewest
    assert rare.to_numpy().tolist() == left_out
    grays = [8 * ord(image_id) % 256 for image_id in labels["image_id"]]
    assert packed.gather(range(len(packed)))[:, 0, 0, 0].tolist() == grays
    assert labels["label"].isin(names).all()
    caplog.set_level(logging.INFO)
    again, *tables = preprocess(tmp_path, fewest)
    assert "Reusing" in caplog.text
    assert again.manifest == packed.manifest
    assert tables[0].equals(labels)


@pytest.mark.parametrize("saves", range(1, 6))
def test_packing_a_second_time_can_be_interrupted(tmp_path, saves):
    expected, *_ = preprocess(tmp_path / "undisturbed", 2)
    preprocess(tmp_path / "interrupted", 2, saves)
    packed, *_ = preprocess(tmp_path / "interrupted", 2)
    assert packed.manifest == expected.manifest
    packed.verify()


def test_the_advice_for_a_class_without_training_images_is_followed_once(tmp_path):
    with pytest.raises(LabelError, match=r"bert \(valid 0, test 1\).*min_class_images=1\.$"):
        preprocess(tmp_path, 0)
    assert preprocess(tmp_path, 1)[2]["name"].tolist() == ["anna", "carl"]
    assert preprocess(tmp_path, 2)[2]["name"].tolist() == ["carl"]


def test_what_was_left_out_is_no_change_of_the_images(tmp_path):
    packed, labels, *_ = preprocess(tmp_path, 2)
    settings = PreprocessSettings(size=8, crop=16, shard_images=2, condition_on=["label"], min_class_images=2)
    assert nodes.packing_changes(packed.manifest, settings, LEAKING, labels) == []


@pytest.mark.parametrize(
    ("condition_on", "kind", "names", "message"),
    [
        ([], "class", ["not Hat", "Hat"], r"on the classes not Hat, Hat; these images have all\. Measure it on images"),
        (["Male"], "class", ["Male", "not Male"], "on the classes Male, not Male; these images have not Male, Male"),
        ([], "attributes", ["Hat", "Male"], "on the attributes Hat, Male; these images have Male, Smiling"),
    ],
)
def test_other_labels_than_the_generator_was_trained_on(manifest, condition_on, kind, names, message):
    """The settings of training, which such a run does not have, are not named."""
    labels = label_images(manifest, INDEX, condition_on)
    with pytest.raises(LabelError, match=message) as caught:
        labels_as_named(labels, count_classes(labels, condition_on), kind, names)
    assert "train." not in str(caught.value)
    assert "that it was trained on, with the --env, dataset" in str(caught.value)


def test_labels_are_in_the_order_of_the_generator(manifest):
    labels = label_images(manifest, INDEX, ["Male"])
    classes = count_classes(labels, ["Male"])
    assert labels_as_named(labels, classes, "class", ["not Male", "Male"]).tolist() == labels["Male"].tolist()
    expected = labels[["Smiling", "Male"]].to_numpy().tolist()
    assert labels_as_named(labels, classes, "attributes", ["Smiling", "Male"]).tolist() == expected


def test_a_generator_with_attributes_where_the_images_have_none(manifest):
    labels = label_images(manifest, INDEX.drop(columns=["Male", "Smiling"]), [])
    with pytest.raises(LabelError, match="on the attributes Hat; these images have none"):
        labels_as_named(labels, count_classes(labels, []), "attributes", ["Hat"])


@pytest.mark.parametrize("others", [[], ["Male", "Smiling"]])
def test_a_column_that_was_left_out_is_named_with_its_cell(tmp_path, others):
    (tmp_path / "attributes.csv").write_text("image_id,smile\na,0\nb,1\nc,2\nd,0\n")
    _, notes = read_custom_attributes(tmp_path / "attributes.csv")
    index = INDEX[["image_id", "split", *others]]
    said = r"names 'smile', a column that was left out.*'smile' \(line 4 has '2'\).*Correct its cells"
    with pytest.raises(LabelError, match=rf"preprocess\.condition_on {said}"):
        without_rare_classes(index, ["smile"], 0, notes=notes)
    with pytest.raises(LabelError, match=rf"train\.condition\.attributes {said}"):
        name_labels(index, pd.DataFrame({"name": ["all"]}), "attributes", ["smile"], notes)
    with pytest.raises(LabelError, match=r"names 'frown', (which is not an attribute|but these images have no)"):
        without_rare_classes(index, ["frown"], 0, notes=notes)


def test_packing_knows_what_was_left_out():
    report = SimpleNamespace(notes=["attributes.csv: ignoring columns that are not binary: 'smile' (line 4 has '2')."])
    settings = PreprocessSettings(condition_on=["smile"])
    packing = nodes.pack_images(Source(), LEAKING, pd.DataFrame(), report, settings, IngestSettings(), None)
    with pytest.raises(LabelError, match=r"'smile', a column that was left out\. attributes\.csv: .*line 4 has '2'"):
        next(packing)
