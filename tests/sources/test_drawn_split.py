"""A drawn split is stable: an image keeps its side when others come and go."""

import pandas as pd
import pytest
from pydantic import ValidationError

from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.drawn_split import draw_missing_splits

SETTINGS = IngestSettings()


def table(names, **columns):
    return pd.DataFrame({"image_id": list(names), "split": "train", **columns})


def drawn(images, settings=SETTINGS):
    return dict(zip(images["image_id"], draw_missing_splits(images, settings), strict=True))


def sizes(splits):
    return pd.Series(splits).value_counts().reindex(["train", "valid", "test"], fill_value=0).tolist()


NAMES = [f"{folder}/{number}.jpg" for number in range(600) for folder in ("anna", "ben")]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_no_image_changes_its_side_when_others_come_or_go(share):
    settings = IngestSettings(valid_share=share)
    whole = drawn(table(NAMES), settings)
    for part in (NAMES[:1080], NAMES[100:], NAMES[::-2]):
        assert drawn(table(part), settings) == {name: whole[name] for name in part}


def test_a_split_has_about_its_share_and_a_larger_share_only_takes_from_train():
    before = {}
    for share in (0.05, 0.1, 0.2, 0.4):
        splits = drawn(table(NAMES), IngestSettings(valid_share=share))
        _, valid, test = sizes(splits)
        assert valid == pytest.approx(share * len(NAMES), rel=0.25)
        assert test == pytest.approx(share * len(NAMES), rel=0.25)
        assert all(splits[name] == split for name, split in before.items() if split != "train")
        before = splits


def test_all_images_of_a_person_are_on_one_side_which_is_stable():
    images = table(NAMES, identity=[number % 90 for number in range(len(NAMES))])
    splits = drawn(images)
    assert images.assign(split=images["image_id"].map(splits)).groupby("identity")["split"].nunique().eq(1).all()
    assert min(sizes(splits)) > 0
    fewer = images[images["identity"] != 7]
    assert drawn(fewer) == {name: splits[name] for name in fewer["image_id"]}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("count", [3, 5, 6, 12])
def test_no_split_of_a_small_folder_is_empty(count, seed):
    train, valid, test = sizes(drawn(table(NAMES[:count]), IngestSettings(seed=seed)))
    least = min(2, count // 3)
    assert valid >= least
    assert test >= least
    assert train >= 1


def test_images_that_small_splits_or_labels_take_are_named_as_exceptions(caplog):
    drawn(table(NAMES), SETTINGS)
    assert "can change when images are added" not in caplog.text
    names = [name for name, split in drawn(table(NAMES)).items() if split == "train"][:12]
    drawn(table(names))
    assert "4 images: not split by name alone" in caplog.text


@pytest.mark.parametrize("seed", range(5))
def test_every_label_keeps_an_image_in_train(seed):
    """Persons of one or two photographs, among those of many."""
    names = [f"{person}/{number}.jpg" for person in range(200) for number in range(1 + person % 3)]
    labels = [name.split("/")[0] for name in names]
    images = table(names, label=labels)
    settings = IngestSettings(seed=seed)
    splits = drawn(images, settings)
    in_train = {name.split("/")[0] for name, split in splits.items() if split == "train"}
    assert in_train == set(labels)
    plain = drawn(table(names), settings)
    assert all(splits[name] in (plain[name], "train") for name in names)  # nobody is held out for it
    assert min(sizes(splits)) > len(names) * 0.04


def test_labels_of_one_image_each_are_split_by_name():
    images = table(NAMES, label=NAMES)
    assert drawn(images) == drawn(table(NAMES))


def test_a_name_as_macos_writes_it_has_the_same_side():
    composed, decomposed = "M\u00fcller/{}.jpg", "Mu\u0308ller/{}.jpg"
    splits = [draw_missing_splits(table([name.format(n) for n in range(50)]), SETTINGS).tolist()
              for name in (composed, decomposed)]  # fmt: skip
    assert splits[0] == splits[1]


def test_given_splits_are_kept_and_only_a_missing_one_is_drawn():
    images = table(NAMES).assign(split=["test" if number % 4 == 0 else "train" for number in range(len(NAMES))])
    splits = draw_missing_splits(images, SETTINGS)
    assert (splits[images["split"] == "test"] == "test").all()
    assert (splits[images["split"] == "train"] != "test").all()
    assert (splits == "valid").sum() == pytest.approx(90, rel=0.3)


def test_the_former_limit_is_refused_with_the_present_name():
    with pytest.raises(ValidationError, match="valid_images is now called valid_share"):
        IngestSettings(valid_images=2000)
