import io
import os
import pickle
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.errors import SourceError


def jpeg(shade):
    file = io.BytesIO()
    Image.new("RGB", (178, 218), (shade, 100, 50)).save(file, "JPEG")
    return file.getvalue()


IMAGES = {f"{number:06d}.jpg": jpeg(8 * number) for number in (1, 2, 30)}


def write_zip(path, images=IMAGES, folder="img_align_celeba/"):
    with zipfile.ZipFile(path, "w") as archive:
        if folder:
            archive.writestr(folder, b"")
        for name, data in images.items():
            archive.writestr(folder + name, data)


def write_folder(folder, images=IMAGES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in images.items():
        (folder / name).write_bytes(data)


def as_zip(folder):
    write_zip(folder / "img_align_celeba.zip")


def as_zip_without_inner_folder(folder):
    write_zip(folder / "img_align_celeba.zip", folder="")


def as_zip_from_a_mac(folder):
    write_zip(folder / "img_align_celeba.zip", folder="faces/inner/")
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "a") as archive:
        archive.writestr("__MACOSX/faces/inner/._000001.jpg", b"litter")
        archive.writestr("faces/inner/.DS_Store", b"litter")
        archive.writestr("faces/readme.txt", b"elsewhere")


def as_folder(folder):
    write_folder(folder / "img_align_celeba")


def as_doubled_folder(folder):
    write_folder(folder / "img_align_celeba" / "img_align_celeba")


def as_the_authors_folders(folder):
    (folder / "Img").mkdir()
    as_zip(folder / "Img")
    (folder / "Anno").mkdir()
    (folder / "Eval").mkdir()


def as_kaggles_archive(folder):
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for name, data in IMAGES.items():
            archive.writestr(f"img_align_celeba/img_align_celeba/{name}", data)
        archive.writestr("list_eval_partition.csv", "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000030.jpg,2\n")


def as_torchvisions_root(folder):
    write_folder(folder / "celeba" / "img_align_celeba")


def as_folders_of_splits(folder):
    for split, name in zip(("train", "val", "test"), IMAGES, strict=True):
        write_folder(folder / split, {name: IMAGES[name]})


def with_the_original_photographs_beside(folder):
    write_zip(folder / "img_align_celeba.zip", folder="img_align_celeba/")
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "a") as archive:
        for number in range(1, 9):
            archive.writestr(f"img_celeba/{number:06d}.jpg", jpeg(99))


def as_images_beside_text_files(folder):
    write_folder(folder)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000030.jpg 2\n")
    (folder / "Thumbs.db").write_bytes(b"litter")


@pytest.mark.parametrize(
    "layout",
    [
        as_zip,
        as_zip_without_inner_folder,
        as_zip_from_a_mac,
        as_folder,
        as_doubled_folder,
        as_images_beside_text_files,
        as_the_authors_folders,
        as_kaggles_archive,
        as_torchvisions_root,
        as_folders_of_splits,
        with_the_original_photographs_beside,
    ],
)
def test_every_layout_gives_the_same_images(tmp_path, layout):
    layout(tmp_path)
    celeba = CelebA(tmp_path)
    assert celeba.image_names == sorted(IMAGES)
    assert {name: celeba.read(name) for name in celeba.image_names} == IMAGES
    assert celeba.header("000002.jpg") == IMAGES["000002.jpg"][:4096]
    assert "3 images" in celeba.describe()
    with pytest.raises(OSError, match=r"no image .*000003\.jpg"):
        celeba.read("000003.jpg")


def test_the_zip_has_precedence_over_a_folder_unpacked_halfway(tmp_path):
    as_zip(tmp_path)
    write_folder(tmp_path / "img_align_celeba", {"000001.jpg": b""})
    assert CelebA(tmp_path).image_names == sorted(IMAGES)


def test_what_macos_writes_beside_the_zip_is_not_opened(tmp_path):
    as_zip(tmp_path)
    (tmp_path / "img_align_celeba.zip").rename(tmp_path / "archive.zip")
    (tmp_path / "._archive.zip").write_bytes(b"\0\5\x16\7")
    assert CelebA(tmp_path).image_names == sorted(IMAGES)


def test_strange_names_are_listed_or_counted_not_hidden(tmp_path):
    write_folder(tmp_path / "img_align_celeba", IMAGES | {"000004.jpg.part": b"x", "1.jpg": b"x"})
    celeba = CelebA(tmp_path)
    assert "1.jpg" in celeba.image_names
    assert celeba.files.ignored == {".part": 1}
    assert [name for name in celeba.image_names if celeba.refusal(name)] == ["1.jpg"]


@pytest.mark.parametrize(
    ("name", "key"), [("000001.jpg", "000001.jpg"), ("000001.png", "000001.jpg"), ("202599.JPG", "202599.jpg")]
)
def test_an_image_is_called_in_the_tables_as_in_the_jpeg_edition(name, key):
    assert CelebA("anywhere").refusal(name) is None
    assert CelebA("anywhere").key(name) == key


@pytest.mark.parametrize("name", ["000000.jpg", "00001.jpg", "0000001.jpg", "1.jpg", "000001.webp", "a00001.jpg"])
def test_names_that_another_data_set_uses_are_refused(name):
    """CelebA-HQ counts its images from 0, with five digits or none before them: its rows would be other people's."""
    assert "not a CelebA file name" in CelebA("anywhere").refusal(name)


def column(celeba, name):
    (found,) = (annotation.table[name] for annotation in celeba.annotations() if name in annotation.table)
    return found


def test_a_zip_may_be_named_itself(tmp_path):
    as_kaggles_archive(tmp_path)
    celeba = CelebA(tmp_path / "archive.zip")
    assert celeba.image_names == sorted(IMAGES)
    assert column(celeba, "split")["000030.jpg"] == "test"
    assert celeba.tables == {"list_eval_partition.txt": "list_eval_partition.csv"}


def test_tables_are_found_in_the_authors_folders_and_the_text_form_goes_first(tmp_path):
    as_the_authors_folders(tmp_path)
    (tmp_path / "Anno" / "identity_CelebA.txt").write_text("000001.jpg 7\n")
    (tmp_path / "Eval" / "list_eval_partition.txt").write_text("000001.jpg 0\n000030.jpg 2\n")
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\n000001.jpg,0\n000030.jpg,1\n")
    celeba = CelebA(tmp_path)
    assert column(celeba, "split")["000030.jpg"] == "test"
    assert column(celeba, "identity")["000001.jpg"] == 7
    assert [annotation.file for annotation in celeba.annotations()] == [
        "list_eval_partition.txt",
        "identity_CelebA.txt",
    ]


def test_one_of_several_zips_has_to_be_named(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name)
    with pytest.raises(SourceError, match=r"more than one zip with images \(a\.zip, b\.zip\).*source\.path=FILE"):
        CelebA(tmp_path).image_names  # noqa: B018
    assert CelebA(tmp_path / "b.zip").image_names == sorted(IMAGES)


def test_archives_that_are_not_read_are_named(tmp_path):
    (tmp_path / "img_celeba.7z.001").write_bytes(b"7z")
    with pytest.raises(SourceError, match=r"only other files \(1 \.001\); .* \.001 archive"):
        CelebA(tmp_path).image_names  # noqa: B018


def test_folders_that_repeat_names_are_left_out_and_said(tmp_path, caplog):
    with_the_original_photographs_beside(tmp_path)
    celeba = CelebA(tmp_path)
    assert celeba.read("000001.jpg") == IMAGES["000001.jpg"]
    assert "the 8 images in its folder 'img_celeba/'" in caplog.text


@pytest.mark.parametrize("layout", [as_zip, as_doubled_folder, as_folders_of_splits])
def test_a_portion_reads_the_same_in_another_process(tmp_path, layout):
    layout(tmp_path)
    portion = pickle.loads(pickle.dumps(CelebA(tmp_path).portion(["000030.jpg", "000001.jpg"])))
    for name in ("000001.jpg", "000030.jpg"):
        assert portion.read(name) == IMAGES[name]
    with pytest.raises(OSError, match="no image"):
        portion.read("000002.jpg")


def test_annotations_are_what_is_there(tmp_path):
    as_images_beside_text_files(tmp_path)
    celeba = CelebA(tmp_path)
    assert column(celeba, "split")["000030.jpg"] == "test"
    assert [annotation.file for annotation in celeba.annotations()] == ["list_eval_partition.txt"]


@pytest.mark.parametrize("layout", [as_zip, as_folder])
def test_fingerprint_changes_with_the_image_alone(tmp_path, layout):
    layout(tmp_path)
    before = CelebA(tmp_path).fingerprint(sorted(IMAGES))
    changed = IMAGES | {"000002.jpg": jpeg(150)}
    if layout is as_zip:
        write_zip(tmp_path / "img_align_celeba.zip", changed)
    else:
        path = tmp_path / "img_align_celeba" / "000002.jpg"
        path.write_bytes(changed["000002.jpg"])
        os.utime(path, ns=(1, 1))
    after = CelebA(tmp_path).fingerprint(sorted(IMAGES))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    with pytest.raises(SourceError, match="ingest stage"):
        CelebA(tmp_path).fingerprint(["999999.jpg"])


def test_a_pickle_is_small_and_opens_its_own_zip(tmp_path):
    as_zip(tmp_path)
    celeba = CelebA(tmp_path)
    celeba.read("000001.jpg")
    pickled = pickle.dumps(celeba)
    assert len(pickled) < 500
    assert pickle.loads(pickled).read("000030.jpg") == IMAGES["000030.jpg"]


def test_damage_inside_the_zip_is_an_error_of_that_image(tmp_path):
    as_zip(tmp_path)
    path = tmp_path / "img_align_celeba.zip"
    data = bytearray(path.read_bytes())
    data[data.index(IMAGES["000002.jpg"]) + 300] ^= 0xFF
    path.write_bytes(data)
    celeba = CelebA(tmp_path)
    assert celeba.read("000001.jpg") == IMAGES["000001.jpg"]
    with pytest.raises(OSError, match="damaged in the zip"):
        celeba.read("000002.jpg")


def test_a_missing_source_says_where_to_get_it_and_where_to_put_it(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("absent", "empty"):
        with pytest.raises(SourceError) as caught:
            CelebA(folder).image_names  # noqa: B018
        message = str(caught.value)
        assert str(tmp_path / folder) in message
        assert "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in message
        assert "--params source.path=DIR" in message
        for file in (
            "img_align_celeba.zip",
            "list_attr_celeba.txt",
            "list_eval_partition.txt",
            "identity_CelebA.txt",
        ):
            assert file in message


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"<html>Google Drive - Quota exceeded</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "a Git LFS pointer"),
        (b"", "an empty file"),
        (b"PK\x03\x04" + bytes(5000), "the beginning of one"),
    ],
)
def test_a_zip_that_is_none_is_named(tmp_path, content, looks):
    (tmp_path / "img_align_celeba.zip").write_bytes(content)
    with pytest.raises(SourceError, match=looks) as caught:
        CelebA(tmp_path).describe()
    assert str(tmp_path / "img_align_celeba.zip") in str(caught.value)


def test_importing_is_cheap():
    heavy = "{'torch', 'pandas', 'kedro', 'mlflow'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", f"import sys, celeba_gan.sources.celeba; assert not {heavy}, {heavy}"], check=True
    )


def test_tables_lie_in_any_folder_above_the_images(tmp_path):
    write_folder(tmp_path / "archive" / "img_align_celeba" / "img_align_celeba")
    table = "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000030.jpg,2\n"
    (tmp_path / "archive" / "list_eval_partition.csv").write_text(table)
    assert column(CelebA(tmp_path), "split")["000030.jpg"] == "test"


def test_celeba_hq_is_refused(tmp_path):
    write_folder(tmp_path / "celeba_hq" / "train")
    with pytest.raises(SourceError, match="look like CelebA-HQ's, which are numbered"):
        CelebA(tmp_path).image_names  # noqa: B018


def test_a_zip_that_does_not_say_that_its_names_are_utf8(tmp_path):
    path = tmp_path / "img_align_celeba.zip"
    write_zip(path, folder="Zoé/")
    data = path.read_bytes()
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        parts = data.split(signature)
        data = signature.join([parts[0], *(p[: at - 4] + b"\0\0" + p[at - 2 :] for p in parts[1:])])
    path.write_bytes(data)
    assert CelebA(tmp_path).files.names[0].startswith("Zoé/")
