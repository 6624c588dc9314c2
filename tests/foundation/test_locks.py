"""Locks of folders, and of all that uses them, where the file system has none or the file cannot be written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import Timeout

from celeba_gan.foundation.locks import LockError, acquire, locked
from celeba_gan.portraits.synthetic import SyntheticCelebA
from celeba_gan.sources.download.download import download_celeba
from celeba_gan.sources.download.transfer import RetryPolicy
from celeba_gan.sources.errors import SourceError
from celeba_gan.tracking.config import TrackingError, TrackingSettings
from celeba_gan.tracking.database import prepare

QUICK = RetryPolicy(pauses=(0.01,), timeouts=(1.0, 1.0))


def draw(folder: Path) -> None:
    SyntheticCelebA(images=20, workers=1).ensure(folder / "set")
    assert (folder / "set" / "synthetic.json").exists()


def fetch(folder: Path) -> None:
    with pytest.raises(SourceError, match="could not be downloaded"):  # nothing listens there
        download_celeba(folder, "http://127.0.0.1:9/", policy=QUICK)


def set_up(folder: Path) -> None:
    prepare(TrackingSettings(), folder)
    assert (folder / "mlflow.db").exists()


USERS = pytest.mark.parametrize("use", [draw, fetch, set_up])


@USERS
def test_without_locks_it_goes_on_with_a_warning(
    use: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:

        def flock(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        patch.setattr("fcntl.flock", flock)
        use(tmp_path)
    warnings = [record.getMessage() for record in caplog.records if "has no locks" in record.getMessage()]
    assert len(warnings) == 1
    assert os.strerror(errno.ENOLCK) in warnings[0]
    for file in tmp_path.rglob("*.lock"):  # none that looks like the lock of a run which was killed
        acquired = acquire(file, timeout=0)
        assert acquired is not None
        acquired.release()


@USERS
@pytest.mark.parametrize(
    ("code", "advice"), [(errno.EROFS, "Change the owner or the mode of"), (errno.ENOSPC, "Free some space")]
)
def test_a_lock_file_that_cannot_be_written_is_named(
    use: Callable[[Path], None], code: int, advice: str, tmp_path: Path, refuse_lock_files: Callable[[int], None]
) -> None:
    refuse_lock_files(code)
    with pytest.raises((LockError, TrackingError), match=rf"lock file .*\.lock, which cannot be written.*{advice}"):
        use(tmp_path)


def test_a_name_that_is_too_long_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="this name is too long here: give a shorter one"):
        acquire(tmp_path / f".{'a' * 252}.lock")


def test_a_second_one_waits_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / ".lock"
    with locked(file), pytest.raises(Timeout):
        acquire(file, timeout=0.05)
    with locked(file, timeout=0):
        pass
