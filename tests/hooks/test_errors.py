"""`kedro run` as people see it fail: a small project of its own, and what its process prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset

from celeba_gan.datasets.images import PictureDataset
from celeba_gan.hooks.errors import TRACEBACK_VARIABLE, message_for_people
from celeba_gan.sources.errors import SourceError

ROOT = Path(__file__).parents[2]

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "mini"
        project_name = "mini"
        kedro_init_version = "1.7.0"
        source_dir = "src"
    """,
    ".telemetry": "consent: false",
    "conf/base/catalog.yml": """
        source: {type: mini.stages.Source}
        absent: {type: json.JSONDataset, filepath: data/absent.json}
    """,
    "conf/base/globals.yml": "{dataset: a, experiment: b}",
    "conf/base/parameters.yml": "bug: {size: 1}",
    "conf/local/.gitkeep": "",
    "src/mini/__init__.py": "",
    "src/mini/settings.py": """
        from celeba_gan.hooks.config_loader import ConfigLoader
        from celeba_gan.hooks.errors import ShortErrors
        from celeba_gan.hooks.guards import ParameterGuard

        CONFIG_LOADER_CLASS = ConfigLoader
        HOOKS = (ParameterGuard(), ShortErrors())
    """,
    "src/mini/stages.py": """
        from kedro.io import AbstractDataset
        from celeba_gan.sources.errors import SourceError

        class Source(AbstractDataset):
            def load(self):
                raise SourceError("No images in [bold]/faces[/bold]; put them there")
            def save(self, data): ...
            def _describe(self): return {}

        def refuse():
            raise SourceError("Too few images.\\nGive more.")

        def divide(size):
            return size / 0
    """,
    "src/mini/pipeline_registry.py": """
        from kedro.pipeline import Node, Pipeline
        from mini.stages import divide, refuse

        def register_pipelines():
            return {
                "load": Pipeline([Node(lambda source: source, "source", "copy", name="load")]),
                "absent": Pipeline([Node(lambda absent: absent, "absent", "copy", name="absent")]),
                "node": Pipeline([Node(refuse, None, "nothing", name="refuse")]),
                "bug": Pipeline([Node(divide, "params:bug.size", "nothing", name="divide")]),
                "__default__": Pipeline([]),
            }
    """,
}


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(content))
    shutil.copy(ROOT / "conf" / "logging.yml", folder / "conf")
    return folder


def kedro_run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "KEDRO_DISABLE_TELEMETRY": "1", **variables}
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "bugs.size=1"], "No stage reads the parameter 'bugs' in --params; did you mean 'bug'?"),
        (["--pipelines", "nod"], "Failed to find the pipeline named 'nod'"),
        (["--pipelines", "load"], "Error: No images in [bold]/faces[/bold]; put them there\n"),
        (["--pipelines", "absent"], "No such file or directory"),
        (["--pipelines", "node"], "Error: Too few images.\nGive more.\n"),
    ],
)
def test_what_people_can_mend_is_one_message(mini: Path, arguments: list[str], message: str) -> None:
    run = kedro_run(mini, *arguments)
    assert run.returncode == 1
    assert message in run.stderr
    assert run.stderr.startswith("Error: ")
    assert "Traceback" not in run.stdout + run.stderr
    assert TRACEBACK_VARIABLE in run.stderr.splitlines()[-1]
    assert "Repeat the previous command" not in run.stdout  # Kedro's advice, which would fail again


def test_a_bug_keeps_its_traceback(mini: Path) -> None:
    run = kedro_run(mini, "--pipelines", "bug")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "ZeroDivisionError" in run.stderr


def test_the_variable_keeps_every_traceback(mini: Path) -> None:
    run = kedro_run(mini, "--pipelines", "node", **{TRACEBACK_VARIABLE: "1"})
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "Too few images." in run.stderr


def caught(action: object) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011
        action()  # type: ignore[operator]
    return info.value


def test_an_error_that_arose_while_another_was_handled_is_a_bug(tmp_path: Path) -> None:
    def handle_badly() -> None:
        try:
            raise SourceError("no images")
        except SourceError:
            {}["missing"]

    assert message_for_people(caught(handle_badly)) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "absent.json" in (message_for_people(caught(JSONDataset(filepath=str(tmp_path / "absent.json")).load)) or "")


@pytest.mark.parametrize("content", [b"", b"{\xff\x00 rubbish"], ids=["empty", "rubbish"])
@pytest.mark.parametrize(
    ("name", "dataset"),
    [("a.parquet", ParquetDataset), ("a.csv", CSVDataset), ("a.json", JSONDataset), ("a.png", PictureDataset)],
)
def test_a_damaged_file_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: Any, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    message = message_for_people(caught(dataset(filepath=str(tmp_path / "data" / name)).load)) or ""
    assert message.startswith(f"data/{name} is damaged: ")
    assert message.endswith("Remove it, and run the stage that makes it with the same --env and --params")


def test_a_bug_in_loading_is_no_damaged_file(tmp_path: Path) -> None:
    class Table(JSONDataset):
        def load(self) -> object:
            raise ValueError("a bug")

    (tmp_path / "a.json").write_text("{}")
    assert message_for_people(caught(Table(filepath=str(tmp_path / "a.json")).load)) is None
