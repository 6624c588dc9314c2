"""A sentence for what is unusual, and none for what is not."""

import copy
from math import sqrt

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from celeba_gan.reporting.data.data_report import DataReport
from celeba_gan.reporting.data.findings import NOTHING, find_peculiarities

SPLITS = ("train", "valid", "test")
TOTAL = {"train": 160_000, "valid": 20_000, "test": 20_000, "all": 200_000}


def attribute(share, published=None, **of_split):
    shares = {**dict.fromkeys((*SPLITS, "all"), share), **of_split}
    return {"images": {split: round(shares[split] * TOTAL[split]) for split in TOTAL},
            "share": shares, "published": published}  # fmt: skip


def quiet():
    """The whole CelebA, as it should be, in JSON."""
    return {
        "findings": [],
        "source": {"source": "CelebA", "kind": "celeba", "files": [], "ignored_files": {}, "notes": []},
        "images": {"found": 200_000, "indexed": TOTAL, "packed": TOTAL, "persons": None},
        "left_out": {"rejected": {}, "unreadable": {}, "unusable": 0, "share": 0.0, "largest_share": 0.01, "leaks": 0},
        "duplicates": {"photographs": 0, "groups": 0, "first_groups": []},
        "sizes": {
            "distinct": 1,
            "smallest": [178, 218],
            "largest": [178, 218],
            "most_common": [{"width": 178, "height": 218, "photographs": 200_000}],
        },
        "recipe": {
            "crop": 178,
            "size": 64,
            "filter": "box",
            "background": "#ffffff",
            "decoder": 2,
            "pillow": "12",
        },
        "pixels": {"mean": [9.0] * 3, "deviation": [9.0] * 3, "gray_images": 90},
        "classes": classes(1, 0),
        "attributes": {"Male": attribute(0.417, 0.417), "Bald": attribute(0.022, 0.022)},
        "labels": {},
    }


def changed(*changes):
    report = copy.deepcopy(quiet())
    for path, value in changes:
        *parents, last = path.split(".")
        place = report
        for name in parents:
            place = place[name]
        place[last] = value
    return DataReport.from_json(report, "a test")


def sizes(distinct, first, photographs, smallest=(90, 100), largest=(900, 800)):
    common = [{"width": first[0], "height": first[1], "photographs": photographs}]
    return {"distinct": distinct, "smallest": list(smallest), "largest": list(largest), "most_common": common}


def packed(train):
    return {**TOTAL, "train": train, "all": train + 40_000}


def left_out(unusable, share, limit=0.01, **more):
    return {"rejected": {"empty file": unusable}, "unreadable": {}, "unusable": unusable, "share": share,
            "largest_share": limit, "leaks": 0, **more}  # fmt: skip


def classes(number, few):
    smallest = [
        {"class": 0, "name": f"c{train}", "train": train, "valid": 1, "test": 1}
        for train in range(50, 50 + min(number, 100))
    ]
    return {"condition_on": [], "number": number, "with_few_images": few, "smallest": smallest}


HALF = ("sizes", sizes(1, (89, 109), 200_000, (89, 109), (89, 109)))
MANY = ("sizes", sizes(5000, (400, 300), 1000))
ALMOST_ONE = ("sizes", sizes(3, (178, 218), 190_000))
FOLDER = ("source.kind", "folder")
DUPLICATES = ("duplicates", {"photographs": 34, "groups": 17, "first_groups": []})
WHOLE_FILE = {"name": "list_attr_celeba.txt", "verdict": "official (md5 verified)", "rows": 9, "rows_without_image": 0}
OTHER_FILE = WHOLE_FILE | {"verdict": "not the official file (md5 0)"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], None),
        ([("source.files", [OTHER_FILE])], "list_attr_celeba.txt is not the file that CelebA's authors publish"),
        ([("source.notes", ["attributes.csv: age is left out."])], "attributes.csv: age is left out."),
        ([("images.packed.test", 99)], "only 99"),
        ([("sizes", sizes(1, (256, 256), 200_000))], "The photographs are 256x256, while CelebA's are 178x218."),
        ([FOLDER, ("sizes", sizes(1, (256, 256), 200_000))], None),
        ([("source.files", [WHOLE_FILE])], None),
        ([("left_out", left_out(1200, 0.006))], "1,200 of 200,000 photographs (0.60%) cannot be used, near the "),
        ([("left_out", left_out(800, 0.004))], None),
        ([("left_out", left_out(0, 0.0, limit=0.0))], None),
        ([DUPLICATES], "in 17 groups; none of train is in valid or test"),
        ([DUPLICATES, ("left_out.leaks", 5)], "17 groups; 5 of train were"),
        ([HALF, ("recipe.crop", 89)], "89x109, half of CelebA's 178x218; crop 89 keeps what 178 keeps at full size"),
        ([HALF, ("recipe.crop", 64)], "a crop of 89 would keep what 178 keeps at full size, 64 keeps less"),
        ([HALF, ("recipe.crop", "none")], "all of their width is kept"),
        ([HALF, FOLDER], None),
        ([MANY], "5,000 sizes from 90x100 to 900x800, while CelebA's aligned ones are all 178x218"),
        ([MANY, ("recipe.crop", "none")], "the originals from the wild"),
        ([MANY, FOLDER], "a crop of 178 pixels shows more of small ones than of large ones. preprocess.crop=none"),
        ([MANY, FOLDER, ("recipe.crop", "none")], None),
        ([ALMOST_ONE], None),
        ([("images.packed", packed(999))], "with fewer than about 1,000"),
        ([("images.packed", packed(1000))], None),
        ([("classes", classes(200, 50))], "50 of 200 classes have fewer than 100 training images"),
        ([("classes", classes(200, 50))], "c50 (50), c51 (51), c52 (52), c53 (53), c54 (54), c55 (55), c56 (56), "
         "c57 (57), 42 more."),
        ([("classes", classes(2, 2))], "2 of 2 classes have fewer than 100 training images, too few to learn much of: "
         "c50 (50), c51 (51)."),
        ([("classes", classes(2, 0))], None),
        ([("pixels.deviation", [0.0, 0.0, 0.0]), ("pixels.mean", [0.2, 0.0, 0.0])],
         "160,000 training images are all alike: their pixels differ by less than 1 of 255, and are (0, 0, 0) in RGB"),
        ([("pixels.deviation", [0.2, 0.9, 1.1])], None),
        ([("pixels.gray_images", 155_000)], "155,000 of 160,000 training images are gray; "),
        ([("pixels.gray_images", 20_000)], "20,000 of 160,000 training images are gray, "),
        ([("pixels.gray_images", 10_000)], None),
        ([("attributes.Male", attribute(0.45, 0.417))], "1 of 2 attributes are not as frequent as in all of CelebA"),
        ([("attributes.Male", attribute(0.45, 0.417))], "Male 45.0% instead of 41.7%."),
        ([("attributes.Male", attribute(0.45, 0.417)), FOLDER], None),
        ([("attributes.Male", attribute(0.45, 0.417)), ("source.kind", "synthetic")], None),
        ([("attributes.Hat", attribute(0.9))], None),  # nothing is published of it
        ([("attributes.Male", attribute(0.417, 0.417, test=0.387))], "test and train differ in 1 of 2 attributes"),
        ([("attributes.Male", attribute(0.417, 0.417, valid=0.45))], "of valid): Male 45.0% and 41.7%."),
        ([("attributes.Male", attribute(0.417, 0.417, valid=0.43))], None),  # beyond chance, but of no account
        ([("attributes.Male", attribute(0.417, None, test=0.2)), FOLDER], "test and train differ"),
    ],
    ids=str,
)  # fmt: skip
def test_each_peculiarity_has_its_sentence_and_nothing_else_has(changes, words):
    findings = find_peculiarities(changed(*changes))
    if words is None:
        assert findings == [NOTHING]
    else:
        (finding,) = findings
        assert words in finding
        assert finding.endswith(".")


def test_columns_with_0_and_1_exchanged_are_recognised():
    report = changed(("attributes.Male", attribute(0.583, 0.417)), ("attributes.Bald", attribute(0.5, 0.022)))
    first, second = find_peculiarities(report)
    assert "2 of 2 attributes" in first
    assert "Bald 50.0% instead of 2.2%, Male 58.3% instead of 41.7%" in first  # the largest difference first
    assert second.startswith("With 0 and 1 ")
    assert second.endswith("as frequent as in CelebA: Male.")


def test_of_many_differences_the_largest_are_named():
    named = {f"attributes.A{number:02d}": attribute(0.3 + number / 100, 0.2) for number in range(20)}
    (finding,) = find_peculiarities(changed(*named.items()))
    assert "A19 49.0% instead of 20.0%, A18" in finding
    assert finding.endswith("A12 42.0% instead of 20.0%, 12 more.")


@given(
    images=st.integers(20, 300_000),
    persons=st.one_of(st.none(), st.integers(2, 20_000)),
    published=st.floats(0, 1),
    here=st.floats(0, 1),
)
@example(images=200_000, persons=None, published=0.5, here=0.5201)
@example(images=200_000, persons=None, published=0.5, here=0.5199)
@example(images=200_000, persons=400, published=0.5, here=0.59)  # 4 standard errors of 400 persons are 10 points
def test_a_share_differs_beyond_two_points_and_four_standard_errors(images, persons, published, here):  # fmt: skip
    size = images if persons is None else persons
    bound = max(0.02, 4 * sqrt(published * (1 - published) / size))
    assume(abs(abs(here - published) - bound) > 1e-9)
    report = changed(
        ("attributes", {"Male": attribute(here, published)}),
        ("images.packed", {**TOTAL, "all": images}),
        ("images.persons", None if persons is None else {**TOTAL, "all": persons}),
    )
    found = any("in all of CelebA" in finding for finding in find_peculiarities(report))
    assert found == (abs(here - published) > bound)


@given(counts=st.lists(st.integers(0, 400), min_size=6, max_size=6))
def test_chance_alone_raises_no_finding_and_empty_splits_no_error(counts):
    """Shares no farther apart than 4 standard errors of their difference are never told."""
    train, valid, test = counts[0] + 1, counts[1], counts[2]
    having = [min(count, total) for count, total in zip(counts[3:], (train, valid, test), strict=True)]
    total = dict(zip((*SPLITS, "all"), (train, valid, test, train + valid + test), strict=True))
    shares = {split: number / total[split] if total[split] else None
              for split, number in zip((*SPLITS, "all"), (*having, sum(having)), strict=True)}  # fmt: skip
    report = changed(
        ("attributes", {"Male": {**attribute(0.0), "share": shares, "published": None}}), ("images.packed", total)
    )
    told = " ".join(find_peculiarities(report))
    for split, number in zip(SPLITS[1:], having[1:], strict=True):
        if total[split] == 0:
            expected = False
        else:
            pooled = (number + having[0]) / (total[split] + train)
            error = sqrt(pooled * (1 - pooled) * (1 / total[split] + 1 / train))
            difference = abs(number / total[split] - having[0] / train)
            if abs(difference - max(0.02, 4 * error)) < 1e-9:
                continue
            expected = difference > max(0.02, 4 * error)
        assert (f"{split} and train differ" in told) == expected
