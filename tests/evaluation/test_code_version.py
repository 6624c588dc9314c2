import shutil
from pathlib import Path
from types import ModuleType

import pytest

from celeba_gan.evaluation import code_version


def version_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(code_version, "__file__", str(folder / "code_version.py"))
    code_version.code_version.cache_clear()
    try:
        return code_version.code_version()
    finally:
        code_version.code_version.cache_clear()


@pytest.mark.parametrize("file", ["evaluate.py", "metrics/swd.py", "features/classifier.py"])
def test_the_version_covers_files_in_all_rooms(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: ModuleType = code_version
    shutil.copytree(Path(str(module.__file__)).parent, tmp_path / "evaluation")
    before = version_in(tmp_path / "evaluation", monkeypatch)
    with (tmp_path / "evaluation" / file).open("a") as changed:
        changed.write("# changed")
    assert version_in(tmp_path / "evaluation", monkeypatch) != before
