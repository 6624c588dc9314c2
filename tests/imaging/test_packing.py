import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from celeba_gan.imaging.config import PreprocessSettings
from celeba_gan.imaging.packed import Manifest, PackedImagesError, Recipe, Shard
from celeba_gan.imaging.packing import PackingError, decode_image, pack_images

SETTINGS = PreprocessSettings(size=16, shard_images=50, workers=1)


def encode(image, kind="JPEG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def photograph(seed, width=178, height=218):
    pixels = np.random.default_rng(seed).integers(0, 256, (11, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


@dataclass(frozen=True)
class Folder:
    """A source as small as they come; writes a byte for each photograph read, so that the parent can count."""

    path: Path
    fatal: str = ""

    def read(self, image_id):
        if image_id == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.path / "reads").open("ab") as reads:
            reads.write(b".")
        return (self.path / image_id).read_bytes()

    def fingerprint(self, image_ids):
        return [str((self.path / image_id).stat().st_mtime_ns) for image_id in image_ids]

    def count_reads(self):
        return (self.path / "reads").stat().st_size


def make_source(path, count, **photographs):
    data = [encode(photograph(seed)) for seed in range(7)]
    names = [f"{number:06d}.jpg" for number in range(count)]
    for number, image_id in enumerate(names):
        (path / image_id).write_bytes(photographs.get(f"at_{number}", data[number % 7]))
    splits = [("train", "train", "train", "valid", "test")[number % 5] for number in range(count)]
    index = pd.DataFrame({"image_id": names, "split": splits})
    return Folder(path), index.sample(frac=1, random_state=0)


def pack(source, index, settings=SETTINGS, before=None, **options):
    *shards, manifest = pack_images(source, index, settings, before, **options)
    assert isinstance(manifest, Manifest)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    return shards, manifest


def pixels_of(shards):
    return np.concatenate([shard.images for shard in shards])


class Before:
    """Stands where packed images on disk would: only their manifest, and whether they are damaged, is looked at."""

    folder = "somewhere"

    def __init__(self, manifest, damage=None):
        self.manifest = manifest
        self.damage = damage

    def verify(self):
        if self.damage:
            raise PackedImagesError(self.damage)


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


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    source, index = make_source(tmp_path, 300, at_3=b"no image", at_170=b"")
    one, first = pack(source, index)
    two, second = pack(source, index, SETTINGS.model_copy(update={"workers": 2}))
    assert [shard.images.tobytes() for shard in one] == [shard.images.tobytes() for shard in two]
    assert first.model_dump_json() == second.model_dump_json()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_photographs_that_cannot_be_read_are_left_out_and_shards_stay_dense(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    good = encode(photograph(1))
    source, index = make_source(
        tmp_path,
        120,
        at_0=good[: len(good) // 2],
        at_1=b"<html></html>",
        at_2=encode(photograph(1, 177, 218)),
        at_8=encode(Image.new("1", (330, 330)), "PNG"),
        at_9=encode(Image.new("1", (600, 600)), "PNG"),
    )
    (tmp_path / "000010.jpg").unlink()
    monkeypatch.setattr(Folder, "fingerprint", lambda self, image_ids: ["same"] * len(image_ids))
    calls = []
    shards, manifest = pack(source, index, check=lambda unreadable: calls.append(len(unreadable)))
    reasons = {record.image_id: record.reason for record in manifest.unreadable}
    assert reasons.keys() == {f"{number:06d}.jpg" for number in (0, 1, 2, 8, 9, 10)}
    assert "truncated" in reasons["000000.jpg"]
    assert reasons["000001.jpg"] == "not an image"
    assert reasons["000002.jpg"] == "smaller than the crop of 178: 177x218"
    assert "pixels" in reasons["000008.jpg"]
    assert "decompression bomb" in reasons["000009.jpg"].lower()
    assert "No such file" in reasons["000010.jpg"]
    assert [len(shard.images) for shard in shards] == [50, 50, 14]
    assert manifest.splits == {"train": (0, 68), "valid": (68, 91), "test": (91, 114)}
    assert calls[-1] == 6


def test_the_check_stops_packing_early(tmp_path):
    source, index = make_source(tmp_path, 600, at_0=b"broken")

    def refuse(unreadable):
        if unreadable:
            raise ValueError("too many")

    with pytest.raises(ValueError, match="too many"):
        pack(source, index, check=refuse)
    assert source.count_reads() < 600


def test_a_train_split_without_a_readable_photograph_is_refused(tmp_path):
    source, index = make_source(tmp_path, 4, at_0=b"", at_1=b"", at_2=b"")
    with pytest.raises(PackingError, match="None of the 3 photographs of the train split"):
        pack(source, index)


def test_packed_before_is_reused_only_when_nothing_changed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source, index = make_source(tmp_path, 60, at_7=b"broken")
    _, manifest = pack(source, index)
    reads, checked = source.count_reads(), []
    assert pack(source, index, before=Before(manifest), check=checked.append) == ([], manifest)
    assert source.count_reads() == reads
    assert checked == [manifest.unreadable]
    assert "59 packed images in somewhere are reused" in caplog.text

    caplog.clear()
    shards, _ = pack(source, index, before=Before(manifest, damage="shard-00000.npy has changed"))
    assert shards
    assert "shard-00000.npy has changed" in caplog.text

    for change, words in (
        ({"crop": 148}, "recipe: crop 178→148"),
        ({"filter": "box"}, "recipe: filter bilinear→box"),
        ({"shard_images": 20}, "shards: 50→20 images"),
    ):
        caplog.clear()
        shards, _ = pack(source, index, SETTINGS.model_copy(update=change), Before(manifest))
        assert shards
        assert words in caplog.text
    os.utime(tmp_path / "000003.jpg", ns=(1, 1))
    caplog.clear()
    assert pack(source, index, before=Before(manifest))[0]
    assert "source: images or splits differ" in caplog.text
    assert "recipe" not in caplog.text


@pytest.mark.parametrize("crop", [178, 108, "none"])
@pytest.mark.parametrize("name", ["box", "bilinear", "bicubic", "lanczos"])
def test_decoding_crops_the_centre_and_sees_nothing_outside_of_it(crop, name):
    image = photograph(5)
    side = 178 if crop == "none" else crop
    box = ((178 - side) // 2, (218 - side) // 2, (178 + side) // 2, (218 + side) // 2)
    frame = ImageOps.expand(image.crop(box), border=(box[0], box[1]), fill="white")
    recipe = Recipe(crop=crop, size=32, filter=name, pillow="")
    decoded = decode_image(encode(image, "PNG"), recipe)
    np.testing.assert_array_equal(decoded, image.crop(box).resize((32, 32), Image.Resampling[name.upper()]))
    np.testing.assert_array_equal(decoded, decode_image(encode(frame, "PNG"), recipe))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_modes_become_rgb(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    recipe = Recipe(crop="none", size=8, filter="box", pillow="")
    decoded = decode_image(encode(photograph(1, 40, 30).convert(mode), kind), recipe)
    assert (decoded.shape, decoded.dtype) == ((8, 8, 3), np.uint8)


def test_a_slow_consumer_bounds_what_is_decoded_ahead(tmp_path):
    source, index = make_source(tmp_path, 4000)
    packing = pack_images(source, index, SETTINGS.model_copy(update={"workers": 2, "shard_images": 128}), None)
    next(packing)
    reads = -1
    while reads != (reads := source.count_reads()):
        time.sleep(0.3)
    packing.close()
    assert reads <= (1 + 2 * 4) * 128  # the chunk taken, and four begun for each of two workers


def test_a_worker_that_dies_gives_a_clear_error(tmp_path):
    source, index = make_source(tmp_path, 300)
    source = Folder(tmp_path, fatal="000200.jpg")
    with pytest.raises(PackingError, match="One of the 2 processes that decode photographs died"):
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
        """)
    )
    (tmp_path / name).write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        import pandas as pd
        from probe import Probe
        from celeba_gan.imaging.config import PreprocessSettings
        from celeba_gan.imaging.packing import pack_images
        folder = Path(sys.argv[1])
        names = sorted(path.name for path in folder.glob("*.jpg"))
        index = pd.DataFrame({"image_id": names, "split": "train"})
        settings = PreprocessSettings(size=16, shard_images=100, workers=2)
        packing = pack_images(Probe(folder), index, settings, None)
        """)
        + textwrap.dedent(body)
    )
    return subprocess.Popen([sys.executable, name, str(tmp_path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)


def test_workers_import_neither_torch_nor_pandas_nor_kedro(tmp_path):
    make_source(tmp_path, 300)
    program = run_script(tmp_path, "program.py", "import torch, kedro.framework.cli; print(len(list(packing)))")
    assert program.communicate(timeout=60)[0].splitlines()[-1] == "4"  # after what Kedro logs
    assert program.returncode == 0
    workers = list(tmp_path.glob("worker-*"))
    assert workers
    for worker in workers:
        modules = set(worker.read_text().split())
        assert "celeba_gan.imaging.packing" in modules
        assert not modules & {"torch", "pandas", "kedro", "mlflow", "torchvision"}


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
    settings = PreprocessSettings(size=1024)
    assert settings.images_per_shard * 1024 * 1024 * 3 <= 512 * 2**20
    assert isinstance(Shard(0, np.empty((0, 8, 8, 3), np.uint8)), Shard)


def test_settings_refuse_an_attribute_named_twice():
    with pytest.raises(ValueError, match="names an attribute twice"):
        PreprocessSettings(condition_on=["Male", "Male"])
