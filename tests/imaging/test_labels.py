import io

import pandas as pd
import pytest
from PIL import Image

from celeba_gan.imaging.config import PreprocessSettings
from celeba_gan.imaging.labels import class_names, label_images
from celeba_gan.imaging.packed import PackedImagesError
from celeba_gan.imaging.packing import pack_images


class Source:
    def read(self, image_id):
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, "JPEG")
        return b"" if image_id == "unreadable" else file.getvalue()

    def fingerprint(self, image_ids):
        return ["same"] * len(image_ids)


INDEX = pd.DataFrame(
    [
        ("e", "test", 0, 1),
        ("c", "train", 1, 1),
        ("unreadable", "train", 1, 0),
        ("a", "train", 0, 0),
        ("d", "valid", 1, 0),
        ("b", "train", 0, 1),
        ("f", "train", 1, 0),
    ],
    columns=["image_id", "split", "Male", "Smiling"],
).assign(width=16, height=16, identity=3)


@pytest.fixture(scope="module")
def manifest():
    *_, manifest = pack_images(Source(), INDEX, PreprocessSettings(size=8, crop=16, workers=1), None)
    return manifest


def test_row_i_describes_packed_image_i(manifest):
    labels = label_images(manifest, INDEX, ["Male", "Smiling"])
    assert labels.columns.tolist() == ["image_id", "split", "Male", "Smiling", "class"]
    assert labels["image_id"].tolist() == ["a", "b", "c", "f", "d", "e"]
    assert labels.index.tolist() == list(range(6))
    for split, (start, stop) in manifest.splits.items():
        assert set(labels["split"][start:stop]) == {split}
    assert str(labels["class"].dtype) == "int16"
    names = class_names(["Male", "Smiling"])
    assert [names[number] for number in labels["class"]] == [
        " + ".join(name if has else f"not {name}" for name, has in (("Male", male), ("Smiling", smiling)))
        for male, smiling in labels[["Male", "Smiling"]].itertuples(index=False)
    ]


def test_without_a_choice_there_is_one_class(manifest):
    labels = label_images(manifest, INDEX, [])
    assert labels["class"].tolist() == [0] * 6
    assert class_names([]) == ["all"]


def test_an_unknown_attribute_is_refused_with_near_matches(manifest):
    with pytest.raises(ValueError, match=r"'smilling'.*did you mean Smiling"):
        label_images(manifest, INDEX, ["smilling"])
    with pytest.raises(ValueError, match="the attributes are Male, Smiling"):
        label_images(manifest, INDEX, ["xyz"])
    with pytest.raises(ValueError, match=r"add list_attr_celeba\.txt"):
        label_images(manifest, INDEX.drop(columns=["Male", "Smiling"]), ["Male"])


def test_an_empty_class_is_refused_by_name(manifest):
    index = INDEX.assign(Smiling=(INDEX["image_id"] == "d").astype("int8"))  # smiling only outside of train
    with pytest.raises(ValueError, match=r"\['Smiling'\].*without a single image in the train split: Smiling\."):
        label_images(manifest, index, ["Smiling"])


def test_labels_of_another_index_are_refused(manifest):
    swapped = INDEX.assign(split=INDEX["split"].replace({"valid": "test", "test": "valid"}))  # equal counts
    with pytest.raises(PackedImagesError, match="packed from another index"):
        label_images(manifest, swapped, [])
