import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from breaking_proxy import BreakingProxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeba_gan.images.packed import hash_pixels
from celeba_gan.storage.array_files import ChangedError, RowsFile
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place
from celeba_gan.storage.rows import RemoteRows

LENGTHS = [50, 50, 50, 50, 21]
ROW = 3000
ROWS = np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), ROW), dtype=np.uint8)
FILE_BYTES = 128 + 50 * ROW


def upload(place: Place) -> list[RowsFile]:
    """Files as NumPy writes them."""
    records = []
    for number, rows in enumerate(np.split(ROWS, np.cumsum(LENGTHS)[:-1])):
        name = f"shard-{number}.npy"
        place_file(place / name, rows)
        records.append(RowsFile(name, len(rows), hash_pixels(rows)))
    return records


def place_file(place: Place, rows: np.ndarray[Any, Any]) -> None:
    content = io.BytesIO()
    np.save(content, rows)
    place.write_bytes(content.getvalue())


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Opens the rows of a place, and closes them after the test."""
    all_rows = []

    def open_rows(place: Place, files: list[RowsFile], cache: Path | None = None, **use: Any) -> RemoteRows:
        choice = {"cache": str(cache or tmp_path / "cache"), "cache_gb": 1.0, **use}
        rows = RemoteRows(place, files, ROW, "content", StorageSettings(**choice))
        all_rows.append(rows)
        return rows

    yield open_rows
    for rows in all_rows:
        rows.close()


def in_order(numbers: list[int]) -> Any:
    return np.sort(np.array(numbers, np.int64))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("cache_gb", [1.0, 320_000e-9, 0.0])
def test_rows_are_those_of_the_files(new_place: Callable[..., Place], opened: Any, cache_gb: float) -> None:
    rows = opened(new_place(), upload(new_place()), cache_gb=cache_gb)
    random = np.random.default_rng(1)
    for count in (1, 3, 8, 221, 60, 8, 3, 0):
        numbers = in_order(random.integers(0, len(ROWS), count).tolist())
        np.testing.assert_array_equal(rows.gather(numbers), ROWS[numbers])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(0, len(ROWS) - 1), max_size=30), ahead=st.lists(st.integers(0, 220), max_size=30))
def test_rows_announced_or_not_are_the_same(memory: str, opened: Any, numbers: list[int], ahead: list[int]) -> None:
    place = Place(memory)
    files = upload(place) if not place.exists() else [RowsFile(f"shard-{i}.npy", n, "") for i, n in enumerate(LENGTHS)]
    rows = RemoteRows(place, files, ROW, "content", StorageSettings(cache_gb=0))
    rows._threads = [threading.current_thread()]  # no whole file is read: every row comes by itself
    rows.expect(ahead)
    reader = threading.Thread(target=rows._read_ahead)
    reader.start()
    wanted = in_order(numbers)
    single = {int(number): bytes(ROWS[number]) for number in wanted}
    assert rows._singly(list(single)) == single
    rows._queue.put({})
    reader.join()


def test_the_whole_set_is_copied_meanwhile_and_then_read_from_the_disk(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, opened: Any, tmp_path: Path
) -> None:
    files = upload(Place(s3, s3_options))
    place = Place(s3, {**s3_options, "endpoint_url": proxy.url}, 1.0)
    rows = opened(place, files)
    rows.gather(in_order([3]))
    until(lambda: len(rows._maps) == len(files))
    proxy.down = True
    np.testing.assert_array_equal(rows.gather(np.arange(len(ROWS))), ROWS)
    again = opened(place, files)  # another process of this machine, after the connection is lost
    again._sizes = rows._sizes
    np.testing.assert_array_equal(again.gather(np.arange(len(ROWS))), ROWS)
    stored = sorted(path.name for path in (tmp_path / "cache" / "content").iterdir() if path.name != ".use")
    assert stored == sorted(f"{file.sha256}.npy" for file in files)


@pytest.mark.slow
def test_rows_read_ahead_are_there_when_the_connection_is_not(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, opened: Any
) -> None:
    files = upload(Place(s3, s3_options))
    rows = opened(Place(s3, {**s3_options, "endpoint_url": proxy.url}, 0.1), files, cache_gb=0.0)
    rows.gather(in_order([0]))
    until(lambda: len(rows._sums) == len(files))  # the pass through all files is over
    rows.expect([7, 120, 121, 200])
    until(lambda: all(future.done() for future in rows._ahead.values()))
    proxy.down = True
    np.testing.assert_array_equal(rows.gather(in_order([7, 120, 200])), ROWS[[7, 120, 200]])
    with pytest.raises(StorageError, match="cannot be read"):
        rows.gather(in_order([8]))
    proxy.down = False
    np.testing.assert_array_equal(rows.gather(in_order([8, 121])), ROWS[[8, 121]])


def test_a_connection_that_breaks_in_the_middle_is_tried_again(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, opened: Any
) -> None:
    files = upload(Place(s3, s3_options))
    rows = opened(Place(s3, {**s3_options, "endpoint_url": proxy.url}), files)
    rows.check()
    proxy.cuts = [70_000, 10_000, 140_000, 100]
    np.testing.assert_array_equal(rows.gather(np.arange(len(ROWS))), ROWS)
    assert proxy.broken == 4


def test_a_changed_file_is_noticed_whichever_of_its_rows_are_read(
    new_place: Callable[..., Place], opened: Any, tmp_path: Path
) -> None:
    place = new_place()
    files = upload(place)
    changed = ROWS[50:100].copy()
    changed[7, 5] ^= 1
    place_file(place / "shard-1.npy", changed)
    rows = opened(place, files)
    with pytest.raises(ChangedError, match=r"shard-1\.npy has changed since it was packed"):
        for number in range(1000):  # of other files: the thread finds it
            rows.gather(in_order([number % 50]))
            time.sleep(0.01)
    assert not list((tmp_path / "cache" / "content").glob(f"{files[1].sha256}*"))
    with pytest.raises(ChangedError, match=r"shard-1\.npy"):
        opened(place, files).verify()


def test_a_row_that_changes_after_its_file_was_verified_is_noticed(
    new_place: Callable[..., Place], opened: Any
) -> None:
    place = new_place()
    rows = opened(place, upload(place), cache_gb=0.0)
    rows.verify()
    changed = ROWS[50:100].copy()
    changed[7, 5] ^= 1
    place_file(place / "shard-1.npy", changed)
    np.testing.assert_array_equal(rows.gather(in_order([56])), ROWS[[56]])
    with pytest.raises(ChangedError, match=r"shard-1\.npy has changed"):
        rows.gather(in_order([57]))


def test_a_row_that_was_read_before_its_file_was_verified_is_compared_later(memory: str) -> None:
    place = Place(memory)
    files = upload(place)
    rows = RemoteRows(place, files, ROW, "content", StorageSettings(cache_gb=0))
    changed = ROWS[50:100].copy()
    changed[7, 5] ^= 1
    place_file(place / "shard-1.npy", changed)
    rows._fetch([57])
    place_file(place / "shard-1.npy", ROWS[50:100])
    with pytest.raises(ChangedError, match=r"shard-1\.npy has changed"):
        rows._obtain(1, wait=True)


def test_a_missing_and_a_cut_off_file_are_refused(new_place: Callable[..., Place], opened: Any) -> None:
    place = new_place()
    files = upload(place)
    opened(place, files).check()
    place_file(place / "shard-2.npy", ROWS[:49])
    with pytest.raises(ChangedError, match=r"shard-2\.npy has 147,128 bytes, which are not 50 rows of 3,000"):
        opened(place, files).check()
    (place / "shard-2.npy").unlink()
    with pytest.raises(ChangedError, match=r"shard-2\.npy does not exist"):
        opened(place, files).check()


def test_a_cache_that_is_too_small_is_said_and_never_exceeded(
    new_place: Callable[..., Place], opened: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, limit = new_place(), 2 * FILE_BYTES + 1000
    rows = opened(place, upload(place), cache_gb=limit / 1e9)
    most = 0

    def watch() -> bool:
        nonlocal most
        with contextlib.suppress(FileNotFoundError):  # a file that gets its final name meanwhile: look again later
            most = max(most, sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()))
        return len(rows._maps) + len(set(rows._sums) - set(rows._maps)) == len(LENGTHS)

    for count in range(40):
        numbers = in_order(np.random.default_rng(count).integers(0, len(ROWS), 3).tolist())
        np.testing.assert_array_equal(rows.gather(numbers), ROWS[numbers])
        watch()
    until(watch)
    assert 2 * FILE_BYTES <= most <= limit
    assert "The cache of 301.3 kB (storage.cache_gb) is smaller than the 663.0 kB" in caplog.text
    assert "about 55 %" in caplog.text


READER = """
import json, sys
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.places import Place
from celeba_gan.storage.array_files import RowsFile
from celeba_gan.storage.rows import RemoteRows
url, options, files, row, cache = json.loads(sys.argv[1])
files = [RowsFile(*file) for file in files]
rows = RemoteRows(Place(url, options), files, row, "content", StorageSettings(cache=cache))
rows.check()
print("ready", flush=True)
sys.stdin.readline()
rows.verify()
print(len(rows._maps), flush=True)
"""


@pytest.mark.slow
def test_processes_of_one_machine_fetch_every_file_once(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, tmp_path: Path
) -> None:
    files = [(file.name, file.rows, file.sha256) for file in upload(Place(s3, s3_options))]
    work = json.dumps([s3, {**s3_options, "endpoint_url": proxy.url}, files, ROW, str(tmp_path / "cache")])
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    readers = [subprocess.Popen([sys.executable, "-c", READER, work], **pipes) for _ in range(3)]
    assert [reader.stdout.readline() for reader in readers if reader.stdout] == ["ready\n"] * 3
    before = proxy.answered
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
    assert [reader.communicate(timeout=60)[0] for reader in readers] == [f"{len(files)}\n"] * 3
    total = sum(LENGTHS) * ROW
    assert total < proxy.answered - before < 1.5 * total


@pytest.mark.parametrize("cache_gb", [1.0, 320_000e-9])
def test_a_copy_whose_disk_flips_a_bit_is_fetched_again(
    memory: str, opened: Any, tmp_path: Path, cache_gb: float
) -> None:
    place = Place(memory)
    files = upload(place)
    first = opened(place, files, cache_gb=cache_gb)
    first.verify()
    first.close()
    stored = [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".npy", ".sums")]
    assert {path.suffix for path in stored} == ({".npy"} if cache_gb == 1 else {".npy", ".sums"})
    for path in stored:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(data))
    again = opened(place, files, cache_gb=cache_gb)
    again.verify()
    found = np.empty_like(ROWS)
    everything = np.arange(len(ROWS))
    again.gather_into(found, everything, everything)
    assert np.array_equal(found, ROWS)
