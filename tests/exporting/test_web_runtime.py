"""onnxruntime-web: what stops its fetching, in words, and what is never put into a folder."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from celeba_gan.exporting.errors import ExportError
from celeba_gan.exporting.web_runtime import FILES, VERSION, WebRuntime


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that comes first; the real one is another test's."""
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_npm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    runtime = WebRuntime(tmp_path / "runtime")
    for attempt in (runtime.check, lambda: runtime.copy_to(tmp_path / "copy")):
        with pytest.raises(ExportError, match=r"npm was not found.*Install Node\.js, or .*export\.web=false"):
            attempt()
    assert not (tmp_path / "copy").exists()


def test_what_was_fetched_before_needs_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / VERSION).mkdir()
    sums = {}
    for name in FILES:
        (tmp_path / VERSION / name).write_text(name)
        sums[name] = base64.b64encode(hashlib.sha512(name.encode()).digest()).decode()
    (tmp_path / VERSION / "sha512.json").write_text(json.dumps(sums))
    runtime = WebRuntime(tmp_path)
    runtime.check()
    runtime.copy_to(tmp_path / "copy")
    assert {file.name: file.read_text() for file in (tmp_path / "copy").iterdir()} == {name: name for name in FILES}
    (tmp_path / VERSION / FILES[0]).write_text("damaged")
    with pytest.raises(ExportError, match="npm was not found"):
        runtime.check()


@pytest.mark.skipif(os.name == "nt", reason="the npm of this test is a shell script")
def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, "echo 'npm error 404 Not Found' >&2; exit 1", monkeypatch)
    runtime = WebRuntime(tmp_path / "runtime")
    with pytest.raises(
        ExportError, match=r"could not fetch onnxruntime-web .*npm error 404 Not Found.*export.web=false"
    ):
        runtime.copy_to(tmp_path / "copy")
    assert not runtime.folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="the npm of this test is a shell script")
def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as packed:
        for name in FILES[:2]:
            content = b"mischief"
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    fake_npm(tmp_path, f'cp "{tmp_path}/other.tgz" ./fetched.tgz', monkeypatch)
    assert shutil.which("npm") == str(tmp_path / "npm")
    runtime = WebRuntime(tmp_path / "runtime")
    with pytest.raises(ExportError, match=r"another onnxruntime-web .* than expected"):
        runtime.copy_to(tmp_path / "copy")
    assert not runtime.folder.exists()
