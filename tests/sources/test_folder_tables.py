"""Tables that other programs keep beside images, in a folder and in a zip."""

import io
import json
import zipfile

import pytest
from PIL import Image

from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.index import build_index

SETTINGS = IngestSettings(max_rejected_fraction=1.0)


def picture():
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (9, 100, 50)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(params=["folder", "zip"])
def source_of(request, tmp_path):
    """Writes images and tables, and opens them as a folder and as a zip."""

    def write(images, tables, **options):
        content = dict.fromkeys(images, picture()) | {name: text.encode() for name, text in tables.items()}
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
                for name, data in content.items():
                    archive.writestr(name, data)
            return ImageFolder(tmp_path / "faces.zip", **options)
        for name, data in content.items():
            (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "faces" / name).write_bytes(data)
        return ImageFolder(tmp_path / "faces", **options)

    return write


def column(source, name):
    images = build_index(source, SETTINGS).images
    return dict(zip(images["image_id"], images[name], strict=True))


SHARDS = [f"{number // 1000:05d}/img{number:08d}.png" for number in (0, 1, 999, 1000, 1001, 2000)]
CLASSES = dict(zip(SHARDS, (5, 0, 5, 12, 0, 12), strict=True))


@pytest.mark.parametrize("top", ["", "ffhq/"])
def test_stylegans_labels_are_read(source_of, top):
    images = {f"{top}{name}": str(number) for name, number in CLASSES.items()}
    source = source_of(images, {f"{top}dataset.json": json.dumps({"labels": list(map(list, CLASSES.items()))})})
    assert column(source, "label") == images
    assert source.notes() == []


@pytest.mark.parametrize(("labels", "why"), [(None, "it has no labels (null)"), ([], "its list of labels is empty")])
def test_stylegans_missing_labels_give_none_and_are_mentioned(source_of, labels, why):
    source = source_of(SHARDS, {"dataset.json": json.dumps({"labels": labels})})
    index = build_index(source, SETTINGS)
    assert "label" not in index.images
    assert len(index.images) == len(SHARDS)
    assert index.report.notes == [f"dataset.json has no column that can be used: {why}."]


def test_stylegans_vectors_are_not_taken_for_classes(source_of):
    labels = [[name, [0.5, 1.0]] for name in SHARDS]
    index = build_index(source_of(SHARDS, {"dataset.json": json.dumps({"labels": labels})}), SETTINGS)
    assert "label" not in index.images
    assert "of the type list, not class numbers" in index.report.notes[0]


def test_stylegans_labels_must_be_complete_and_agree(source_of):
    some = [[name, None if number else 5] for number, name in enumerate(SHARDS)]
    with pytest.raises(SourceError, match="class numbers for 1 of 6 images, but None for"):
        column(source_of(SHARDS, {"dataset.json": json.dumps({"labels": some})}), "label")
    twice = [[name, 5] for name in SHARDS] + [[SHARDS[0], 4]]
    with pytest.raises(SourceError, match=r"two labels for '00000/img00000000\.png'"):
        column(source_of(SHARDS, {"dataset.json": json.dumps({"labels": twice})}), "label")


@pytest.mark.parametrize("names", [SHARDS, ["00000/00000.png", "00000/00999.png", "01000/01000.png"], SHARDS[:3]])
def test_numbers_of_shards_are_not_taken_for_classes(source_of, names):
    with pytest.raises(SourceError, match=r"not classes: they hold a thousand images each.*Leave out source\.labels$"):
        build_index(source_of(names, {}, labels="subfolders"), SETTINGS)
    labels = json.dumps({"labels": [[name, 1] for name in names]})
    with pytest.raises(SourceError, match=r"Leave out source\.labels; the labels are read from dataset\.json"):
        build_index(source_of(names, {"dataset.json": labels}, labels="subfolders"), SETTINGS)


def test_numbered_folders_that_hold_other_images_are_classes(source_of):
    names = ["00001/1.png", "00001/2.png", "00002/1.png"]
    assert set(column(source_of(names, {}, labels="subfolders"), "label").values()) == {"00001", "00002"}


IMAGES = [f"{number}.png" for number in range(6)]


@pytest.mark.parametrize("folder", ["", "faces/"])
def test_hugging_faces_metadata_is_read(source_of, folder):
    images = [folder + name for name in IMAGES]
    labels = dict(zip(images, "abcabc", strict=True))
    rows = [{"file_name": name, "label": label, "hat": label == "a", "text": "a, b"} for name, label in
            zip(IMAGES, "abcabc", strict=True)]  # fmt: skip
    source = source_of(images, {f"{folder}metadata.jsonl": "\n".join(map(json.dumps, rows)) + "\n"})
    assert column(source, "label") == labels
    assert column(source, "hat") == {name: int(label == "a") for name, label in labels.items()}
    assert "'text'" in build_index(source, SETTINGS).report.notes[0]
    table = "file_name,label\n" + "".join(f"{row['file_name']},{row['label']}x\n" for row in rows)
    source = source_of(images, {f"{folder}metadata.csv": table})  # before metadata.jsonl
    assert column(source, "label") == {name: f"{label}x" for name, label in labels.items()}


def test_hugging_faces_metadata_may_be_in_every_folder(source_of):
    tables = {
        f"{split}/metadata.csv": f"file_name,label\n1.png,{split}-1\n2.png,{split}-2\n"
        for split in ("train", "validation", "test")
    }
    images = [f"{split}/{n}.png" for split in ("train", "validation", "test") for n in (1, 2)]
    source = source_of(images, tables)
    assert column(source, "label") == {name: f"{name.split('/')[0]}-{name.split('/')[1][0]}" for name in images}
    assert column(source, "split")["validation/2.png"] == "valid"
    tables["test/metadata.csv"] = "file_name,kind\n1.png,x\n"
    with pytest.raises(SourceError, match=r"train/metadata\.csv in .*\(label\) than test/metadata\.csv \(none\)"):
        build_index(source_of(images, tables), SETTINGS)


@pytest.mark.parametrize("top", ["", "faces/"])
@pytest.mark.parametrize("file", ["attributes.csv", "metadata.csv", "metadata.jsonl", "dataset.json"])
@pytest.mark.parametrize("written", ["a/", "{split}/a/"])
def test_tables_in_the_folders_of_splits_name_the_images_below_them(source_of, top, file, written):
    """As Hugging Face lays out splits with folders in them."""
    labels, tables = {}, {}
    for number, split in enumerate(("train", "validation", "test")):
        rows = {f"{written.format(split=split)}{n}.png": 10 * number + n for n in (1, 2)}
        labels |= {f"{top}{split}/a/{n}.png": str(10 * number + n) for n in (1, 2)}
        tables[f"{top}{split}/{file}"] = {
            ".csv": "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows.items()),
            ".jsonl": "".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in rows.items()),
            ".json": json.dumps({"labels": list(map(list, rows.items()))}),
        }[file[file.index(".") :]]
    source = source_of(labels, tables)
    index = build_index(source, SETTINGS)
    assert dict(zip(index.images["image_id"], index.images["label"], strict=True)) == labels
    assert column(source, "split")[f"{top}validation/a/2.png"] == "valid"
    assert index.report.notes == []
    assert index.report.ignored_files == {}


def test_two_tables_that_differ_about_an_image_are_refused(source_of):
    images = ["train/1.png", "test/2.png", "val/3.png"]
    tables = {
        "train/metadata.csv": "file_name,label\n1.png,a\ntest/2.png,a\n",
        "test/metadata.csv": "file_name,label\n2.png,b\n",
    }
    with pytest.raises(
        SourceError, match=r"test/metadata\.csv and train/metadata\.csv.* two rows for 'test/2\.png' dif"
    ):
        build_index(source_of(images, tables), SETTINGS)


def test_tables_in_folders_of_some_images_are_named_once(source_of):
    images = [f"{kind}/x/{n}.png" for kind in ("a", "b") for n in range(3)]
    table = "file_name,label\nx/0.png,1\nx/1.png,1\n"
    about_one = {name.replace("png", "json"): "{}" for name in images}
    tables = {f"{kind}/attributes.csv": table for kind in "ab"} | about_one
    source = source_of(images, tables)
    (note,) = source.notes()
    assert note.startswith(
        "a/attributes.csv (and 1 more of this name below other folders) is not read; it looks like a table with the "
        "columns file_name, label; 'file_name' names the images. To use it, save it in "
    )
    many = {f"a/x/table{number:02d}.csv": table for number in range(30)}
    notes = source_of(images, tables | many).notes()
    assert [note.split()[0] for note in notes] == ["a/attributes.csv", *sorted(many)[:19], "11"]
    assert notes[-1] == "11 more files that may be tables, in folders of images, are not read."


@pytest.mark.parametrize("top", ["", "faces/"])
def test_numbers_of_rows_are_not_taken_for_numbered_images(source_of, top):
    """Row 0 is about 5.png, not about 0.png."""
    rows = [f"{number},{5 - number}.png,{int(number < 3)}" for number in range(6)]
    for header in ("id,img,smile", ",img,smile"):
        source = source_of([top + name for name in IMAGES], {f"{top}attributes.csv": "\n".join([header, *rows])})
        assert column(source, "smile") == {f"{top}{number}.png": int(number > 2) for number in range(6)}
        assert source.notes() == []


def test_blanks_at_the_ends_of_file_names_are_part_of_them(source_of):
    images = [" 0.png", "1 .png", "2.png ", "a /3.png"]
    labels = dict(zip(images, "abcd", strict=True))
    table = "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items())
    assert column(source_of(images, {"attributes.csv": table}), "label") == labels


def test_blanks_at_the_ends_of_file_names_are_part_of_them_in_json_lines(source_of):
    images = [" 0.png", "2.png ", "3.png"]
    lines = "".join(json.dumps({"file_name": name, "label": str(number)}) + "\n" for number, name in enumerate(images))
    assert column(source_of(images, {"metadata.jsonl": lines}), "label") == {" 0.png": "0", "2.png ": "1", "3.png": "2"}


def test_captions_alone_reject_no_image(source_of):
    index = build_index(source_of(IMAGES, {"metadata.csv": "file_name,text\n0.png,one cat\n"}), SETTINGS)
    assert len(index.images) == len(IMAGES)
    assert "metadata.csv has no column that can be used" in index.report.notes[0]


@pytest.mark.parametrize("line", ["{", "[]", '{"label": 1}', "\xff"])
def test_a_damaged_line_is_named(source_of, line):
    text = '{"file_name": "0.png", "label": 1}\n' + line
    with pytest.raises(SourceError, match=r"metadata\.jsonl in .*line 2"):
        build_index(source_of(IMAGES, {"metadata.jsonl": text}), SETTINGS)


@pytest.mark.parametrize(
    ("name", "text", "looks"),
    [
        ("labels.csv", "id,breed\n0,pug\n1,chow\n", "columns id, breed; 'id' names the images"),
        ("labels.tsv", "file\tclass\n0.png\t1\n", "columns file, class; 'file' names the images"),
        ("train.txt", "path n\n0.png 1\n1.png 2\n", "columns path, n; 'path' names the images"),
        ("prices.csv", "day,price\n1.1.,200\n", "a table with the columns day, price."),
        ("coco.json", '{"images": []}', """JSON that begins with '{"images": []}'"""),
        ("dataset.json", '{"name": "flowers"}', """JSON that begins with '{"name"""),
        ("labels.parquet", "PAR1", "a parquet file"),
    ],
)
@pytest.mark.parametrize("folder", ["", "images/train/"])
def test_any_other_table_is_named_with_what_to_do(source_of, name, text, looks, folder):
    index = build_index(source_of([folder + image for image in IMAGES], {name: text}), SETTINGS)
    (note,) = index.report.notes
    assert note.startswith(f"{name} is not read; it looks like")
    assert looks in note
    assert "as attributes.csv" in note


def test_texts_that_are_no_tables_are_not_mentioned_and_of_two_tables_one_is_read(source_of):
    tables = {
        "LICENSE.txt": "Free for all.\nReally, yes.\n",
        "blank.csv": "\n \n\n",
        "attributes.csv": "file,Hat\n" + "0.png,1\n" * 3,
    }
    source = source_of(IMAGES, tables | {"metadata.csv": "file_name,label\n0.png,a\n"})
    (note,) = source.notes()
    assert note.startswith("metadata.csv is not read; ")
    assert note.endswith("Only attributes.csv is: add what you need of it there.")


def test_a_table_beside_the_folder_or_zip_itself_is_named_if_it_is_of_these_images(source_of, tmp_path):
    (tmp_path / "labels.csv").write_text("id,breed\n0,pug\n1,chow\n")
    (tmp_path / "prices.csv").write_text("day,price\n1.1.,200\n")
    source = source_of(IMAGES, {})
    (note,) = source.notes()
    assert note.startswith(f"{tmp_path / 'labels.csv'} is not read; it looks like a table with the columns id, breed;")
    assert f"in {source.path}" in note or "in the zip" in note


def test_a_table_that_would_replace_another_says_so(source_of):
    labels = json.dumps({"labels": list(map(list, CLASSES.items()))})
    source = source_of(SHARDS, {"dataset.json": labels, "labels.csv": "id,breed\nimg00000000,pug\n"})
    (note,) = source.notes()
    assert "To use it in place of dataset.json, save it" in note
