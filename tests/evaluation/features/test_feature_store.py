import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from celeba_gan.evaluation.features.store import Described, FeatureStore

ROWS = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)


def batches(size: int = 4) -> Iterator[Described]:
    for start in range(0, len(ROWS), size):
        yield Described(ROWS[start : start + size, :3], ROWS[start : start + size, 3:])


def never() -> Iterator[Described]:
    raise AssertionError("described again")


def test_what_was_described_is_found_again_mapped_from_disk(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "new")
    first = store.describe("a", 10, batches)
    again = FeatureStore(tmp_path / "new").describe("a", 10, never)
    for found in (first, again):
        assert (found.features == ROWS[:, :3]).all()
        assert (found.outputs == ROWS[:, 3:]).all()
    assert isinstance(again.features, np.memmap)
    assert store.find("b", 10) is None
    assert store.find("a", 9) is None


def test_a_set_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)

    def broken() -> Iterator[Described]:
        yield from batches()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.describe("a", 11, broken)
    with pytest.raises(ValueError, match="11 images were expected, but there are 10"):
        store.describe("a", 11, batches)
    with pytest.raises(ValueError, match="9 images were expected, but there are 10"):
        store.describe("a", 9, batches)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.describe("a", 10, batches)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:150])
    assert (store.describe("a", 10, batches).features == ROWS[:, :3]).all()
    assert store.numbers("n", lambda: {"x": 1.5}) == {"x": 1.5}
    (numbers,) = tmp_path.glob("*.json")
    numbers.write_text("{")
    assert store.numbers("n", lambda: {"x": 2.5}) == {"x": 2.5}
    assert store.numbers("n", lambda: {"x": 3.5}) == {"x": 2.5}


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, most_bytes=800)
    seen: set[Path] = set()
    for place, key in enumerate(("a", "b")):
        store.describe(key, 10, batches)
        (path,) = set(tmp_path.glob("*.npy")) - seen
        seen.add(path)
        os.utime(path, (place, place))
    assert store.find("a", 10) is not None  # 328 bytes each; used now, after b
    store.describe("c", 10, batches)
    assert store.find("b", 10) is None
    assert store.find("a", 10) is not None
    assert store.find("c", 10) is not None


def test_what_killed_runs_left_is_removed_in_time(tmp_path: Path) -> None:
    for name, age in (("old", 90000), ("new", 100)):
        (tmp_path / f"{name}.staging").write_text("")
        os.utime(tmp_path / f"{name}.staging", (tmp_path.stat().st_mtime - age,) * 2)
    FeatureStore(tmp_path).describe("a", 10, batches)
    assert [path.name for path in tmp_path.glob("*.staging")] == ["new.staging"]


def test_a_folder_that_is_not_writable_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    store = FeatureStore(tmp_path / "file" / "below")
    assert not store.is_writable()
    assert store.numbers("n", lambda: {"x": 1.5}) == {"x": 1.5}
    assert "are not cached" in caplog.text
    assert FeatureStore(tmp_path / "new").is_writable()
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("place", [40, 128, -1])
def test_a_changed_byte_is_found_by_the_checksum(tmp_path: Path, place: int) -> None:
    store = FeatureStore(tmp_path)
    store.describe("a", 10, batches)
    (file,) = tmp_path.glob("*.npy")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert store.find("a", 10) is None
    found = store.describe("a", 10, batches)
    assert (found.features == ROWS[:, :3]).all()
    assert (found.outputs == ROWS[:, 3:]).all()


@pytest.mark.parametrize("width", ["4", "x", "-1", "", "3.3"])
def test_a_name_that_says_something_else_is_not_believed(tmp_path: Path, width: str) -> None:
    store = FeatureStore(tmp_path)
    store.describe("a", 10, batches)
    (file,) = tmp_path.glob("*.npy")
    key, _, checksum, _ = file.name.split(".")
    file.rename(tmp_path / f"{key}.{width}.{checksum}.npy")
    assert store.find("a", 10) is None


def test_what_earlier_versions_stored_is_computed_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.describe("a", 10, batches)
    (file,) = tmp_path.glob("*.npy")
    file.rename(tmp_path / f"{file.name.split('.')[0]}.3.npy")
    assert (store.describe("a", 10, batches).features == ROWS[:, :3]).all()


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + bytes(60), b"\x93NUMPY\x01\x00\x04\x00(((("], ids=["zip", "header"]
)
def test_what_numpy_takes_for_something_else_is_computed_again(tmp_path: Path, content: bytes) -> None:
    store = FeatureStore(tmp_path)
    store.describe("a", 10, batches)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(content)
    assert (store.describe("a", 10, batches).features == ROWS[:, :3]).all()


@pytest.mark.parametrize(
    "text",
    ["[]", "5", "null", '{"x": 1.5}', '{"numbers": {"x": "1"}, "checksum": ""}', "[" * 100_000, '{"numbers": 1}'],
)
def test_damaged_numbers_are_measured_again(tmp_path: Path, text: str) -> None:
    store = FeatureStore(tmp_path)
    store.numbers("n", lambda: {"x": 1.5})
    (file,) = tmp_path.glob("*.json")
    file.write_text(text)
    assert store.numbers("n", lambda: {"x": 2.5}) == {"x": 2.5}


def test_a_changed_digit_of_a_number_is_found(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.numbers("n", lambda: {"x": 1.5, "y": float("inf")})
    (file,) = tmp_path.glob("*.json")
    assert store.numbers("n", dict) == {"x": 1.5, "y": float("inf")}
    file.write_text(file.read_text().replace("1.5", "1.4"))
    assert store.numbers("n", lambda: {"x": 1.5}) == {"x": 1.5}
