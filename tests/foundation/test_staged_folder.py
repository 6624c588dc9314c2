"""A folder is replaced whole, or not at all, wherever a process is killed."""

import shutil
from pathlib import Path

import pytest

from celeba_gan.foundation.files import restore_folder, staged_folder


def write(folder: Path, text: str) -> None:
    for name in ("a", "deep/b"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def read(folder: Path) -> set[str]:
    return {file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_the_new_folder_replaces_the_former_one_and_nothing_else_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with staged_folder(tmp_path / "in" / "folder") as staging:
            write(staging, text)
        assert read(tmp_path / "in") == {text}
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["folder"]


def test_an_exception_leaves_the_former_one(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "folder") as staging:
        write(staging, "first")
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "folder") as staging:
        (staging / "a").write_text("second")
        raise KeyboardInterrupt
    assert read(tmp_path) == {"first"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


class Killed(BaseException):
    """The end of a process: nothing after it runs."""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_process_killed_at_any_rename_leaves_one_whole_folder(
    tmp_path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    with staged_folder(folder) as staging:
        write(staging, "first")
    real, done = Path.replace, []

    def replace(path: Path, target: Path) -> Path:
        if len(done) == renames:
            raise Killed
        done.append(path)
        return real(path, target)

    def no_cleaning(path: Path, **_: object) -> None:
        if len(done) == renames:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(Killed), staged_folder(folder) as staging:
            write(staging, "second")
            patched.setattr(shutil, "rmtree", no_cleaning)
    restore_folder(folder)
    assert read(folder) == {"first" if renames < 2 else "second"}
    with staged_folder(folder) as staging:
        write(staging, "third")
    assert read(tmp_path) == {"third"}
