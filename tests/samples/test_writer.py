"""Samples are written in every format, continue after an interruption, and give way only to complete ones."""

import shutil
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.samples import recipe as recipe_module
from celeba_gan.samples import stored as stored_module
from celeba_gan.samples.recipe import SampleBatch, SampleRecipe
from celeba_gan.samples.stored import SamplesError, StoredSamples
from celeba_gan.samples.writer import SampleWriter

FORMATS = ["png", "webp", "zip", "packed"]
MakeRecipe = Callable[..., SampleRecipe]
MakeBatch = Callable[[SampleRecipe, int, int, int], SampleBatch]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "_BLOCK", 10)


def write(folder: Path, recipe: SampleRecipe, total: int, batch: MakeBatch, *, stop: int | None = None) -> int:
    """Writes samples in batches of 7, up to `stop` of them, as the node does; returns how many were made."""
    stop = total if stop is None else stop
    first = start = StoredSamples(folder).resume(recipe, total)
    if first == total:
        return 0
    writer = SampleWriter(folder, recipe, total)
    while first < stop:
        writer.add(batch(recipe, total, first, min(first + 7, stop)))
        first = min(first + 7, stop)
    writer.close()
    return stop - start


def read(folder: Path, format_: str) -> NDArray[np.uint8]:
    """All samples in the order of the table, read with nothing of this project."""
    table = pd.read_parquet(folder / "samples.parquet")
    if format_ == "packed":
        return np.concatenate([np.load(folder / name) for name in table["file"].unique()])
    if format_ == "zip":
        with zipfile.ZipFile(folder / "samples.zip") as archive:
            assert archive.testzip() is None
            return np.stack([np.asarray(Image.open(archive.open(name))) for name in table["file"]])
    return np.stack([np.asarray(Image.open(folder / name)) for name in table["file"]])


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("total", [1, 10, 33])
def test_every_pixel_comes_back(
    format_: str, total: int, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    recipe, folder = make_recipe(format=format_), tmp_path / "samples"
    write(folder, recipe, total, batch)
    assert np.array_equal(read(folder, format_), batch(recipe, total, 0, total).images)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]
    files = {"png": total, "webp": total, "zip": 1, "packed": -(-total // 10)}[format_]
    assert len(content(folder)) == files + 2  # the table and the recipe


def test_the_table_has_what_makes_each_again(tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch) -> None:
    write(tmp_path / "samples", make_recipe(), 23, batch)
    table = pd.read_parquet(tmp_path / "samples" / "samples.parquet")
    assert table["number"].tolist() == list(range(23))
    assert set(table["seed"]) == {3}
    assert set(table["truncation"]) == {0.5}
    expected = [["Hat"] * (number % 2) + ["Tie"] * (number % 3 == 0) for number in range(23)]
    assert [list(labels) for labels in table["labels"]] == expected


def test_many_images_lie_in_folders_of_a_thousand(
    tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_module, "_BLOCK", 1024)
    recipe, folder = make_recipe(), tmp_path / "samples"
    writer = SampleWriter(folder, recipe, 10_001)
    for first in range(0, 10_001, 1000):
        writer.add(batch(recipe, 10_001, first, min(first + 1000, 10_001)))
    assert len(list((folder / "00000").iterdir())) == 1000
    assert np.array_equal(
        np.asarray(Image.open(folder / "00010" / "010000.png")), batch(recipe, 10_001, 10_000, 10_001).images[0]
    )
    assert StoredSamples(folder).resume(recipe, 10_001) == 10_001


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("stop", [0, 3, 10, 14, 20, 27, 32])
def test_an_interrupted_run_is_continued_and_gives_the_same_files(
    format_: str, stop: int, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    recipe = make_recipe(format=format_)
    write(tmp_path / "whole", recipe, 33, batch)
    write(tmp_path / "samples", recipe, 33, batch, stop=stop)
    assert not (tmp_path / "samples").exists()
    made = write(tmp_path / "samples", recipe, 33, batch)
    assert made == 33 - stop // 10 * 10
    assert content(tmp_path / "samples") == content(tmp_path / "whole")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_kill_at_any_file_operation_loses_nothing(
    format_: str, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer dies at the n-th rename or removal; what it has left by then is continued, for every n."""
    recipe = make_recipe(format=format_)
    write(tmp_path / "whole", recipe, 23, batch)

    class Killed(BaseException):
        pass

    operations = {name: getattr(Path, name) for name in ("replace", "unlink")}
    count, deadly, lock = 0, 0, threading.Lock()

    def dying(name: str) -> Callable[..., Any]:
        def operate(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            with lock:
                count += 1
                if count >= deadly > 0:
                    raise Killed
            return operations[name](self, *arguments, **options)

        return operate

    for deadly in range(1, 100):
        folder = tmp_path / f"{deadly}" / "samples"
        write(folder, make_recipe(seed=9, format=format_), 5, batch)  # former samples
        count = 0
        with monkeypatch.context() as patched:
            for name in operations:
                patched.setattr(Path, name, dying(name))
            try:
                write(folder, recipe, 23, batch)
            except Killed:
                died = True
            else:
                died = False
        write(folder, recipe, 23, batch)
        assert sorted(content(folder)) == sorted(content(tmp_path / "whole")), deadly
        assert content(folder) == content(tmp_path / "whole"), deadly
        assert [path.name for path in folder.parent.iterdir()] == ["samples"]
        shutil.rmtree(folder.parent)
        if not died:
            break
    assert deadly > 8


def test_other_samples_begin_anew(tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch) -> None:
    folder = tmp_path / "samples"
    write(folder, make_recipe(), 33, batch, stop=25)
    for changes in ({"seed": 4}, {"truncation": 0.7}, {"labels": ("Hat",)}, {"images": 8}, {"format": "webp"}):
        assert StoredSamples(folder).resume(make_recipe(**changes), 33) == 0
    assert StoredSamples(folder).resume(make_recipe(), 40) == 0
    assert StoredSamples(folder).resume(make_recipe(), 33) == 20
    assert write(folder, make_recipe(seed=4), 12, batch) == 12
    assert len(read(folder, "png")) == 12


@pytest.mark.parametrize("format_", FORMATS)
def test_finished_samples_are_reused_unless_a_file_is_missing(
    format_: str, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    recipe, folder = make_recipe(format=format_), tmp_path / "samples"
    write(folder, recipe, 23, batch)
    before = content(folder)
    assert write(folder, recipe, 23, batch) == 0
    for name in before:
        if name == "recipe.json":
            continue
        (folder / name).unlink()
        assert write(folder, recipe, 23, batch) == 23
        assert content(folder) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 9}', "negative", '{"recipe": 1}', "\0"])
def test_a_damaged_record_is_that_of_no_samples(
    text: str, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    folder = tmp_path / "samples"
    write(folder, make_recipe(), 33, batch, stop=25)
    record = tmp_path / ".samples.partial" / "progress.json"
    record.write_text(record.read_text().replace('"done": 20', '"done": -20') if text == "negative" else text)
    assert write(folder, make_recipe(), 33, batch) == 33


def test_samples_out_of_turn_are_refused(tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch) -> None:
    writer = SampleWriter(tmp_path / "samples", make_recipe(), 20)
    writer.add(batch(make_recipe(), 20, 0, 5))
    with pytest.raises(ValueError, match="samples from 6 were given, those from 5 were expected"):
        writer.add(batch(make_recipe(), 20, 6, 8))
    with pytest.raises(ValueError, match="were expected"):
        writer.add(batch(make_recipe(seed=1), 20, 5, 8))


def test_blocks_hold_64_mebibytes_at_most(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "_BLOCK", 1024)
    assert [make_recipe(size=size).block for size in (32, 128, 256, 1024)] == [1024, 1024, 341, 21]


@pytest.mark.parametrize(
    "format_", [name if name == "packed" else pytest.param(name, marks=pytest.mark.slow) for name in FORMATS]
)
def test_memory_holds_a_block_at_most(
    format_: str, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_module, "_BLOCK", 64)
    recipe, total = make_recipe(format=format_, size=64, names=()), 64 * 40
    write(tmp_path / "imports", make_recipe(format=format_), 3, batch)  # what it imports is memory, too
    block = 64 * 64 * 64 * 3  # bytes
    writer, random = SampleWriter(tmp_path / "samples", recipe, total), np.random.default_rng(0)
    tracemalloc.start()
    try:
        for first in range(0, total, 32):
            images = random.integers(0, 256, (32, 64, 64, 3), dtype=np.uint8)  # PNG does not make noise smaller
            writer.add(SampleBatch(recipe, total, first, images, np.zeros((32, 0), np.float32)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert block < peak < 15 * block  # of 40, and what the process does besides


def test_many_samples_of_another_recipe_are_set_aside(
    tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_module, "_WORTH_KEEPING", 20)
    folder = tmp_path / "samples"
    write(folder, make_recipe(), 23, batch)
    finished = content(folder)
    write(folder, make_recipe(seed=4), 33, batch, stop=25)  # interrupted
    write(folder, make_recipe(seed=5), 5, batch)
    assert len(read(folder, "png")) == 5
    kept = {path.name: path for path in tmp_path.iterdir() if path.name.startswith("samples.")}
    assert len(kept) == 2
    assert finished in [content(path) for path in kept.values()]
    assert min(len(list(path.glob("*.png"))) for path in kept.values()) >= 20  # those of whole blocks
    write(folder, make_recipe(seed=6), 5, batch)  # of few nothing is kept
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("total", "aside"), [(5, 1), (22, 1), (30, 0)])
def test_fewer_samples_of_the_same_recipe_do_not_delete_many(
    total: int,
    aside: int,
    tmp_path: Path,
    make_recipe: MakeRecipe,
    batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_module, "_WORTH_KEEPING", 20)
    folder = tmp_path / "samples"
    write(folder, make_recipe(), 23, batch)
    before = content(folder)
    write(folder, make_recipe(), total, batch)
    assert len(read(folder, "png")) == total
    assert [content(path) for path in tmp_path.glob("samples.*")] == [before] * aside


@pytest.mark.parametrize(("format_", "name"), [("png", "rows-00000.parquet"), ("zip", "block-00001.zip")])
@pytest.mark.parametrize("damage", ["cut", "removed", "changed"])
def test_damaged_blocks_of_an_interrupted_run_are_named(
    format_: str, name: str, damage: str, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    folder, recipe = tmp_path / "samples", make_recipe(format=format_)
    write(folder, recipe, 33, batch, stop=25)
    file = tmp_path / ".samples.partial" / name
    content = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        middle = len(content) // 3
        file.write_bytes(content[:middle] if damage == "cut" else content[:middle] + bytes(20) + content[middle + 20 :])
    if (format_, damage) == ("png", "changed"):
        return  # it lies between what Parquet reads first
    with pytest.raises(SamplesError, match=r"\.samples\.partial, where an interrupted run.*Delete this folder"):
        write(folder, recipe, 33, batch)


@pytest.mark.parametrize("content", [b"", b"PAR1rubbishPAR1"])
def test_finished_samples_with_a_damaged_table_are_made_again(
    content: bytes, tmp_path: Path, make_recipe: MakeRecipe, batch: MakeBatch
) -> None:
    folder = tmp_path / "samples"
    write(folder, make_recipe(), 23, batch)
    (folder / "samples.parquet").write_bytes(content)
    assert write(folder, make_recipe(), 23, batch) == 23
