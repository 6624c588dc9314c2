"""Seconds from typing a command to its end, and of CPU, beside those of another checkout.

Each checkout gets a temporary project: a copy of its conf, src and pyproject.toml, with an empty data folder. Rounds
take the commands in turn, once for each checkout; figures are medians. `kedro run --env smoke` begins with an empty
data folder and a new MLflow database each time; `--pipelines evaluate` follows it, so all that can be cached is.

    python benchmarks/starting.py --before CHECKOUT
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
KEDRO = (sys.executable, "-m", "kedro")
COMMANDS = {
    "python -m celeba_gan --help": (sys.executable, "-m", "celeba_gan", "--help"),
    "kedro registry list": (*KEDRO, "registry", "list"),
    "kedro catalog describe-datasets": (*KEDRO, "catalog", "describe-datasets"),
    "kedro run --env smoke": (*KEDRO, "run", "--env", "smoke"),
    "kedro run --env smoke --pipelines evaluate": (*KEDRO, "run", "--env", "smoke", "--pipelines", "evaluate"),
}
FROM_NOTHING = "kedro run --env smoke"


class Taken(NamedTuple):
    """What a command took, with all its processes."""

    wall: float  # seconds
    cpu: float  # seconds


def copy_project(checkout: Path, folder: Path) -> None:
    """The parts of a checkout that a run needs."""
    folder.mkdir()
    for name in ("conf", "src"):
        shutil.copytree(checkout / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(checkout / "pyproject.toml", folder)


def take(project: Path, command: tuple[str, ...]) -> Taken:
    """Runs a command in a project."""
    own = {"PYTHONPATH": str(project / "src"), "KEDRO_DISABLE_TELEMETRY": "1"}
    own["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=project, env=os.environ | own, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed in {project}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def empty(project: Path) -> None:
    """Leaves no data and no MLflow runs."""
    for path in (project / "data", project / "mlartifacts"):
        shutil.rmtree(path, ignore_errors=True)
    (project / "mlflow.db").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout of this repository")
    arguments = parser.parse_args()
    checkouts = {"now": PROJECT} | ({"before": arguments.before.absolute()} if arguments.before else {})
    taken: dict[tuple[str, str], list[Taken]] = {(label, name): [] for label in COMMANDS for name in checkouts}
    with tempfile.TemporaryDirectory() as temporary:
        projects = {name: Path(temporary) / name for name in checkouts}
        for name, checkout in checkouts.items():
            copy_project(checkout, projects[name])
            take(projects[name], COMMANDS["kedro registry list"])  # writes the bytecode
        for _ in range(arguments.rounds):
            for label, command in COMMANDS.items():
                for name, project in projects.items():
                    if label == FROM_NOTHING:
                        empty(project)
                    taken[label, name].append(take(project, command))
                    print(f"{label}, {name}: %.2f s, %.2f CPU s" % taken[label, name][-1], file=sys.stderr, flush=True)
    from machine import describe, matrix_product_ms

    print(f"{describe()}; 1024^3 float32 product {matrix_product_ms():.1f} ms; medians of {arguments.rounds} rounds")
    print("| |" + "".join(f" {name}, s | {name}, CPU s |" for name in checkouts))
    print("|---|" + "---|---|" * len(checkouts))
    for label in COMMANDS:
        row = f"| `{label}` |"
        for name in checkouts:
            wall, cpu = (statistics.median(values) for values in zip(*taken[label, name], strict=True))
            row += f" {wall:.2f} | {cpu:.2f} |"
        print(row)


if __name__ == "__main__":
    main()
