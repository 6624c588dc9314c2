"""What `make` says to a person who has just cloned the repository."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[1]
INTERPRETER = """#!/bin/sh
[ "$2" = venv ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python && printf '#!/bin/sh\\necho the run' > .venv/bin/kedro
[ "$2" = pip ] && echo installs
chmod +x .venv/bin/*
"""


def test_a_first_run_says_that_packages_are_installed_before_they_are(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    interpreter = tmp_path / "python"  # in place of Python, which would download packages
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    command = ["make", "run", f"PYTHON={interpreter}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def said() -> list[str]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    first = said()
    assert first[0].startswith("Making .venv and installing the packages in it")
    assert first.index("installs") > 0
    assert first[-1] == "the run"
    again = said()
    assert again[-1] == "the run"
    assert not any("installing" in line for line in again)


@pytest.mark.slow
def test_every_installed_package_runs_on_the_first_python_that_is_promised() -> None:
    """Debian's is 3.11.2; a version that wants a later one makes the set-up fail there, and nowhere else."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first = project["requires-python"].removeprefix(">=") + ".0"
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.M))
    checked = [name for name in pinned if _is_installed(name, pinned[name])]
    assert len(checked) > 100
    refusing = {name: metadata.metadata(name).get("Requires-Python") or "" for name in checked}
    assert not {name: wanted for name, wanted in refusing.items() if not SpecifierSet(wanted).contains(first)}


def _is_installed(name: str, version: str) -> bool:
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:  # for another platform
        return False
