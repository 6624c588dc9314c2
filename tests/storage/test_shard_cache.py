import errno
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from celeba_gan.storage.shard_cache import BusyError, ShardCache


def fill(cache: ShardCache, name: str, size: int) -> bool:
    with cache.store(name, size) as partial:
        if partial is not None:
            assert partial.stat().st_size == size  # the room is taken before the first byte arrives
            partial.write_bytes(bytes(size))
    return partial is not None


def content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def in_another_process(tmp_path: Path):
    """Starts a process that does something with a cache and then waits until it is killed."""
    started = []

    def start(code: str) -> subprocess.Popen[bytes]:
        program = f"""
            from pathlib import Path
            from celeba_gan.storage.shard_cache import ShardCache
            def fill(cache, name, size):
                with cache.store(name, size) as partial:
                    partial.write_bytes(bytes(size))
            {code}
            print("ready", flush=True)
            input()
        """
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, **pipes)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_is_stored_is_found_and_what_has_no_room_is_not_stored(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, "faces", 1000)
    assert cache.find("a", 600) is None
    assert fill(cache, "a", 600)
    assert not fill(cache, "b", 401)
    assert not fill(cache, "c", 1001)
    assert fill(cache, "d", 400)
    assert content(tmp_path) == {"faces/a", "faces/d"}
    assert cache.find("a", 600) == tmp_path / "faces/a"
    assert cache.find("b", 401) is None


def test_a_file_that_fails_is_gone_and_its_room_is_free(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, "faces", 1000)
    with pytest.raises(ZeroDivisionError), cache.store("a", 900):
        raise ZeroDivisionError
    assert content(tmp_path) == set()
    assert fill(cache, "b", 900)


def test_of_sets_that_nothing_uses_the_least_recently_used_files_go(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "older")):
        cache = ShardCache(tmp_path, name, 1000)
        for file in "ab":
            fill(cache, file, 200)
            os.utime(tmp_path / name / file, ns=(0, 10 * (file == "a") - number))
        cache.close()
    found = ShardCache(tmp_path, "older", 1000)
    found.find("b", 200)  # which makes it the most recently used
    found.close()
    cache = ShardCache(tmp_path, "new", 1000)
    assert fill(cache, "a", 300)
    assert content(tmp_path) == {"old/a", "older/a", "older/b", "new/a"}
    assert fill(cache, "b", 350)
    assert content(tmp_path) == {"older/b", "new/a", "new/b"}
    assert used(tmp_path) <= 1000


def test_nothing_is_deleted_in_vain(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, "old", 1000)
    fill(cache, "a", 500)
    cache.close()
    cache = ShardCache(tmp_path, "new", 1000)
    assert fill(cache, "a", 450)
    assert not fill(cache, "b", 600)
    assert content(tmp_path) == {"old/a", "new/a"}


def test_what_another_process_uses_stays_until_it_ends(tmp_path: Path, in_another_process) -> None:
    process = in_another_process("cache = ShardCache(Path(), 'theirs', 1000); fill(cache, 'a', 700)")
    cache = ShardCache(tmp_path, "mine", 1000)
    assert not fill(cache, "b", 500)
    process.kill()
    process.wait()
    assert fill(cache, "b", 500)
    assert content(tmp_path) == {"mine/b"}


def test_of_two_processes_one_stores_a_file_and_a_killed_one_leaves_nothing(tmp_path: Path, in_another_process) -> None:
    process = in_another_process(
        "store = ShardCache(Path(), 'faces', 1000).store('a', 800); partial = store.__enter__()"
    )
    cache = ShardCache(tmp_path, "faces", 1000)
    with pytest.raises(BusyError), cache.store("a", 800):
        pass
    assert not fill(cache, "b", 300)  # the room is taken
    process.kill()
    process.wait()
    assert content(tmp_path) == {"faces/a.partial"}
    assert fill(cache, "b", 300)
    assert content(tmp_path) == {"faces/b"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    cache = ShardCache(tmp_path, "faces", 1000)
    with caplog.at_level(logging.WARNING):
        assert not fill(cache, "a", 300)
        assert not fill(cache, "b", 300)
    assert [record.getMessage() for record in caplog.records] == [
        f"Nothing more is stored in {tmp_path}: [Errno {code}] {os.strerror(code)}"
    ]
    assert content(tmp_path) == set()


def test_a_file_in_the_place_of_the_folder_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    cache = ShardCache(tmp_path / "cache", "faces", 1000)
    assert not fill(cache, "a", 300)
    assert cache.find("a", 300) is None


def test_a_damaged_file_is_stored_anew(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, "faces", 1000)
    fill(cache, "a", 600)
    (tmp_path / "faces/a").write_bytes(b"half")
    assert cache.find("a", 600) is None
    assert fill(cache, "a", 600)
    assert cache.find("a", 600) is not None


def test_what_is_no_part_of_a_cache_is_neither_counted_nor_deleted(tmp_path: Path) -> None:
    """As where somebody names the home folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_bytes(bytes(5000))
    (tmp_path / "letter.txt").write_bytes(bytes(5000))
    cache = ShardCache(tmp_path, "faces", 1000)
    assert fill(cache, "a", 900)
    assert not fill(cache, "b", 900)
    assert content(tmp_path) == {"mine/thesis.txt", "letter.txt", "faces/a"}
