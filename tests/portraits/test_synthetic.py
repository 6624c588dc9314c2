import io
import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from rich.progress import Progress

from celeba_gan.portraits import Portrait, draw, sample_portrait, synthetic
from celeba_gan.portraits.synthetic import NotSyntheticError, SyntheticCelebA
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

SMALL = SyntheticCelebA(images=20, seed=5, workers=1)
TEXTS = ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "celeba"
    assert SMALL.ensure(folder) is True
    return folder


@pytest.fixture
def blank(monkeypatch):
    """Sets in no time: the files are written as ever, but every picture in them is white."""
    monkeypatch.setattr(synthetic, "draw", lambda portrait: Image.new("RGB", (8, 8), "white"))


def test_the_archive_is_celebas(drawn):
    with zipfile.ZipFile(drawn / "img_align_celeba.zip") as archive:
        assert archive.namelist() == [f"img_align_celeba/{number:06d}.jpg" for number in range(1, 21)]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        with Image.open(io.BytesIO(archive.read("img_align_celeba/000007.jpg"))) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (178, 218))
            expected = io.BytesIO()
            draw(sample_portrait(5, 6)).save(expected, "JPEG", quality=90)
            assert archive.read("img_align_celeba/000007.jpg") == expected.getvalue()


def test_the_text_files_have_the_official_quirks(drawn):
    for name in TEXTS:
        text = (drawn / name).read_bytes()
        assert text.endswith(b"\r\n")
        assert text.count(b"\n") == text.count(b"\r\n")
    count, header, *rows = (drawn / "list_attr_celeba.txt").read_bytes().split(b"\r\n")[:-1]

    assert count == b"20"
    assert header == " ".join(ATTRIBUTES).encode() + b" "
    assert len(rows) == 20
    assert all(re.fullmatch(rb"0000\d\d\.jpg(( -1)|(  1)){40}", row) for row in rows)


def test_the_text_files_describe_the_portraits(drawn):
    rows = (drawn / "list_attr_celeba.txt").read_text().splitlines()[2:]
    identities = (drawn / "identity_CelebA.txt").read_text().splitlines()

    for index, (row, identity) in enumerate(zip(rows, identities, strict=True)):
        portrait = sample_portrait(5, index)
        name, *values = row.split()
        assert name == f"{index + 1:06d}.jpg"
        assert [int(value) for value in values] == [2 * value - 1 for value in portrait.attributes().values()]
        assert identity == f"{name} {portrait.identity}"


@pytest.mark.parametrize("images", [10, 30, 999, 1000, 1357])
def test_splits_are_blocks_and_large_sets_share_nobody_between_them(tmp_path, blank, images):
    SyntheticCelebA(images, workers=1).write(tmp_path)
    splits = [int(line.split()[1]) for line in (tmp_path / "list_eval_partition.txt").read_text().splitlines()]
    people = [int(line.split()[1]) for line in (tmp_path / "identity_CelebA.txt").read_text().splitlines()]

    assert splits == sorted(splits)
    for split, share in ((0, 0.8), (1, 0.1), (2, 0.1)):
        assert splits.count(split) == pytest.approx(share * images, abs=max(1, 0.05 * images))
    if images >= 1000:
        of_split = [{who for who, where in zip(people, splits, strict=True) if where == split} for split in range(3)]
        assert sum(len(who) for who in of_split) == len(set.union(*of_split))


def test_bytes_depend_on_the_seed_and_not_on_the_workers(tmp_path):
    for name, seed, workers in (("one", 2, 1), ("two", 2, 2), ("other", 3, 1)):
        SyntheticCelebA(images=40, seed=seed, workers=workers).write(tmp_path / name)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one")["img_align_celeba.zip"] != contents(tmp_path / "other")["img_align_celeba.zip"]


def test_a_set_that_is_there_is_left_alone(drawn):
    before = {path: path.stat().st_mtime_ns for path in drawn.iterdir()}

    assert SyntheticCelebA(images=20, seed=5, workers=2).ensure(drawn) is False
    assert {path: path.stat().st_mtime_ns for path in drawn.iterdir()} == before
    assert json.loads((drawn / "synthetic.json").read_text()) == SMALL.record


@pytest.mark.parametrize("wanted", [SyntheticCelebA(12, 5, 1), SyntheticCelebA(20, 6, 1)])
def test_another_set_is_noticed_and_replaced(tmp_path, drawn, blank, caplog, wanted):
    folder = tmp_path / "celeba"
    shutil.copytree(drawn, folder)

    with caplog.at_level(logging.INFO):
        assert wanted.ensure(folder) is True
    assert "holds another synthetic set" in caplog.text
    assert json.loads((folder / "synthetic.json").read_text()) == wanted.record
    assert (folder / "list_attr_celeba.txt").read_text().startswith(f"{wanted.images}\n")
    assert wanted.ensure(folder) is False


def test_another_drawing_version_is_another_set(tmp_path, drawn, blank, monkeypatch):
    folder = tmp_path / "celeba"
    shutil.copytree(drawn, folder)
    monkeypatch.setattr(synthetic, "DRAWING_VERSION", synthetic.DRAWING_VERSION + 1)

    assert SMALL.ensure(folder) is True


@pytest.mark.parametrize("name", ["img_align_celeba.zip", "notes.txt"])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(NotSyntheticError, match=re.escape(name)):
        SMALL.ensure(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_what_was_added_to_a_synthetic_folder_is_not_lost(tmp_path, drawn):
    folder = tmp_path / "celeba"
    shutil.copytree(drawn, folder)
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)

    assert SMALL.ensure(folder) is False
    with pytest.raises(NotSyntheticError, match=r"notes\.txt"):
        SyntheticCelebA(images=12, workers=1).ensure(folder)
    assert contents(folder) == before


def test_a_folder_kept_for_git_counts_as_absent_and_stays_kept(tmp_path, blank):
    folder = tmp_path / "celeba"
    folder.mkdir()
    (folder / ".gitkeep").touch()

    assert SMALL.ensure(folder) is True
    assert set(contents(folder)) == {".gitkeep", "img_align_celeba.zip", "synthetic.json", *TEXTS}


def test_an_interrupted_drawing_is_not_taken_for_a_set(tmp_path, drawn, monkeypatch):
    folder = tmp_path / "celeba"
    calls = 0

    def interrupted(portrait: Portrait) -> Image.Image:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise KeyboardInterrupt
        return draw(portrait)

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            SMALL.ensure(folder)
    assert not folder.exists()

    assert SMALL.ensure(folder) is True
    assert contents(folder) == contents(drawn)
    assert not (tmp_path / ".celeba.partial").exists()


def test_a_set_with_a_missing_file_is_drawn_again(tmp_path, drawn):
    folder = tmp_path / "celeba"
    shutil.copytree(drawn, folder)
    (folder / "identity_CelebA.txt").unlink()

    assert SMALL.ensure(folder) is True
    assert contents(folder) == contents(drawn)


def test_of_two_processes_one_draws(tmp_path):
    code = (
        "import sys; from pathlib import Path; from celeba_gan.portraits.synthetic import SyntheticCelebA; "
        "print(SyntheticCelebA(20, workers=1).ensure(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "celeba")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]
    assert len((tmp_path / "celeba" / "identity_CelebA.txt").read_text().splitlines()) == 20


def test_workers_import_neither_the_main_module_nor_anything_heavy(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from pathlib import Path\n"
        "with open('imports.txt', 'a') as log: log.write('imported\\n')\n"
        "from celeba_gan.portraits import synthetic\n"
        "print(synthetic.SyntheticCelebA(40, workers=2).ensure(Path('celeba')))\n"
        "import sys; print(sorted({'torch', 'pandas', 'kedro', 'mlflow'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines() == ["True", "[]"]  # the workers import what this script does, less the script
    assert (tmp_path / "imports.txt").read_text() == "imported\n"


@pytest.mark.parametrize("wrong", [{"images": 0}, {"images": 1_000_000}, {"workers": 0}])
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyntheticCelebA(**wrong)


def test_a_bar_goes_to_the_last_portrait(tmp_path, blank, monkeypatch):
    seen, update = [], Progress.update

    def record(bar, task, *, completed):
        seen.append(completed)
        update(bar, task, completed=completed)

    monkeypatch.setattr(Progress, "update", record)
    SyntheticCelebA(images=70, workers=1).write(tmp_path / "raw")
    assert seen == list(range(1, 71))
