"""`kedro run` as people see it fail: a small project of its own, and what its process prints."""

import logging
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
from celeba_gan.hooks.errors import TRACEBACK_VARIABLE, message_for_people, shorten_errors
from celeba_gan.hooks.guards import ParameterError
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
        pytest.param(["--pipelines", "nod"], "Failed to find the pipeline named 'nod'", marks=pytest.mark.slow),
        (["--pipelines", "load"], "Error: No images in [bold]/faces[/bold]; put them there\n"),
        pytest.param(["--pipelines", "absent"], "No such file or directory", marks=pytest.mark.slow),
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


@pytest.mark.slow
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


def test_what_readers_of_tables_look_up_in_vain_is_a_damaged_file(tmp_path: Path) -> None:
    """A Parquet file whose notes for pandas are those of something else."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"a": [1]}).replace_schema_metadata({"pandas": "{}"})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    message = message_for_people(caught(ParquetDataset(filepath=str(tmp_path / "a.parquet")).load)) or ""
    assert "a.parquet is damaged: " in message


@pytest.mark.parametrize("trace", ["0", "1"])
@pytest.mark.parametrize("pipeline", ["bug", "node"])
def test_no_error_shows_who_logs_in(
    trace: str, pipeline: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a bug, of what it came from, and of an error for people, with and without their traceback."""
    monkeypatch.setenv(TRACEBACK_VARIABLE, trace)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    factory = logging.getLogRecordFactory()
    try:
        shorten_errors()
        kind = ZeroDivisionError if pipeline == "bug" else ParameterError
        try:
            try:
                raise OSError(5, "no answer", "https://me:hush@host/a?token=hush")
            except OSError as error:
                raise kind("https://me:hush@host has no model") from error
        except (ZeroDivisionError, ParameterError) as error:
            sys.excepthook(type(error), error, error.__traceback__)
        logging.getLogger("celeba_gan.test").warning("no answer from %s", "https://me:hush@host")
    finally:
        logging.setLogRecordFactory(factory)
    printed = capfd.readouterr().err
    assert "https://***@host has no model" in printed
    assert ("Traceback" in printed) == (trace == "1" or pipeline == "bug")
    # the traceback quotes this test's own lines
    assert "hush" not in "".join(line for line in printed.splitlines() if not line.startswith("    "))


def test_a_disk_that_is_full_when_a_snapshot_is_saved_is_one_message(tmp_path: Path) -> None:
    """safetensors has an error of its own for it, which is the root of the chain."""
    pytest.importorskip("resource")  # Windows has none
    program = dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        import torch
        from kedro.io import AbstractDataset
        from celeba_gan.foundation.documents import Document
        from celeba_gan.gan.runs.checkpoint import Checkpoint
        from celeba_gan.hooks.errors import message_for_people

        class Card(Document):
            version, oldest, noun = 1, 1, "card"

        class Snapshots(AbstractDataset):
            def load(self): ...
            def _describe(self): return {}
            def save(self, data): data.save(Path(sys.argv[1]) / "state.safetensors")

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            Snapshots().save(Checkpoint("training_state", Card(), {"weight": torch.zeros(10_000)}))
        except Exception as error:
            print(message_for_people(error))
        """
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert "state.safetensors could not be written: " in done.stdout
