import io
import os
import pickle
import random
import tracemalloc
import zipfile
import zlib

import pytest
from PIL import Image

from celeba_gan.sources import image_files
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.image_files import FolderFiles, ZipFiles


def picture(shade, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 100, 50)).save(file, kind)
    return file.getvalue()


CONTENT = {"b.jpg": picture(1), "a/c.PNG": picture(2, "PNG"), "a/d/e.jpeg": picture(3), "a/d/f.webp": b""}


def as_folder(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return FolderFiles(path)


def as_zip(path, content, method=zipfile.ZIP_STORED):
    path.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path / "images.zip", "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return ZipFiles(path / "images.zip")


def as_packed_zip(path, content):
    return as_zip(path, content, zipfile.ZIP_DEFLATED)


EVERY_PLACE = pytest.mark.parametrize("place", [as_folder, as_zip, as_packed_zip])


@EVERY_PLACE
def test_every_image_is_listed_and_read_by_its_path(tmp_path, place):
    others = {
        "notes.txt": b"x",
        "a/table.csv": b"x",
        "a/noidea": b"x",
        ".hidden.jpg": b"x",
        "__MACOSX/b.jpg": b"x",
        "a/._c.PNG": b"x",
        "a/Thumbs.db": b"x",
    }
    files = place(tmp_path, CONTENT | others)
    assert files.names == sorted(CONTENT)
    assert {name: files.read(name) for name in files.names} == CONTENT
    assert files.read("b.jpg", 7) == CONTENT["b.jpg"][:7]
    assert files.ignored == {".txt": 1, ".csv": 1, "(no suffix)": 1}
    assert files.rejected == []
    assert "b.jpg" in files
    assert "a" not in files
    assert files.read_other("a/table.csv") == b"x"
    assert files.read_other("table.csv") is None
    with pytest.raises(FileNotFoundError, match=r"no image z\.jpg"):
        files.read("z.jpg")
    with pytest.raises(FileNotFoundError, match=r"no image z\.jpg"):
        files.fingerprint("z.jpg")


@EVERY_PLACE
def test_image_files_that_are_not_read_are_rejected_with_the_reason(tmp_path, place):
    files = place(tmp_path, CONTENT | {"phone.HEIC": b"x", "drawing.svg": b"x", "bad\nname.jpg": b"x"})
    assert files.names == sorted(CONTENT)
    reasons = dict(files.rejected)
    assert reasons["phone.HEIC"] == "unsupported: HEIC is not read here, convert it to JPEG or PNG"
    assert "SVG" in reasons["drawing.svg"]
    assert "no text" in reasons[r"bad\nname.jpg"]


@EVERY_PLACE
def test_an_image_of_any_name_is_listed_by_its_first_bytes(tmp_path, place):
    images = {
        "photo": picture(4),
        "a.jpg?width=640": picture(5),
        "a/x.760": picture(6, "GIF"),
        "phone.HEIC": picture(7),
        "scan": picture(8, "TIFF"),
        "bitmap.data": picture(9, "BMP"),
        "web.image": picture(10, "WEBP"),
        "v1.2 final": picture(11, "PNG"),
    }
    heic = b"\0\0\0\x18ftypheic" + bytes(50)
    others = {
        "notes": b"BMW and others",
        "empty": b"",
        "page": b"<html>",
        "x.jpg.part": picture(1)[:90],
        "x.jpg~": picture(1),
        "x.jpg_original": picture(1),
        "x.bak": picture(1),
        "film.mp4": b"\0\0\0\x18ftypisom" + bytes(50),
    }
    foreign = {"IMG_1": heic, "raw.nef": picture(8, "TIFF"), "bad\n": picture(1)}
    files = place(tmp_path, CONTENT | images | others | foreign)
    assert files.names == sorted(CONTENT | images)
    assert files.ignored.total() == len(others)
    reasons = dict(files.rejected)
    assert reasons.keys() == {"IMG_1", "raw.nef", r"bad\n"}
    assert reasons["IMG_1"] == "unsupported: HEIC is not read, convert it to JPEG or PNG"
    portion = pickle.loads(pickle.dumps(files.portion(list(images))))
    assert {name: portion.read(name) for name in portion.names} == images


@EVERY_PLACE
def test_a_portion_reads_the_same_after_a_pickle_and_is_small(tmp_path, place):
    many = {f"faces/{number:06d}.jpg": bytes([number % 256]) * 50 for number in range(3000)}
    files = place(tmp_path, many)
    names = ["faces/000007.jpg", "faces/002999.jpg", "faces/000300.jpg"]
    files.read(names[0])
    pickled = pickle.dumps(files.portion(names))
    assert len(pickled) < 1500
    portion = pickle.loads(pickled)
    assert portion.names == sorted(names)
    assert [portion.read(name) for name in names] == [many[name] for name in names]


@EVERY_PLACE
def test_a_fingerprint_changes_with_its_image_alone(tmp_path, place):
    before = place(tmp_path, CONTENT)
    prints = {name: before.fingerprint(name) for name in before.names}
    if place is as_folder:
        (tmp_path / "b.jpg").write_bytes(picture(9))
        os.utime(tmp_path / "b.jpg", ns=(1, 1))
        after = FolderFiles(tmp_path)
    else:
        after = place(tmp_path, CONTENT | {"b.jpg": picture(9)})
    assert [name for name in after.names if after.fingerprint(name) != prints[name]] == ["b.jpg"]


@EVERY_PLACE
def test_folders_that_systems_make_are_skipped_and_counted(tmp_path, place):
    made = [
        "@eaDir/b.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg",
        "a/@eaDir/c.PNG/SYNOFILE_THUMB_M.png",
        "#recycle/old.jpg",
        "@Recycle/old.jpg",
        ".@__thumb/b.jpg",
        "$RECYCLE.BIN/S-1-5-21/$R1.jpg",
        "RECYCLER/old.jpg",
        "System Volume Information/x.jpg",
        "found.002/x.jpg",
        "lost+found/x.jpg",
        ".Trashes/501/x.jpg",
        ".thumbnails/x.jpg",
        "__MACOSX/a/._c.PNG",
        "files_trashbin/files/x.jpg.d1600000000",
        "a/Network Trash Folder/x.jpg",
        "Network Recycle Bin 1/x.jpg",
        "LOST.DIR/1234",
        "_gsdata_/_saved_/x.jpg",
        "@Transcode/x.jpg",
        "@Recently-Snapshot/GMT+01_2024-01-01/x.jpg",
        "a/_vti_cnf/x.jpg",
    ]
    plausible = ("recycled/1.jpg", "thumbs.db.jpg", "a#recycle/x.jpg", "found.12/x.jpg", "found.1234/x.jpg")
    kept = dict.fromkeys(plausible, CONTENT["b.jpg"])
    files = place(tmp_path, CONTENT | kept | dict.fromkeys(made, CONTENT["b.jpg"]))
    assert files.names == sorted(CONTENT | kept)
    assert files.rejected == []
    assert files.ignored == {}
    assert files.skipped["@eaDir (thumbnails)"] == 2
    assert files.skipped["hidden"] == 3
    assert files.skipped["#recycle (recycle bin)"] == 1
    for folder in ("lost+found", "LOST.DIR", "found.002"):
        assert files.skipped[f"{folder} (recovered or deleted files)"] == 1
    assert files.skipped.total() == len(made) - 1  # two of the thumbnails are in one folder


def test_a_folder_of_the_system_is_not_entered(tmp_path, monkeypatch):
    """The tests may run as root, who can list everything."""
    as_folder(tmp_path, CONTENT | {"lost+found/x.jpg": b"x", "a/closed/x.jpg": b"x"})
    listed = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith(("lost+found", "closed")):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"a/closed/ cannot be listed: Permission denied\. Grant access"):
        FolderFiles(tmp_path)
    (tmp_path / "a/closed/x.jpg").unlink()
    (tmp_path / "a/closed").rmdir()
    assert FolderFiles(tmp_path).names == sorted(CONTENT)


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    outside = tmp_path / "elsewhere"
    as_folder(outside, {"x.jpg": b"1"})
    root = tmp_path / "root"
    as_folder(root, {"y.jpg": b"2"})
    (root / "linked").symlink_to(outside, target_is_directory=True)
    (outside / "back").symlink_to(root, target_is_directory=True)
    (root / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    files = FolderFiles(root)
    assert files.names == ["gone.jpg", "linked/x.jpg", "self.jpg", "y.jpg"]
    with pytest.raises(OSError, match="No such file"):
        files.read("gone.jpg")


def test_a_pipe_called_as_an_image_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        FolderFiles(tmp_path).read("pipe.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a"])
def test_a_single_image_in_the_place_of_a_folder_is_called_so(tmp_path, name):
    Image.new("RGB", (9, 9)).save(tmp_path / name, "JPEG")
    with pytest.raises(SourceError, match=rf"{name} is a single image: name the folder or the zip"):
        ZipFiles(tmp_path / name)


def test_names_that_point_outside_of_the_zip_are_rejected(tmp_path):
    names = ["../up.jpg", "a/../../up.jpg", "/etc/root.jpg", "C:/windows.jpg", "..\\back.jpg"]
    files = as_zip(tmp_path, CONTENT | dict.fromkeys(names, b"x"))
    assert files.names == sorted(CONTENT)
    assert {name for name, reason in files.rejected if "points outside" in reason} == {
        name.replace("\\", "/") for name in names
    }


def test_of_a_name_that_stands_twice_in_the_zip_the_last_counts(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.jpg", b"first")
        for data in (b"second", b"third"):
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("a.jpg", data)
    files = ZipFiles(tmp_path / "images.zip")
    assert files.read("a.jpg") == b"third"
    assert [name for name, _ in files.rejected] == ["a.jpg", "a.jpg"]
    assert "more than once in the zip" in files.rejected[0][1]


def test_what_the_zip_cannot_give_is_rejected(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.jpg", b"good")
        archive.writestr("lzma.jpg", b"packed", zipfile.ZIP_LZMA)
        archive.writestr("secret.jpg", b"secret")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"secret.jpg") - 46 + 8] |= 1  # the flag of encryption, in the directory
    path.write_bytes(data)
    files = ZipFiles(path)
    assert files.names == ["good.jpg"]
    assert dict(files.rejected)["secret.jpg"] == "encrypted in the zip"
    assert "packed by method 14" in dict(files.rejected)["lzma.jpg"]


def test_a_bomb_in_the_zip_is_never_unpacked(tmp_path, monkeypatch):
    files = as_packed_zip(tmp_path, {"bomb.jpg": bytes(2**22), "good.jpg": b"good"})
    assert len(files.read("bomb.jpg")) == 2**22
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 2**20)
    assert dict(ZipFiles(files.path).rejected)["bomb.jpg"].startswith("too large: 4,194,304 bytes")
    with pytest.raises(OSError, match="too large"):
        files.read("bomb.jpg")

    path = tmp_path / "images.zip"  # a directory that understates the size
    data = bytearray(path.read_bytes())
    at = data.rindex(b"bomb.jpg") - 46 + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(OSError, match="damaged in the zip"):
        ZipFiles(path).read("bomb.jpg")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("place", [as_zip, as_packed_zip])
def test_damage_in_the_zip_is_an_error_of_that_image(tmp_path, place):
    content = {f"{number}.jpg": random.Random(number).randbytes(3000) for number in range(3)}
    path = place(tmp_path, content).path
    data = bytearray(path.read_bytes())
    second = data.index(b"1.jpg") + 5
    data[second + 1500] ^= 0xFF
    path.write_bytes(data)
    files = ZipFiles(path)
    assert files.read("0.jpg") == content["0.jpg"]
    with pytest.raises(OSError, match="damaged in the zip"):
        files.read("1.jpg")
    data[data.index(b"PK\x03\x04", second)] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OSError, match="no file begins"):
        ZipFiles(path).read("2.jpg")


def test_zips_of_every_make_read_alike(tmp_path):
    """With a program before it, a comment behind it, zip64, data descriptors, long extra fields, names in cp437."""
    path = tmp_path / "images.zip"
    with path.open("wb") as file:
        file.write(b"#!/bin/sh\n" * 40)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = b"a comment".ljust(100)
            with archive.open(zipfile.ZipInfo("wide.jpg"), "w", force_zip64=True) as entry:
                entry.write(b"wide" * 500)
            long = zipfile.ZipInfo("long.jpg")
            long.extra = b"\x99\x99\x40\x01" + bytes(320)
            archive.writestr(long, b"long")
            archive.writestr("grün.jpg", b"green")
    files = ZipFiles(path)
    assert {name: files.read(name) for name in files.names} == {
        "wide.jpg": b"wide" * 500,
        "long.jpg": b"long",
        "grün.jpg": b"green",
    }


@pytest.mark.slow
def test_a_zip_with_more_images_than_sixteen_bits_count(tmp_path):
    names = [f"{number:06d}.jpg" for number in range(66_000)]
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), name)
    files = ZipFiles(path)
    assert files.names == names
    assert files.read(names[-1]).decode() == names[-1]
    assert files.fingerprint(names[0]) == f"{zlib.crc32(names[0].encode()):08x}-10"


@pytest.mark.parametrize("cut", [1, 10, 22, 60, 200])
def test_a_zip_that_was_cut_off_is_named(tmp_path, cut):
    path = as_zip(tmp_path, CONTENT).path
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    with pytest.raises(SourceError, match=r"its end, with the list of .*files, is missing"):
        ZipFiles(path)
