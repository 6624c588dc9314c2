"""A project of the smoke preset that faults are injected into: runs its stages and reads all that is on disk."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from same_results import READERS, Comparison, compare_data

from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, read_kind
from celeba_gan.images.packed import Journal

PROJECT: Final = Path(__file__).parents[1]
STAGES: Final = {
    "packing": "ingest,preprocess",
    "training": "train",
    "evaluation": "evaluate",
    "generation": "generate",
}
_CARDS: Final[Mapping[str, Any]] = {
    "training_state": RunCard,
    "best_networks": ModelCard,
    "generator": ModelCard,
    "discriminator": ModelCard,
    "classifier": ClassifierCard,
}
HALFWAY: Final = "train.kimg=0.64"
_PATIENCE: Final = 600.0  # seconds that one command may take


class FaultError(AssertionError):
    """A fault was not survived; the message says what went wrong."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int  # negative: the signal that ended it
    text: str  # what it printed on both streams
    seconds: float

    @property
    def words(self) -> str:
        """The text on one line, however it was wrapped."""
        return " ".join(self.text.split())


class Project:
    """A copy of the project, without data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    @classmethod
    def make(cls, folder: Path) -> "Project":
        """Copies what a fresh clone needs to run."""
        for name in ("conf", "src"):
            ignored = shutil.ignore_patterns("local", "__pycache__", "*.egg-info")
            shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
        (folder / "conf" / "local").mkdir()
        for name in ("pyproject.toml", ".telemetry", "Makefile"):
            shutil.copy(PROJECT / name, folder / name)
        return cls(folder)

    def begin(
        self, stage: str, params: str = "", first_path: str = "", log: str = "log.txt", **environment: str
    ) -> "Running":
        """Starts a stage by the command that people type, in a process group of its own.

        Args:
            stage: One of STAGES, or names of pipelines.
            params: `--params`.
            first_path: A folder from which Python imports first.
            log: The file in the project's folder that gets what is printed.
            environment: More environment variables.
        """
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "KEDRO_"))}
        variables |= {
            "PYTHONPATH": os.pathsep.join(filter(None, [first_path, str(self.folder / "src")])),
            "OMP_NUM_THREADS": "1",
            "KEDRO_DISABLE_TELEMETRY": "1",
            "COLUMNS": "1000",
            **environment,
        }
        command = [sys.executable, "-m", "kedro", "run", "--env", "smoke", "--pipelines", STAGES.get(stage, stage)]
        printed = (self.folder / log).open("w+b")
        process = subprocess.Popen(
            [*command, *(["--params", params] if params else [])],
            cwd=self.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return Running(process, printed, time.monotonic())

    def run(
        self, stage: str, params: str = "", status: int | None = 0, first_path: str = "", **environment: str
    ) -> Ended:
        """Runs a stage to its end.

        Raises:
            FaultError: It ended with another exit status; None: any.
        """
        ended = self.begin(stage, params, first_path, **environment).wait()
        if status is not None and ended.status != status:
            tail = "\n".join(ended.text.splitlines()[-25:])
            raise FaultError(f"{stage} ended with status {ended.status} instead of {status}:\n{tail}")
        return ended

    def restore(self, data: Path) -> None:
        """Replaces the content of data/ with that of another folder."""
        self.data.mkdir(exist_ok=True)
        for path in self.data.iterdir():  # data/ itself may be a mounted disk
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in data.iterdir():
            target = self.data / path.name
            shutil.copytree(path, target) if path.is_dir() else shutil.copy2(path, target)

    def check_whole(self, *others: Path) -> int:
        """Reads every file in data/ that has its final name; returns how many there are.

        What a stage makes of its inputs alone must also be what it was in one of `others`, which are data folders of
        undisturbed runs: half a table can be a table.

        Raises:
            FaultError: A file is damaged, or is something else.
        """
        count = 0
        for path in sorted(self.data.rglob("*")):
            name = path.relative_to(self.data)
            if not path.is_file() or any(part.startswith(".") for part in name.parts) or path.suffix == ".staging":
                continue
            count += 1
            try:
                _check_file(path, [other / name for other in others])
            except FaultError:
                raise
            except Exception as error:
                raise FaultError(f"data/{name} is damaged: {type(error).__name__}: {error}") from error
        return count

    def check_same(self, data: Path) -> None:
        """Compares every value of every file with another data folder, but for random ids and speeds.

        Raises:
            FaultError: Something differs.
        """
        found: list[str] = []
        comparison = Comparison(found.append)
        compare_data(comparison, data.parent, self.folder)
        if found:
            raise FaultError("\n".join(["not what the undisturbed run gives:", *found]))


class Running:
    """A command that has been started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Any, began: float) -> None:
        self.process, self._log, self._began = process, log, began

    def sleep_until(self, seconds: float) -> bool:
        """Waits for this moment after the start; False if the command has ended before it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, self._began + seconds - time.monotonic()))
            return False
        return True

    def wait_for(self, condition: Callable[[], bool], pause: float = 0.05) -> bool:
        """Waits until something is true; False if the command has ended before."""
        while not condition():
            if self.process.poll() is not None:
                return False
            time.sleep(pause)
        return True

    def send(self, number: signal.Signals) -> None:
        """Sends the command itself a signal, not its worker processes."""
        self.process.send_signal(number)

    def wait(self) -> Ended:
        """Waits for the end of the command and of all its worker processes.

        Raises:
            FaultError: One of them does not end.
        """
        try:
            status = self.process.wait(_PATIENCE)
            deadline = time.monotonic() + 30
            while _is_alive(self.process.pid):
                if time.monotonic() > deadline:
                    raise FaultError("worker processes outlived the command by 30 s")
                time.sleep(0.02)
        except subprocess.TimeoutExpired as error:
            raise FaultError(f"the command did not end within {_PATIENCE:.0f} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            seconds = time.monotonic() - self._began
            self._log.seek(0)
            text = self._log.read().decode(errors="replace")
            self._log.close()
        return Ended(status, text, seconds)


def _is_alive(group: int) -> bool:
    """Whether a process group has a process that is not a zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


def _check_file(path: Path, undisturbed: list[Path]) -> None:
    if path.suffix == ".safetensors":
        kind = read_kind(path)
        Checkpoint.load(path, kind, _CARDS[kind])
        return
    if path.suffix == ".json" and "06_models" in path.parts:  # a card, of any tick
        json.loads(path.read_bytes())
        return
    if path.suffix == ".journal":
        Journal.from_bytes(path.read_bytes())
        return
    if path.suffix == ".parquet" and path.stem.startswith("rows-"):  # of a block of samples
        READERS[".parquet"](path)
        return
    read = READERS.get(path.suffix, _read_bytes)
    values = read(path)
    known = [read(other) for other in undisturbed if other.is_file()]
    if known and not any(_are_same(path.name, values, other) for other in known):
        raise FaultError(f"{path.name} is neither what it was nor what it becomes")


def _read_bytes(path: Path) -> dict[str, Any]:
    return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}


def _are_same(name: str, values: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    comparison = Comparison(lambda line: None)
    comparison.compare(name, others, values)
    return not comparison.differences


def read_rows(data: Path) -> dict[int, dict[str, float]]:
    """The metric rows of a training on disk, by images seen."""
    files = sorted((data / "07_model_output/smoke/metric_rows").glob("*.json"))
    return {int(row["images"]): row for file in files for row in json.loads(file.read_text())}


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mounts an empty disk in memory; only root can.

    Raises:
        PermissionError: This user cannot mount, or this machine lets nobody.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str] = ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run of all stages: copies of its data/ in between, and how long each stage took."""

    folder: Path
    seconds: Mapping[str, float]

    def before(self, stage: str) -> Path:
        """data/ before a stage."""
        stages = list(STAGES)
        return self.folder / f"{stages.index(stage)}" / "data"

    def after(self, stage: str) -> Path:
        """data/ after a stage."""
        return self.folder / f"{list(STAGES).index(stage) + 1}" / "data"

    @property
    def halfway(self) -> Path:
        """data/ after two of three ticks of training."""
        return self.folder / "halfway" / "data"

    @classmethod
    def make(cls, folder: Path) -> "Undisturbed":
        """Runs all stages once."""
        project = Project.make(folder / "before")
        project.data.mkdir()
        seconds = {}
        shutil.copytree(project.data, folder / "0" / "data")
        for number, stage in enumerate(STAGES, start=1):
            if stage == "training":
                project.run(stage, HALFWAY)
                shutil.copytree(project.data, folder / "halfway" / "data")
                project.restore(folder / f"{number - 1}" / "data")
            seconds[stage] = project.run(stage).seconds
            shutil.copytree(project.data, folder / f"{number}" / "data")
        return cls(folder, seconds)
