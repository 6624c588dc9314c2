"""The benchmark of hostile files, in short."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks/hostile_data.py"


@pytest.mark.slow
def test_no_hostile_file_crashes_or_is_taken_for_what_it_is_not() -> None:
    command = [sys.executable, str(BENCHMARK), "--files", "500", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 of 500 crashed, hung, or were taken for what they are not"
    for kind in ("Images", "Tables", "Zips", "Packed", "Snapshots", "Documents", "ProjectTables"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{kind}: ")]
        assert "read" in line or "resumed" in line, line  # the damage is not so coarse that all is refused
        assert "'refused': " in line, line
