import io
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from photograph_folder import PhotographFolder, encode, make_source, photograph
from PIL import Image

from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.decoding import decode_image
from celeba_gan.images.packed import MANIFEST_FILE, Manifest, PackedImages, Shard, hash_texts, shard_file
from celeba_gan.images.packing import PackingError, pack_images

SETTINGS = PreprocessSettings(size=16, shard_images=50, workers=1)


def pack(source, index, settings=SETTINGS, before=None, **options):
    parts = pack_images(source, index, settings, before, **options)
    *shards, manifest = [
        replace(part, images=part.images.copy()) if isinstance(part, Shard) else part for part in parts
    ]
    assert isinstance(manifest, Manifest)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    return shards, manifest


def pixels_of(shards):
    return np.concatenate([shard.images for shard in shards])


def on_disk(folder, shards, manifest):
    """The same as packed images."""
    folder.mkdir()
    for shard in shards:
        np.save(folder / shard_file(shard.index), shard.images)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return PackedImages(folder)


def test_every_photograph_is_packed_in_order(tmp_path):
    source, index = make_source(tmp_path, 130)
    seen = []
    shards, manifest = pack(source, index, progress=lambda done, total: seen.append((done, total)))
    order = [
        image_id for split in ("train", "valid", "test") for image_id in sorted(index[index.split == split].image_id)
    ]
    expected = [decode_image((tmp_path / image_id).read_bytes(), manifest.recipe) for image_id in order]
    np.testing.assert_array_equal(pixels_of(shards), expected)
    assert [len(shard.images) for shard in shards] == [50, 50, 30]
    assert manifest.splits == {"train": (0, 78), "valid": (78, 104), "test": (104, 130)}
    assert (manifest.count, manifest.size, manifest.unreadable) == (130, 16, [])
    assert [shard.file for shard in manifest.shards] == [f"shard-0000{number}.npy" for number in range(3)]
    assert seen[-1] == (130, 130)


def test_valid_and_test_which_are_decoded_first_have_a_progress_of_their_own(tmp_path):
    source, index = make_source(tmp_path, 130)
    seen = []
    pack(
        source,
        index,
        progress=lambda done, total: seen.append(("all", done, total)),
        progress_held_out=lambda done, total: seen.append(("held out", done, total)),
    )
    assert [kind for kind, _ in groupby(seen, key=itemgetter(0))] == ["all", "held out", "all"]
    assert [place for kind, *place in seen if kind == "held out"][-1] == [52, 52]


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    source, index = make_source(tmp_path, 300, at_3=b"no image", at_170=b"")
    one, first = pack(source, index)
    two, second = pack(source, index, SETTINGS.model_copy(update={"workers": 2}))
    assert [shard.images.tobytes() for shard in one] == [shard.images.tobytes() for shard in two]
    assert first.model_dump_json() == second.model_dump_json()


def test_photographs_that_cannot_be_read_are_left_out_and_shards_stay_dense(tmp_path, monkeypatch):
    good = encode(photograph(1))
    source, index = make_source(
        tmp_path,
        120,
        at_0=good[: len(good) // 2],
        at_1=b"<html></html>",
        at_2=encode(photograph(1, 177, 218)),
        at_9=b"",
    )
    (tmp_path / "000010.jpg").unlink()
    monkeypatch.setattr(PhotographFolder, "fingerprint", lambda self, image_ids: ["same"] * len(image_ids))
    calls = []
    shards, manifest = pack(source, index, check=lambda unreadable: calls.append(len(unreadable)))
    reasons = {record.image_id: record.reason for record in manifest.unreadable}
    assert reasons.keys() == {f"{number:06d}.jpg" for number in (0, 1, 2, 9, 10)}
    assert reasons["000000.jpg"].startswith("damaged")
    assert reasons["000001.jpg"].startswith("not an image")
    assert reasons["000002.jpg"] == "smaller than the crop of 178: 177x218"
    assert reasons["000010.jpg"].startswith("cannot be read: ")
    assert "No such file" in reasons["000010.jpg"]
    assert [len(shard.images) for shard in shards] == [50, 50, 15]
    assert manifest.splits == {"train": (0, 68), "valid": (68, 92), "test": (92, 115)}
    assert calls[-1] == 5


@pytest.mark.parametrize("error", [MemoryError(), KeyError("unforeseen"), RecursionError("deep")])
def test_whatever_one_photograph_does_the_others_are_packed(tmp_path, monkeypatch, error):
    source, index = make_source(tmp_path, 20)
    read = PhotographFolder.read

    def fail(self, image_id):
        if image_id == "000006.jpg":
            raise error
        return read(self, image_id)

    monkeypatch.setattr(PhotographFolder, "read", fail)
    _, manifest = pack(source, index)
    assert manifest.count == 19
    assert [record.image_id for record in manifest.unreadable] == ["000006.jpg"]
    assert str(error) in manifest.unreadable[0].reason
    assert len(manifest.unreadable[0].reason) > len("cannot be read: ")


def test_train_keeps_no_photograph_of_valid_and_test_and_all_duplicates_are_listed(tmp_path):
    draw = random.Random(0)
    source, index = make_source(tmp_path, 160)
    names = sorted(index.image_id)
    for _ in range(60):  # copies of copies, within splits and across, in any number
        shutil.copy(tmp_path / draw.choice(names), tmp_path / draw.choice(names))
    for name in draw.sample(names, 12):  # unreadable ones are no duplicates, though their files are the same
        (tmp_path / name).write_bytes(b"the same, but no image")
    split = dict(zip(index.image_id, index.split, strict=True))
    ordered = [name for wanted in ("train", "valid", "test") for name in names if split[name] == wanted]
    files = {name: (tmp_path / name).read_bytes() for name in ordered}
    readable = [name for name in ordered if not files[name].startswith(b"the")]
    twins = {name: [other for other in readable if files[other] == files[name]] for name in readable}
    held_out = {name: [twin for twin in twins[name] if split[twin] != "train"] for name in readable}
    leaks = [name for name in readable if split[name] == "train" and held_out[name]]

    for workers in (1, 2):
        shards, manifest = pack(source, index, SETTINGS.model_copy(update={"workers": workers}))
        assert [(leak.image_id, leak.reason) for leak in manifest.leaks] == [
            (name, f"duplicate of {held_out[name][0]} in {split[held_out[name][0]]}") for name in leaks
        ]
        assert manifest.duplicates == sorted(
            {tuple(sorted(group)): sorted(group) for group in twins.values() if len(group) > 1}.values()
        )
        packed = [name for name in readable if name not in leaks]
        np.testing.assert_array_equal(
            pixels_of(shards), [decode_image(files[name], manifest.recipe) for name in packed]
        )
        assert manifest.images_digest == hash_texts(packed, [split[name] for name in packed])
        assert len(manifest.unreadable) == 12
    assert len(leaks) > 5
    assert max(map(len, manifest.duplicates)) > 2


def test_the_same_picture_in_other_files_is_kept_out_of_train(tmp_path):
    """With other metadata, re-saved in another format, turned by EXIF: the pixels are the same."""
    twin = photograph(3).transpose(Image.Transpose.ROTATE_180)
    lossless, turned, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    photograph(3).save(lossless, "PNG", compress_level=1)
    exif[0x0112] = 3
    twin.save(turned, "PNG", exif=exif)
    bmp, jpeg = encode(photograph(3), "BMP"), encode(photograph(8))
    commented = jpeg[:2] + b"\xff\xfe\x00\x0a12345678" + jpeg[2:]
    files = {"at_0": lossless.getvalue(), "at_1": turned.getvalue(), "at_3": bmp, "at_7": commented, "at_8": jpeg}
    source, index = make_source(tmp_path, 40, **files)
    for workers in (1, 2):
        shards, manifest = pack(source, index, SETTINGS.model_copy(update={"workers": workers}))
        assert [(leak.image_id, leak.reason) for leak in manifest.leaks] == [
            ("000000.jpg", "duplicate of 000003.jpg in valid"),
            ("000001.jpg", "duplicate of 000003.jpg in valid"),
            ("000007.jpg", "duplicate of 000008.jpg in valid"),
        ]
        assert manifest.duplicates == [["000000.jpg", "000001.jpg", "000003.jpg"], ["000007.jpg", "000008.jpg"]]
        assert len(pixels_of(shards)) == 37
        assert len(np.unique(pixels_of(shards), axis=0)) == 37


def test_leaks_do_not_count_as_unreadable(tmp_path):
    source, index = make_source(tmp_path, 20)
    for number in (0, 1, 2):
        shutil.copy(tmp_path / "000003.jpg", tmp_path / f"{number:06d}.jpg")
    calls = []
    _, manifest = pack(source, index, check=calls.append)
    assert len(manifest.leaks) == 3
    assert calls == [[]]


def test_the_check_stops_packing_early(tmp_path):
    source, index = make_source(tmp_path, 600, at_0=b"broken")

    def refuse(unreadable):
        if unreadable:
            raise ValueError("too many")

    with pytest.raises(ValueError, match="too many"):
        pack(source, index, check=refuse)
    assert source.count_reads() < 600


def test_a_train_split_of_which_nothing_is_left_is_refused(tmp_path):
    source, index = make_source(tmp_path, 4, at_0=b"", at_1=b"")
    shutil.copy(tmp_path / "000003.jpg", tmp_path / "000002.jpg")
    with pytest.raises(
        PackingError, match=r"None of the 3 photographs of the train split.* 2 cannot be read, and 1 of"
    ):
        pack(source, index)


def test_packed_before_is_reused_only_when_nothing_changed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source, index = make_source(tmp_path / "photographs", 60, at_7=b"broken")
    shutil.copy(source.path / "000004.jpg", source.path / "000005.jpg")
    before = on_disk(tmp_path / "packed", *pack(source, index))
    manifest = before.manifest
    reads, checked = source.count_reads(), []
    assert pack(source, index, before=before, check=checked.append) == ([], manifest)
    assert source.count_reads() == reads
    assert checked == [manifest.unreadable]
    assert f"58 packed images in {before.folder}" in caplog.text

    for change, words in (
        ({"crop": 148}, "recipe: crop 178→148"),
        ({"filter": "box"}, "recipe: filter bilinear→box"),
        ({"background": "#000000"}, f"recipe: background {SETTINGS.background}→#000000"),
        ({"shard_images": 20}, "shards: 50→20 images"),
    ):
        caplog.clear()
        shards, _ = pack(source, index, SETTINGS.model_copy(update=change), before)
        assert shards
        assert words in caplog.text

    for words, changed in (
        ("source: images or splits differ (60→59 photographs)", index[index.image_id != "000010.jpg"]),
        ("source: images or splits differ (60 photographs)", index.assign(split=index.split.replace("test", "valid"))),
    ):
        caplog.clear()
        assert pack(source, changed, before=before)[0]
        assert words in caplog.text
    manifest_file = before.folder / MANIFEST_FILE
    written = json.loads(manifest_file.read_text())
    assert written.pop("duplicates_by") == "pixels"
    manifest_file.write_text(json.dumps(written))
    assert pack(source, index, before=PackedImages(before.folder))[0]
    assert "duplicates: by files→pixels" in caplog.text
    os.utime(source.path / "000003.jpg", ns=(1, 1))
    caplog.clear()
    assert pack(source, index, before=before)[0]
    assert "source: images or splits differ (60 photographs)" in caplog.text
    assert "recipe" not in caplog.text


def test_damaged_packed_images_are_packed_again_and_the_file_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source, index = make_source(tmp_path / "photographs", 60)
    before = on_disk(tmp_path / "packed", *pack(source, index))
    np.load(before.folder / shard_file(1), mmap_mode="r+")[0, 0, 0, 0] ^= 1
    assert len(pack(source, index, before=before)[0]) == 2
    assert "shard-00001.npy has changed" in caplog.text


@pytest.mark.slow
def test_a_slow_consumer_bounds_what_is_decoded_ahead(tmp_path):
    source, index = make_source(tmp_path, 4000)
    packing = pack_images(source, index, SETTINGS.model_copy(update={"workers": 2, "shard_images": 128}), None)
    next(packing)
    reads = -1
    while reads != (reads := source.count_reads()):
        time.sleep(0.3)
    packing.close()
    # valid and test, which are decoded before; the chunk taken, and four begun for each of two workers
    assert reads <= 1600 + (1 + 2 * 4) * 128


def test_a_worker_that_dies_gives_an_error_that_names_its_photograph(tmp_path):
    source, index = make_source(tmp_path, 300)
    source = PhotographFolder(tmp_path, fatal="000201.jpg")
    with pytest.raises(PackingError, match=r"processes that decode photographs died.* at .*000201\.jpg.*workers=1"):
        pack(source, index, SETTINGS.model_copy(update={"workers": 2}))


def run_script(tmp_path, name, body):
    """Start a program that packs with two workers, from a script without a main guard."""
    (tmp_path / "probe.py").write_text(
        textwrap.dedent("""
        import os, sys
        from pathlib import Path

        class Probe:
            def __init__(self, folder):
                self.folder = folder
            def read(self, image_id):
                (self.folder / f"worker-{os.getpid()}").write_text(" ".join(sys.modules))
                return (self.folder / image_id).read_bytes()
            def fingerprint(self, image_ids):
                return ["same"] * len(image_ids)
            def portion(self, image_ids):
                return self
        """)
    )
    (tmp_path / name).write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        import pandas as pd
        from probe import Probe
        from celeba_gan.images.config import PreprocessSettings
        from celeba_gan.images.packing import pack_images
        folder = Path(sys.argv[1])
        names = sorted(path.name for path in folder.glob("*.jpg"))
        index = pd.DataFrame({"image_id": names, "split": "train"})
        settings = PreprocessSettings(size=16, shard_images=100, workers=2)
        packing = pack_images(Probe(folder), index, settings, None)
        """)
        + textwrap.dedent(body)
    )
    return subprocess.Popen([sys.executable, name, str(tmp_path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_workers_import_neither_torch_nor_pandas_nor_kedro(tmp_path):
    make_source(tmp_path, 300)
    program = run_script(tmp_path, "program.py", "import torch, kedro.framework.cli; print(len(list(packing)))")
    assert program.communicate(timeout=60)[0].splitlines()[-1] == "4"  # after what Kedro logs
    assert program.returncode == 0
    workers = list(tmp_path.glob("worker-*"))
    assert workers
    for worker in workers:
        modules = set(worker.read_text().split())
        assert "celeba_gan.images.chunks" in modules
        assert not modules & {"torch", "pandas", "kedro", "mlflow", "torchvision", "pydantic"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")
def test_workers_leave_with_a_parent_that_was_killed(tmp_path):
    make_source(tmp_path, 2000)
    program = run_script(
        tmp_path, "program.py", "next(packing); print('first', flush=True); import time; time.sleep(60)"
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "first\n"
    program.kill()
    program.wait()
    pids = [path.name.partition("-")[2] for path in tmp_path.glob("worker-*")]
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pids
    assert not [pid for pid in pids if is_running(pid)]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_large_images_make_shorter_shards():
    assert PreprocessSettings(size=64).images_per_shard == 4096
    settings = PreprocessSettings(size=1024, crop="none")
    assert settings.images_per_shard * 1024 * 1024 * 3 <= 512 * 2**20


def test_attributes_can_be_named_in_one_word():
    assert PreprocessSettings(condition_on="Male+Smiling").condition_on == ["Male", "Smiling"]
    assert PreprocessSettings(condition_on="label").condition_on == ["label"]


def test_settings_refuse_an_attribute_named_twice():
    with pytest.raises(ValueError, match="names an attribute twice"):
        PreprocessSettings(condition_on=["Male", "Male"])
