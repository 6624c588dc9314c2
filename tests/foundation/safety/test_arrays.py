"""Arrays are mapped from files as they are, and nothing else in such a file is opened, run or waited for."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from celeba_gan.foundation.safety.arrays import ArrayError, map_array

ROWS = np.arange(24, dtype=np.float32).reshape(4, 6)


def test_an_array_is_mapped_as_it_was_saved(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    found = map_array(tmp_path / "rows.npy")
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ROWS)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        map_array(tmp_path / "rows.npy")


def with_header(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + ROWS.tobytes()


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("rows.npy", content)
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        saved(ROWS)[:-1],
        saved(ROWS)[:60],
        saved(np.array([{}, []], object)),
        saved(np.asfortranarray(ROWS)),
        zipped(saved(ROWS)),  # which NumPy would take for several arrays
        b"PK\x03\x04" + bytes(60),
        pickle.dumps(ROWS),
        with_header(b"(" * 5000),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,"),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -6), }"),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 40 + b",), }"),
        with_header(b"__import__('os').mkdir('made')"),
    ],
)
def test_what_is_no_array_is_refused_with_a_reason(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.npy").write_bytes(content)
    with pytest.raises(ArrayError, match=r"it is not an array|Fortran"):
        map_array(tmp_path / "rows.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.npy")
    with pytest.raises(ArrayError, match="not a file"):
        map_array(tmp_path / "rows.npy")
