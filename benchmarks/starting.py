"""Seconds from typing a command to its end, and of CPU, beside those of another checkout, and of an empty project.

Each checkout gets a temporary project: a copy of its conf, src and pyproject.toml, with an empty data folder. Rounds
take the commands in turn, once for each checkout; figures are medians. `kedro run`, the whole demo, and `kedro run
--env smoke` begin with an empty data folder and a new MLflow database each time; `--pipelines evaluate` follows the
latter, so all that can be cached is.
What needs no data is also timed in what `kedro new` makes without tools and example: the last column is how many times
that ours takes, aimed at 1.3 at most. Take the figures while nothing else runs.

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
    "kedro run --pipelines evaluate --help": (*KEDRO, "run", "--pipelines", "evaluate", "--help"),
    "kedro run": (*KEDRO, "run"),
    "kedro run --env smoke": (*KEDRO, "run", "--env", "smoke"),
    "kedro run --env smoke --pipelines evaluate": (*KEDRO, "run", "--env", "smoke", "--pipelines", "evaluate"),
}
FROM_NOTHING = ("kedro run", "kedro run --env smoke")
EVERYWHERE = ("kedro registry list", "kedro catalog describe-datasets", "kedro run --pipelines evaluate --help")
EMPTY = "empty project"


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


def make_empty(folder: Path) -> None:
    """What `kedro new` makes without tools and example, in a folder that does not exist yet."""
    options = ["--name", folder.name, "--tools", "none", "--example", "no", "--telemetry", "no"]
    done = subprocess.run([*KEDRO, "new", *options], cwd=folder.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kedro new failed:\n{done.stdout}{done.stderr}")


def take(project: Path, command: tuple[str, ...]) -> Taken:
    """Runs a command in a project."""
    own = {"PYTHONPATH": str(project / "src"), "KEDRO_DISABLE_TELEMETRY": "1"}
    own["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=project, env=inherited | own, capture_output=True, text=True, check=False)
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
    parser.add_argument("--quick", action="store_true", help="only the commands that an empty project has, too")
    parser.add_argument("--only", choices=[*FROM_NOTHING, *EVERYWHERE], help="only this command, which needs no other")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout of this repository")
    arguments = parser.parse_args()
    checkouts = {"now": PROJECT} | ({"before": arguments.before.absolute()} if arguments.before else {})
    names = [*checkouts, EMPTY]
    taken: dict[tuple[str, str], list[Taken]] = {(label, name): [] for label in COMMANDS for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        projects = {name: Path(temporary) / name for name in checkouts}
        for name, checkout in checkouts.items():
            copy_project(checkout, projects[name])
        projects[EMPTY] = Path(temporary) / "empty"
        make_empty(projects[EMPTY])
        for project in projects.values():
            take(project, COMMANDS["kedro registry list"])  # writes the bytecode
        for _ in range(arguments.rounds):
            for label, command in COMMANDS.items():
                if (arguments.quick and label not in EVERYWHERE) or arguments.only not in (None, label):
                    continue
                for name, project in projects.items():
                    if name == EMPTY and label not in EVERYWHERE:
                        continue
                    if label in FROM_NOTHING:
                        empty(project)
                    taken[label, name].append(take(project, command))
                    print(f"{label}, {name}: %.2f s, %.2f CPU s" % taken[label, name][-1], file=sys.stderr, flush=True)
    from machine import describe, matrix_product_ms

    print(f"{describe()}; 1024^3 float32 product {matrix_product_ms():.1f} ms; medians of {arguments.rounds} rounds")
    print("| |" + "".join(f" {name}, s | {name}, CPU s |" for name in names) + " x |")
    print("|---|" + "---|---|" * len(names) + "---|")
    for label in (label for label in COMMANDS if taken[label, "now"]):
        row = f"| `{label}` |"
        for name in names:
            wall, cpu = medians(taken[label, name])
            row += f" {wall:.2f} | {cpu:.2f} |" if taken[label, name] else " | |"
        ours, its = medians(taken[label, "now"]).wall, medians(taken[label, EMPTY]).wall
        print(f"{row} {f'{ours / its:.2f}' if its else ''} |")


def medians(values: list[Taken]) -> Taken:
    """Of both times; nothing for none."""
    if not values:
        return Taken(0, 0)
    wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
    return Taken(wall, cpu)


if __name__ == "__main__":
    main()
