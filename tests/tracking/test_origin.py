import subprocess
from pathlib import Path

import kedro
import pytest

from celeba_gan.tracking.origin import describe_origin, versions


def test_git_commit_and_whether_the_tree_differs(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--initial-branch", "trunk")
    assert "mlflow.source.git.commit" not in describe_origin(tmp_path, {}, {})  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--message", "first")
    tags = describe_origin(tmp_path, {}, {})
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert tags["mlflow.source.git.branch"] == "trunk"
    assert tags["mlflow.source.git.dirty"] == "false"
    (tmp_path / "file").write_text("2")
    assert describe_origin(tmp_path, {}, {})["mlflow.source.git.dirty"] == "true"


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/venv/bin/kedro", "run", "--params", "a b=1"], "kedro run --params 'a b=1'"),
        (["/src/celeba_gan/__main__.py", "--env", "celeba"], "python -m celeba_gan --env celeba"),
        (
            ["/venv/bin/kedro", "run", "--params", "source.path=sftp://me:secret@host/x"],
            "kedro run --params source.path=sftp://***@host/x",
        ),
    ],
)
def test_the_command_is_one_to_type_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: list[str], command: str
) -> None:
    monkeypatch.setattr("sys.argv", argv)
    assert describe_origin(tmp_path, {}, {})["mlflow.source.name"] == command


def test_the_preset_and_the_pipelines_are_tags(tmp_path: Path) -> None:
    tags = describe_origin(tmp_path, {"pipeline_names": ["train", "evaluate"], "env": "celeba"}, {"dataset": "faces"})
    assert (tags["pipelines"], tags["preset"], tags["dataset"]) == ("evaluate,train", "celeba", "faces")
    tags = describe_origin(tmp_path, {"pipeline_names": None}, {})
    assert (tags["pipelines"], tags["preset"]) == ("default", "base")


def test_versions_are_those_that_are_installed() -> None:
    assert versions()["kedro"] == kedro.__version__
    assert set(versions()) == {"python", "celeba-gan", "kedro", "mlflow", "torch"}
