"""What `make` says to a person who has just cloned the repository."""

import os
import shutil
import subprocess
from pathlib import Path

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
