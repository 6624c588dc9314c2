import errno
import shutil
import tempfile
from dataclasses import astuple
from types import SimpleNamespace

import numpy as np
import pytest
from photograph_folder import make_source

from celeba_gan.images.chunks import Chunk
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.duplicates import DIGEST
from celeba_gan.images.packed import Shard
from celeba_gan.images.packing import pack_images
from celeba_gan.images.spool import Spool

SIZE = 16


def chunks_of(*lengths):
    random, start = np.random.default_rng(0), 100
    for length in lengths:
        pixels = random.integers(0, 256, (length, SIZE, SIZE, 3), dtype=np.uint8)
        yield Chunk(start, np.array([b"%d" % place for place in range(length)], DIGEST), {0: "damaged"}, pixels)
        start += length


def equal(first, second):
    return all(np.array_equal(one, other) for one, other in zip(astuple(first), astuple(second), strict=True))


def test_chunks_come_back_in_order_with_all_they_held():
    chunks = list(chunks_of(3, 7, 1))
    with Spool(11, SIZE) as kept:
        for chunk in chunks:
            kept.add(chunk)
        assert len(kept) == 11
        back = kept.chunks()
        assert all(equal(next(back), chunk) for chunk in chunks)
        assert next(back, None) is None


def test_a_temporary_folder_with_too_little_space_takes_nothing(monkeypatch):
    needed = 11 * SIZE * SIZE * 3
    for free, taken in ((2 * needed - 1, 0), (2 * needed, 11)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        with Spool(11, SIZE) as kept:
            for chunk in chunks_of(3, 7, 1):
                kept.add(chunk)
            assert len(kept) == taken


def test_without_a_temporary_folder_it_takes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "removed"))
    with Spool(11, SIZE) as kept:
        for chunk in chunks_of(3, 7, 1):
            kept.add(chunk)
        assert len(kept) == 0
        assert list(kept.chunks()) == []


class FullAfter:
    """A file on a disk that fills up, or breaks."""

    def __init__(self, file, room, error):
        self.file, self.room, self.error = file, room, error

    def write(self, data):
        if self.room == 0:
            raise OSError(self.error, "no more")
        data = data[: self.room]
        self.room -= len(data)
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_disk_that_fills_up_keeps_the_chunks_before():
    chunks = list(chunks_of(3, 7, 1))
    with Spool(11, SIZE) as kept:
        kept._file = FullAfter(kept._file, 5 * SIZE * SIZE * 3, errno.ENOSPC)
        for chunk in chunks:
            kept.add(chunk)
        assert len(kept) == 3
        assert [equal(one, chunks[0]) for one in kept.chunks()] == [True]


def test_a_broken_disk_is_an_error():
    with Spool(11, SIZE) as kept:
        kept._file = FullAfter(kept._file, 0, errno.EIO)
        with pytest.raises(OSError, match="no more"):
            kept.add(next(chunks_of(3)))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_packing_gives_the_same_bytes_without_space_for_temporary_files(tmp_path, monkeypatch, caplog, workers):
    source, index = make_source(tmp_path, 130, at_3=b"no image")
    settings = PreprocessSettings(size=SIZE, shard_images=50, workers=workers)
    (tmp_path / "reads").touch()

    def packed():
        reads = source.count_reads()
        parts = pack_images(source, index, settings, None)
        saved = [(part.images.copy(), part.journal) if isinstance(part, Shard) else part for part in parts]
        return saved, source.count_reads() - reads

    caplog.set_level("INFO")
    (*shards, manifest), once = packed()
    assert "a second time" not in caplog.text
    room = iter([30 * SIZE * SIZE * 3])

    class Small(Spool):
        def __init__(self, images, size):
            super().__init__(images, size)
            self._file = FullAfter(self._file, next(room), errno.ENOSPC)

    monkeypatch.setattr("celeba_gan.images.packing.Spool", Small)
    (*others, other), again = packed()
    assert manifest == other
    for (images, journal), (same, as_before) in zip(shards, others, strict=True):
        np.testing.assert_array_equal(images, same)
        assert journal == as_before
    assert once == 130
    assert again > 130
    assert "of them a second time: too little space for temporary files" in caplog.text
