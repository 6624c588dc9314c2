"""`kedro run` as this project has it, and the installed package without a project."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from kedro_here import configure

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--async"], "--async does not work here"),
        (["--runner-params", "is_async=true"], "--async does not work here"),
        (["--runner", "Nope"], "There is no runner 'Nope'. Kedro has SequentialRunner, ThreadRunner"),
        (["--runner", "no.such.Runner"], "There is no runner 'no.such.Runner'"),
        (["--params", "a=1", "--params", "b=2"], "--params is given 2 times; give all in one, with commas between"),
        (["--env", "smoke", "-e", "celeba", "--env=base"], "--env is given 3 times; give it once"),
        (["--params", "train.kimg:2"], "'train.kimg:2' in --params has a colon in the place of =: give train.kimg=2"),
        (["--params", "source.path=/a,b"], "'b' in --params is not name=value"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(arguments: list[str], message: str) -> None:
    configure()
    from celeba_gan.cli import run

    done = CliRunner().invoke(run, arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.splitlines()) < 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: {env: [smoke", "cannot be read: while parsing"),
        ("- a\n- b\n", "has no options of kedro run. It needs the options under the key run"),
        ("env: smoke\n", "has no options of kedro run"),
        ("run: smoke\n", "has no options of kedro run"),
    ],
)
def test_a_file_of_options_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    configure()
    from celeba_gan.cli import run

    (tmp_path / "run.yml").write_text(text)
    done = CliRunner().invoke(run, ["--config", str(tmp_path / "run.yml")])
    assert done.exit_code == 2, done.output
    assert f"{tmp_path / 'run.yml'} in --config" in done.output
    assert message in done.output


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = dict(os.environ)
    del environment["KEDRO_DISABLE_TELEMETRY"]  # the package sets it by itself
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The configuration as `kedro package` archives it: without the files of `local`, and here without its folder."""
    path = tmp_path / "conf-celeba_gan.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(ROOT / "conf", "conf", filter=lambda member: None if "/local" in member.name else member)
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "faces [2024]"  # brackets matter only where the configuration is
    folder.mkdir()
    return folder


@pytest.mark.parametrize("how", ["module", pytest.param("function", marks=pytest.mark.slow)])
def test_the_package_runs_in_an_empty_folder_with_archived_configuration(how: str, archive: Path, empty: Path) -> None:
    options = [f"--conf-source={archive}", "--env=smoke", "--params=dataset=0123"]
    if how == "module":
        done = python(empty, "-m", "celeba_gan", *options, "--pipelines=ingest")
        made = ["data/02_intermediate/0123/source_report.json"]
        assert not re.findall("WARNING|DEBUG|anonymous usage", done.stdout + done.stderr)
    else:  # the whole line, twice in one process
        code = f"from celeba_gan.__main__ import main; main({options}); main({options}); print('went on')"
        done = python(empty, "-c", code)
        made = ["data/08_reporting/smoke/evaluation.html", "data/06_models/smoke/generator.safetensors", "mlflow.db"]
        assert "went on" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name in made if not (empty / name).is_file()] == []


def test_without_configuration_it_says_how_to_name_one(empty: Path) -> None:
    done = python(empty, "-m", "celeba_gan")
    assert done.returncode == 1
    assert "There is no configuration in" in done.stderr
    assert "--conf-source" in done.stderr
    assert len(done.stderr.splitlines()) < 5


def test_an_environment_that_the_archive_lacks_is_named_with_the_others(archive: Path, empty: Path) -> None:
    done = python(empty, "-m", "celeba_gan", f"--conf-source={archive}", "--env=smok")
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert "There is no environment 'smok'" in said
    assert "did you mean 'smoke'? There are: article, base, celeba," in said
