import io
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.packing import pack_images
from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.sources.index import build_index
from celeba_gan.sources.source_report import FileReport

SETTINGS = IngestSettings(max_rejected_fraction=1.0)


def picture(kind="JPEG", size=(40, 30), colour=(9, 100, 50), **options):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **options)
    return file.getvalue()


def write(path, names, **content):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(picture())
    for name, data in content.items():
        (path / name.replace("__", ".")).write_text(data)
    return path


def index_of(source):
    return build_index(source, SETTINGS)


def column(index, name):
    return dict(zip(index.images["image_id"], index.images[name], strict=True))


def test_images_of_every_kind_in_every_folder_are_indexed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    files = {
        "a.jpg": picture(exif=exif.tobytes()),
        "b/c d.PNG": picture("PNG"),
        "b/e/f.webp": picture("WEBP"),
        "g.bmp": picture("BMP"),
        "h.tif": picture("TIFF"),
        "i.gif": picture("GIF"),
        "Grüße.jpeg": picture(),
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "phone.heic").write_bytes(b"x")
    (tmp_path / "broken.jpg").write_bytes(b"<html>gone</html>")
    (tmp_path / "readme.md").write_text("hello")
    source = ImageFolder(tmp_path)
    index = index_of(source)
    assert sorted(index.images["image_id"]) == sorted(files)
    assert source.describe().startswith("9 images in ")  # as many as the report found, also those of other formats
    assert column(index, "width")["a.jpg"] == 30  # upright
    assert column(index, "width")["g.bmp"] == 40
    assert index.images.columns.tolist() == ["image_id", "split", "width", "height"]
    reasons = dict(index.rejected.itertuples(index=False))
    assert "HEIC is not read" in reasons["phone.heic"]
    assert "a web page" in reasons["broken.jpg"]
    assert index.report.ignored_files == {".md": 1}
    assert (index.report.images_found, index.report.indexed, index.report.kind) == (9, 7, "folder")


@pytest.mark.parametrize("zipped", [False, True])
def test_images_without_a_known_suffix_are_indexed_described_and_packed(tmp_path, zipped):
    folder, source = tmp_path / "faces", tmp_path / "faces"
    names = ["1.jpg", "a.jpg?width=640", "photo", "sub/x.760", "sub/y"]
    rows = [f"{name},{n % 2},{('train', 'valid', 'test')[n % 3]}" for n, name in enumerate(names)]
    write(folder, names, attributes__csv="\n".join(["file,Old,split", *rows]))
    for n, name in enumerate(names):
        (folder / name).write_bytes(picture(size=(40 + n, 30), colour=(50 * (n % 4), 100, 50)))  # sub/y is as 1.jpg
    if zipped:
        source = Path(shutil.make_archive(str(folder), "zip", folder))
    source = ImageFolder(source)
    index = build_index(source, IngestSettings())
    assert index.images["image_id"].tolist() == names
    assert column(index, "Old") == {name: n % 2 for n, name in enumerate(names)}
    assert column(index, "width")["sub/x.760"] == 43
    assert index.report.ignored_files == {}
    *_, manifest = pack_images(source, index.images, PreprocessSettings(crop="none", size=8, workers=1), None)
    assert (manifest.count, manifest.unreadable) == (4, [])
    assert manifest.duplicates == [["1.jpg", "sub/y"]]
    assert [leak.image_id for leak in manifest.leaks] == ["1.jpg"]


def test_what_systems_make_is_reported_in_the_log(tmp_path, caplog):
    caplog.set_level("INFO")
    write(tmp_path, ["1.jpg", "2.jpg", "3.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/4.jpg"])
    index = index_of(ImageFolder(tmp_path))
    assert index.images["image_id"].tolist() == ["1.jpg", "2.jpg", "3.jpg"]
    assert "1 #recycle (recycle bin), 1 @eaDir (thumbnails)" in caplog.text
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (tmp_path / name).unlink()
    with pytest.raises(SourceError, match=r"No image in .*skipping what systems create .*1 @eaDir \(thumbnails\)"):
        ImageFolder(tmp_path).image_names  # noqa: B018


def test_a_zip_of_images_is_a_folder_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for name in ("faces/a.jpg", "faces/x/b.jpg", "faces/x/c.jpg"):
            archive.writestr(name, picture())
        archive.writestr("faces/attributes.csv", "image_id,Smiling\na.jpg,1\nx/b.jpg,0\nx/c.jpg,1\n")
    index = index_of(ImageFolder(tmp_path / "faces.zip"))
    assert column(index, "Smiling") == {"faces/a.jpg": 1, "faces/x/b.jpg": 0, "faces/x/c.jpg": 1}


def test_subfolders_are_labels_when_asked(tmp_path):
    write(tmp_path, ["cats/1.jpg", "cats/old/2.jpg", "dogs, big/1.jpg", "loose.jpg"])
    assert "label" not in index_of(ImageFolder(tmp_path)).images
    index = index_of(ImageFolder(tmp_path, labels="subfolders"))
    assert column(index, "label") == {"cats/1.jpg": "cats", "cats/old/2.jpg": "cats", "dogs, big/1.jpg": "dogs, big"}
    assert dict(index.rejected.itertuples(index=False)) == {"loose.jpg": "not in a subfolder that names its label"}


def test_labels_that_look_the_same_are_one(tmp_path):
    """As macOS and other systems write an accent: in two characters, or in one."""
    names = ["cafe\u0301/1.jpg", "caf\u00e9/2.jpg", "tea/3.jpg"]
    labels = dict(zip(names, ["caf\u00e9", "caf\u00e9", "tea"], strict=True))
    write(tmp_path, names)
    assert column(index_of(ImageFolder(tmp_path, labels="subfolders")), "label") == labels
    write(tmp_path, [], attributes__csv="file,label\n" + "".join(f"{name},{name.split('/')[0]}\n" for name in names))
    assert column(index_of(ImageFolder(tmp_path)), "label") == labels


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["a.jpg", "b.jpg"], "/"),
        (["cats/a.jpg", "cats/b.jpg"], "/cats/?"),
        (["train/a.jpg", "test/b.jpg"], "splits"),
    ],
)
def test_labels_of_images_in_one_folder_are_refused(tmp_path, names, where):
    with pytest.raises(SourceError, match=f"all images lie directly in .*{where}.*Put them into a subfolder for each"):
        index_of(ImageFolder(write(tmp_path, names), labels="subfolders"))


def test_subfolders_called_as_splits_are_the_splits(tmp_path):
    names = [
        f"pets/{split}/{kind}/{n}.jpg" for split in ("Train", "val", "test") for kind in ("a", "b") for n in (1, 2)
    ]
    index = index_of(ImageFolder(write(tmp_path, names), labels="subfolders"))
    assert column(index, "split") == {
        name: {"Train": "train", "val": "valid", "test": "test"}[name.split("/")[1]] for name in names
    }
    assert column(index, "label") == {name: name.split("/")[2] for name in names}


@pytest.mark.parametrize("stray", ["pets/overview.png", "pets/extra/a/3.jpg"])
@pytest.mark.parametrize("zipped", [False, True])
def test_images_beside_the_splits_are_rejected_and_the_splits_count(tmp_path, stray, zipped):
    names = [f"pets/{split}/{kind}/1.jpg" for split in ("train", "val", "test") for kind in ("a", "b")]
    write(tmp_path / "top", [*names, stray])
    source = Path(shutil.make_archive(str(tmp_path / "top"), "zip", tmp_path / "top")) if zipped else tmp_path / "top"
    index = index_of(ImageFolder(source, labels="subfolders"))
    split_of = {"train": "train", "val": "valid", "test": "test"}
    assert column(index, "split") == {name: split_of[name.split("/")[1]] for name in names}
    assert column(index, "label") == {name: name.split("/")[2] for name in names}
    ((name, reason),) = index.rejected.itertuples(index=False)
    assert name == stray
    assert reason.startswith("outside of the folders that are the splits: move it into one of them, or away")
    with pytest.raises(SourceError, match="For images beside the folders train, valid and test: move them into one"):
        build_index(ImageFolder(source), IngestSettings())


def test_splits_below_classes_are_none_and_it_is_said(tmp_path):
    names = [f"{kind}/{split}/{n}.jpg" for kind in ("cat", "dog") for split in ("train", "val") for n in (1, 2)]
    index = index_of(ImageFolder(write(tmp_path, names), labels="subfolders"))
    assert column(index, "label") == {name: name.split("/")[0] for name in names}
    (note,) = index.report.notes
    assert note.startswith("Folders called train and val were found below other folders, and are not splits: ")
    assert f"put them side by side at the top of {tmp_path}" in note


def test_a_class_of_trains_is_no_split_and_no_word_is_lost_on_it(tmp_path):
    index = index_of(ImageFolder(write(tmp_path, ["bus/1.jpg", "train/1.jpg", "car/1.jpg"]), labels="subfolders"))
    assert column(index, "label") == {"bus/1.jpg": "bus", "train/1.jpg": "train", "car/1.jpg": "car"}
    assert index.report.notes == []


def test_a_split_in_a_table_beside_folders_of_splits_is_refused_with_both_ways_out(tmp_path):
    names = ["train/1.jpg", "val/1.jpg", "test/1.jpg"]
    write(tmp_path, names, attributes__csv="file,split\n" + "".join(f"{name},train\n" for name in names))
    with pytest.raises(SourceError, match=r"column split, .*Rename the subfolders, or remove the column"):
        index_of(ImageFolder(tmp_path))


@pytest.mark.parametrize("inner", ["", "images/"])
@pytest.mark.parametrize("written", ["", "images/"])
def test_attributes_are_named_from_their_folder_or_from_the_images(tmp_path, inner, written):
    names = [f"{inner}x/{number}.jpg" for number in range(4)] + [f"{inner}y.jpg"]
    rows = [f"{written}{name.removeprefix(inner)},{n % 2},{n % 3}" for n, name in enumerate(names)]
    source = ImageFolder(write(tmp_path, names, attributes__csv="\n".join(["file,Old,split", *rows])))
    index = index_of(source)
    assert column(index, "Old") == {name: n % 2 for n, name in enumerate(names)}
    assert column(index, "split") == {name: ("train", "valid", "test")[n % 3] for n, name in enumerate(names)}


def test_images_without_a_row_and_rows_without_an_image_are_counted(tmp_path):
    source = ImageFolder(
        write(
            tmp_path,
            [f"{n}.jpg" for n in range(5)],
            attributes__csv="file,Old\n" + "".join(f"{n}.jpg,1\n" for n in (1, 2, 3, 7)),
        )
    )
    index = index_of(source)
    assert dict(index.rejected.itertuples(index=False)) == dict.fromkeys(["0.jpg", "4.jpg"], "no row in attributes.csv")
    assert index.report.files == [FileReport(name="attributes.csv", verdict="", rows=4, rows_without_image=1)]
    assert index.report.rejected == {"no row in attributes.csv": 2}


def test_two_tellers_of_one_thing_are_refused(tmp_path):
    names = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
    write(tmp_path, names, attributes__csv="file,label\n" + "".join(f"{name},x\n" for name in names))
    assert set(column(index_of(ImageFolder(tmp_path)), "label").values()) == {"x"}
    with pytest.raises(SourceError, match=r"column label, and .*subfolders' names\. Leave out source\.labels"):
        index_of(ImageFolder(tmp_path, labels="subfolders"))


def test_what_is_no_folder_of_images_is_said(tmp_path):
    with pytest.raises(
        SourceError, match=r"There is no folder .*gone\. Name the folder of your images.*source\.path=DIR"
    ):
        ImageFolder(tmp_path / "gone").image_names  # noqa: B018
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"No image in .*, only other files \(1 \.txt\)"):
        ImageFolder(tmp_path).image_names  # noqa: B018
    with pytest.raises(SourceError, match=r"not a .* zip archive"):
        ImageFolder(tmp_path / "notes.txt").image_names  # noqa: B018


def test_a_folder_of_nothing_but_foreign_images_says_what_to_do(tmp_path):
    for number in range(3):
        (tmp_path / f"IMG_{number}.HEIC").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"3 of 3 images .* cannot be used(.|\n)*HEIC is not read here, convert it"):
        build_index(ImageFolder(tmp_path), IngestSettings())


def test_other_names_for_the_split_are_understood_and_two_are_refused(tmp_path):
    names = [f"{n}.jpg" for n in range(4)]
    rows = [f"{name},{n % 3}" for n, name in enumerate(names)]
    write(tmp_path, names, attributes__csv="\n".join(["file,partition", *rows]))
    assert column(index_of(ImageFolder(tmp_path)), "split")["2.jpg"] == "test"
    (tmp_path / "attributes.csv").write_text("\n".join(["file,set,split", *(f"{row},{row[-1]}" for row in rows)]))
    with pytest.raises(SourceError, match=r"'split' .*another column"):
        index_of(ImageFolder(tmp_path))


@pytest.mark.parametrize(
    ("names", "table", "advice"),
    [
        (["1.jpg", "2.jpg"], "", "Add images: the split is drawn from three images at least"),
        (["1.jpg", "2.jpg"], "file,identity\n1.jpg,1\n2.jpg,2\n",
         "Add images: the split is drawn from three persons at least"),
        (["1.jpg", "2.jpg"], "file,split\n1.jpg,train\n2.jpg,train\n",
         "Add images, or remove attributes.csv to have a split drawn from three images at least"),
        (["1.jpg", "2.jpg"], "file,split,Hat\n1.jpg,train,1\n2.jpg,train,0\n",
         "Add images, or remove the column split of attributes.csv to have a split drawn"),
        (["train/1.jpg", "test/1.jpg"], "", "Add images to these subfolders, or rename them to have a split drawn"),
    ],
)  # fmt: skip
def test_too_few_images_get_the_advice_that_helps_there(tmp_path, names, table, advice):
    source = ImageFolder(write(tmp_path, names, **({"attributes__csv": table} if table else {})))
    with pytest.raises(SourceError, match="Too few images to train on") as caught:
        index_of(source)
    assert advice in str(caught.value)
    assert "CelebA" not in str(caught.value)


@pytest.mark.parametrize(
    ("zipped", "advice"),
    [
        ("cats.zip:1.jpg", r"To use the zip in it: --params source\.path=.*cats\.zip\. Name the folder"),
        ("archive.zip:img_align_celeba/000001.jpg", r"Is it CelebA\? Then use --env celeba\. Name the folder"),
    ],
)
def test_a_folder_with_nothing_but_a_zip_is_told_how_to_use_it(tmp_path, zipped, advice):
    name, inner = zipped.split(":")
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(inner, picture())
    with pytest.raises(SourceError, match=advice):
        ImageFolder(tmp_path).image_names  # noqa: B018


def test_of_two_ways_into_a_folder_the_real_one_names_the_images(tmp_path):
    write(tmp_path, ["zoo/1.jpg", "zoo/2.jpg", "dogs/1.jpg", "dogs/2.jpg"])
    (tmp_path / "cats").symlink_to(tmp_path / "zoo", target_is_directory=True)
    assert set(column(index_of(ImageFolder(tmp_path, labels="subfolders")), "label").values()) == {"zoo", "dogs"}


def test_names_that_differ_by_system_are_matched_and_it_is_said(tmp_path):
    """A table from macOS or Windows: decomposed accents, other capitals and suffixes."""
    names = [f"Gr\u00fc\u00dfe/{number:03d}.png" for number in range(4)]
    rows = [f"gru\u0308\u00dfe\\{number}.JPG,{number % 2}" for number in range(4)]
    index = index_of(ImageFolder(write(tmp_path, names, attributes__csv="\n".join(["file,Hat", *rows]))))
    assert column(index, "Hat") == {name: number % 2 for number, name in enumerate(names)}
    (note,) = index.report.notes
    assert "capitals and the suffix and leading zeros in names" in note


def test_a_table_of_other_images_shows_a_name_of_each_side(tmp_path):
    write(tmp_path, ["a/1.jpg", "b/1.jpg"], attributes__csv="file,Hat\n1.jpg,1\n")
    with pytest.raises(SourceError) as caught:
        index_of(ImageFolder(tmp_path))
    message = str(caught.value)
    assert "a row for none of the 2 images: its first row is for '1.jpg', the first image is 'a/1.jpg'" in message
    assert "without folders, 'a/1.jpg' and 'b/1.jpg' are the same name" in message
    assert "remove attributes.csv to go on without it" in message
