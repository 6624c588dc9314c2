import logging
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kedro.io import DatasetError
from photograph_folder import PhotographFolder, index_of, make_source

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import Shard
from celeba_gan.images.packing import pack_images

COUNT = 230
SETTINGS = PreprocessSettings(size=16, shard_images=20, workers=1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """With unreadable ones, leaks and duplicates; some lie where shards end."""
    folder = tmp_path_factory.mktemp("photographs")
    make_source(folder, COUNT)
    for number in (33, 34, 35, 100, 229):
        (folder / f"{number:06d}.jpg").write_bytes(b"no image %d" % number)
    for number, twin in ((0, 3), (30, 4), (60, 61), (101, 3), (8, 9), (36, 37)):
        shutil.copy(folder / f"{twin:06d}.jpg", folder / f"{number:06d}.jpg")
    return folder


@pytest.fixture(scope="module")
def source(photographs):
    return PhotographFolder(photographs), index_of(photographs)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    target = tmp_path_factory.mktemp("undisturbed") / "images"
    run(source, target)
    return contents(target)


def run(source, target, saves=None, settings=SETTINGS, **options):
    """Pack as the pipeline does, until so many parts were saved."""
    before = PackedImagesDataset(str(target), missing_ok=True).load()
    packing = pack_images(*source, settings, before, **options)
    dataset = PackedImagesDataset(str(target))
    parts = 0
    while parts != saves:
        part = next(packing, None)
        if part is None:
            break
        dataset.save(part)
        parts += 1
    packing.close()
    return parts


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_packed_has_everything_that_can_go_wrong(undisturbed, source, tmp_path):
    run(source, tmp_path)
    manifest = PackedImagesDataset(str(tmp_path)).load().manifest
    assert (len(manifest.unreadable), len(manifest.leaks), len(manifest.duplicates)) == (5, 3, 5)
    assert len(manifest.shards) == 12
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize(
    "saves", [1, 5, 11, 12, *(pytest.param(saves, marks=pytest.mark.slow) for saves in (2, 3, 4, 6, 7, 8, 9, 10))]
)
def test_packing_carries_on_after_every_shard(source, undisturbed, tmp_path, caplog, saves):
    caplog.set_level(logging.INFO)
    assert run(source, tmp_path, saves) == saves
    assert not PackedImagesDataset(str(tmp_path)).exists()
    reads, seen, checked = source[0].count_reads(), [], []
    assert run(source, tmp_path, progress=lambda *place: seen.append(place), check=checked.append) == 13 - saves
    assert contents(tmp_path) == undisturbed
    assert f" after {saves} of 12 shards" in caplog.text
    assert seen[0][0] >= min(saves * 20, COUNT)
    assert seen[0] == (seen[0][0], COUNT)
    assert source[0].count_reads() - reads == COUNT - seen[0][0]  # each photograph once
    assert len(checked[-1]) == 5


def test_an_interrupted_packing_may_carry_on_with_other_workers(source, undisturbed, tmp_path):
    run(source, tmp_path, 3, SETTINGS.model_copy(update={"workers": 2}))
    run(source, tmp_path, 4)
    run(source, tmp_path, settings=SETTINGS.model_copy(update={"workers": 2}))
    assert contents(tmp_path) == undisturbed


def start(photographs, target, workers=1, seconds=0.0, full_at=-1):
    arguments = [str(argument) for argument in (photographs, target, workers, seconds, full_at)]
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("packing_program.py")), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_packing_killed_again_and_again_gives_the_same_bytes(photographs, undisturbed, tmp_path, how, workers):
    draw = random.Random(workers)
    killed = 0
    for _ in range(6):
        program = start(photographs, tmp_path, workers, seconds=0.003 * workers)
        for line in program.stdout:
            if line == "begun\n":
                break
        time.sleep(draw.uniform(0, 0.5) + (0.5 if workers == 2 else 0))  # workers have to start
        program.send_signal(how)
        killed += program.wait(timeout=60) != 0
        program.stdout.close()
    assert killed
    program = start(photographs, tmp_path, workers)
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 0, output
    assert contents(tmp_path) == undisturbed


def test_a_full_disk_leaves_whole_shards_and_packing_carries_on(photographs, source, undisturbed, tmp_path):
    program = start(photographs, tmp_path, full_at=5)
    output, _ = program.communicate(timeout=60)
    assert program.returncode != 0
    assert "shard-00005.npy cannot be written: File too large. The 5 shards before it are kept" in output
    assert {path.name for path in tmp_path.iterdir()} == {
        f"shard-0000{number}.{kind}" for number in range(5) for kind in ("npy", "journal")
    }
    assert run(source, tmp_path) == 12 - 5 + 1
    assert contents(tmp_path) == undisturbed


def test_a_full_disk_takes_nothing_from_whole_packed_images(photographs, source, tmp_path):
    run(source, tmp_path, settings=SETTINGS.model_copy(update={"size": 8}))
    whole = contents(tmp_path)
    program = start(photographs, tmp_path, full_at=0)
    output, _ = program.communicate(timeout=60)
    assert program.returncode != 0
    assert "recipe: size 8→16" in output
    assert contents(tmp_path) == whole
    assert PackedImagesDataset(str(tmp_path)).exists()


def flip(path, place=-3):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda folder: flip(folder / "shard-00002.npy"), 2),
        (lambda folder: (folder / "shard-00003.npy").unlink(), 3),
        pytest.param(lambda folder: (folder / "shard-00003.npy").write_bytes(b""), 3, marks=pytest.mark.slow),
        (lambda folder: flip(folder / "shard-00001.journal", 10), 1),
        pytest.param(lambda folder: flip(folder / "shard-00001.journal", 700), 1, marks=pytest.mark.slow),
        pytest.param(lambda folder: (folder / "shard-00001.journal").unlink(), 1, marks=pytest.mark.slow),
        pytest.param(
            lambda folder: (folder / "shard-00004.journal").write_bytes(b"\xff\xfe"), 4, marks=pytest.mark.slow
        ),
        (lambda folder: shutil.copy(folder / "shard-00001.journal", folder / "shard-00000.journal"), 0),
    ],
)
def test_what_follows_a_damaged_shard_or_journal_is_packed_again(source, undisturbed, tmp_path, damage, kept):
    run(source, tmp_path, 6)
    damage(tmp_path)
    assert run(source, tmp_path) == 12 - kept + 1
    assert contents(tmp_path) == undisturbed


def test_shards_of_another_plan_are_not_carried_on(source, undisturbed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run(source, tmp_path, 6, SETTINGS.model_copy(update={"filter": "box"}))
    assert run(source, tmp_path, 2) == 2  # over those of the other plan
    assert "Packing from the beginning" in caplog.text
    assert run(source, tmp_path) == 12 - 2 + 1
    assert " after 2 of 12 shards" in caplog.text
    assert contents(tmp_path) == undisturbed


def test_a_source_that_changed_meanwhile_is_packed_from_the_beginning(tmp_path):
    source = make_source(tmp_path / "photographs", 100)
    run(source, tmp_path / "images", 3)
    flip(tmp_path / "photographs" / "000001.jpg")
    assert run(source, tmp_path / "images") == 5 + 1
    run(source, tmp_path / "undisturbed")
    assert contents(tmp_path / "images") == contents(tmp_path / "undisturbed")


def test_packed_images_of_the_first_format_are_packed_again(source, undisturbed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run(source, tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"format_version": 2', b'"format_version": 1'))
    assert not PackedImagesDataset(str(tmp_path)).exists()
    assert isinstance(PackedImagesDataset(str(tmp_path), missing_ok=True).load(), UnfinishedPacking)
    with pytest.raises(DatasetError, match="format_version"):
        PackedImagesDataset(str(tmp_path)).load()
    assert run(source, tmp_path) == 13
    again = [record.message for record in caplog.records if "again" in record.message]
    assert len(again) == 1
    assert "Packing again: " in again[0]
    assert "format_version: Input should be 2" in again[0]
    assert contents(tmp_path) == undisturbed


def test_leftover_journals_go_with_the_next_save(source, undisturbed, tmp_path):
    run(source, tmp_path)
    shard = next(part for part in pack_images(*source, SETTINGS, None) if isinstance(part, Shard))
    (tmp_path / "shard-00000.journal").write_bytes(shard.journal.to_bytes())  # as a kill after the manifest leaves it
    assert PackedImagesDataset(str(tmp_path)).exists()
    assert run(source, tmp_path) == 1
    assert contents(tmp_path) == undisturbed
