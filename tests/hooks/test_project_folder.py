"""From a sub-folder of the project, a run finds the same files and logs in the same way."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.framework.session import KedroSession

from celeba_gan.foundation.paths import normalised


@pytest.fixture
def run(project: Path) -> Callable[..., str]:
    """`kedro run` in a sub-folder, in a process of its own; returns what it printed, in one line."""

    def begin(*params: str) -> str:
        folder = project / "notes"
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "kedro", "run", "--env", "folder", "--params", ",".join(params)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 1
        return " ".join((done.stdout + done.stderr).split())

    return begin


@pytest.mark.parametrize(
    ("parameter", "path", "expected"),
    [
        pytest.param("source.path", "../nowhere", "no folder {above}/nowhere.", marks=pytest.mark.slow),
        pytest.param(
            "train.init_from", "../nowhere", "no experiment, file or folder '../nowhere'.", marks=pytest.mark.slow
        ),
        pytest.param("evaluate.features.path", "a/../no.onnx", "no file {project}/no.onnx.", marks=pytest.mark.slow),
        pytest.param("evaluate.inception_weights", "a/../no.pth", "no file {project}/no.pth.", marks=pytest.mark.slow),
    ],
)
def test_relative_paths_start_at_the_projects_folder(
    run: Callable[..., str], project: Path, parameter: str, path: str, expected: str
) -> None:
    said = run(f"{parameter}={path}")
    assert expected.format(project=project, above=project.parent) in said
    assert f"start at the project's folder, {project}" in said.replace("starts", "start")
    assert "Traceback" not in said  # of conf/logging.yml, too: the project's own counts
    assert "kedro/framework/project/__init__" not in said


def test_the_former_folder_is_current_again_after_a_run(
    project: Path, load_context: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.excepthook", print)
    (project / "notes").mkdir()
    with contextlib.chdir(project / "notes"):
        for params in ({"source": {"path": "nowhere"}}, {"train": {"init_from": "nowhere"}}):
            session = KedroSession.create(project, env="folder", runtime_params=params)
            with session, pytest.raises(Exception, match="project's folder"):
                session.run()
            assert Path.cwd() == project / "notes"


def test_paths_in_messages_are_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert normalised("a/../b") == str(tmp_path / "b")
    assert normalised("~/b") == str(Path.home() / "b")
