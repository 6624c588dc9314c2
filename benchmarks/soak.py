"""Does a training that is stopped and resumed again and again keep its memory, its open files and its disk?

The real `kedro run --pipelines train` of the demo's networks, with a tick, a measurement and a grid every few seconds,
and MLflow. Every two minutes it gets SIGTERM, saves, and the same command resumes it. Resident memory, open files and
threads of the process are sampled every two seconds, disk use is read at each stop. A line for each session has the
median memory after a warm-up, and its slope; at the end, how these change over all sessions. A tick adds metric rows
and a grid, and MLflow gets both, and a model at each stop: their growth is given per tick and per stop. Exits with 1 if
memory within or across sessions, open files, or the disk use of snapshots grow.

    python benchmarks/soak.py
    python benchmarks/soak.py --minutes 60
"""

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from fault_project import Project, Running
from machine import describe

PACK = "preprocess.workers=1"
TRAIN = "train.kimg=1000000,train.tick_kimg=0.64,train.evaluate_every_kimg=0.64,train.threads=2"
GROWTH = 0.03  # of resident memory, in all sessions together, and in a session of the same length


@dataclass(frozen=True)
class Sample:
    """One look at the process."""

    seconds: float  # since its start
    memory: float  # resident, MiB
    files: int
    threads: int


@dataclass(frozen=True)
class Session:
    """From one start to the next stop."""

    samples: list[Sample]  # after the warm-up
    ticks: int
    snapshots: float  # MiB on disk, as the other two
    outputs: float
    tracked: float
    models: float  # in MLflow

    @property
    def memory(self) -> float:
        """The median."""
        return statistics.median(sample.memory for sample in self.samples)

    @property
    def files(self) -> int:
        """The median: one that is being written while it is looked at is open, too."""
        return round(statistics.median(sample.files for sample in self.samples))

    @property
    def slope(self) -> float:
        """MiB a minute."""
        return slope([sample.seconds / 60 for sample in self.samples], [sample.memory for sample in self.samples])


def slope(times: list[float], values: list[float]) -> float:
    """Of the straight line through points, by least squares."""
    return float(np.polyfit(times, values, 1)[0]) if len(set(times)) > 1 else 0.0


def mebibytes(*folders: Path) -> float:
    """What files take on disk; each once, whatever its names."""
    found = [path.stat() for folder in folders for path in [folder, *folder.rglob("*")] if path.is_file()]
    return sum({(one.st_dev, one.st_ino): one.st_blocks * 512 for one in found}.values()) / 2**20


def watch(running: Running, seconds: float, warm_up: float) -> list[Sample]:
    """Samples a command so long."""
    process, began, samples = psutil.Process(running.process.pid), time.monotonic(), []
    while running.sleep_until(time.monotonic() - began + 2):
        passed = time.monotonic() - began
        with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
            memory = process.memory_info().rss / 2**20
            if passed >= warm_up:
                samples.append(Sample(passed, memory, process.num_fds(), process.num_threads()))
        if passed >= seconds:
            break
    return samples


def session(project: Project, seconds: float, warm_up: float) -> Session:
    """Trains for so long, then stops."""
    running = project.begin("training", TRAIN, OMP_NUM_THREADS="2")
    samples = watch(running, seconds, warm_up)
    running.send(signal.SIGTERM)
    ended = running.wait()
    if ended.status != 128 + signal.SIGTERM or not samples:
        sys.exit(f"training ended with status {ended.status}:\n{ended.text[-3000:]}")
    data, models = project.data, mebibytes(project.folder / "mlartifacts" / "models")
    return Session(
        samples,
        ticks=len(list((data / "07_model_output").rglob("metric_rows/*.json"))),
        snapshots=mebibytes(data / "06_models"),
        outputs=mebibytes(data / "07_model_output"),
        tracked=mebibytes(project.folder / "mlflow.db", project.folder / "mlartifacts") - models,
        models=models,
    )


def show(sessions: list[Session], minutes: float) -> None:
    """Prints the line of the last session."""
    last = sessions[-1]
    threads = max(sample.threads for sample in last.samples)
    print(
        f"{minutes:5.1f} min  memory {last.memory:7.1f} MiB, {last.slope:+6.2f} a minute   {last.files:3} files  "
        f"{threads:3} threads   {last.ticks:5} ticks   disk: snapshots {last.snapshots:.2f} MiB, rows and grids "
        f"{last.outputs:.2f}, MLflow {last.tracked:.2f} and models {last.models:.2f}",
        flush=True,
    )


def verdict(sessions: list[Session]) -> list[str]:
    """Prints how all sessions differ, and returns what has grown."""
    first, last = sessions[min(1, len(sessions) - 1)], sessions[-1]  # the first one also creates what the others read
    inside = [(sample.seconds / 60, sample.memory - one.memory) for one in sessions for sample in one.samples]
    within = slope(*(list(values) for values in zip(*inside, strict=True)))
    across = last.memory - first.memory
    ticks, models = max(1, last.ticks - first.ticks), (last.models - first.models) / max(1, len(sessions) - 2)
    print(
        f"memory {within:+.2f} MiB a minute within sessions, {across:+.1f} MiB from the second to the last; open files "
        f"{first.files} and {last.files}; snapshots {last.snapshots - first.snapshots:+.2f} MiB; per tick "
        f"{(last.outputs - first.outputs) * 1024 / ticks:.1f} KiB of rows and grids, "
        f"{(last.tracked - first.tracked) * 1024 / ticks:.1f} KiB in MLflow; per stop {models:.2f} MiB of models there"
    )
    length = max(sample.seconds for sample in last.samples) / 60
    grown = []
    if within * length > GROWTH * first.memory:
        grown.append("memory within sessions")
    if across > GROWTH * first.memory:
        grown.append("memory across sessions")
    if last.files > first.files:
        grown.append("open files")
    if last.snapshots > first.snapshots * 1.01:
        grown.append("snapshots")
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20, help="in all; 20")
    parser.add_argument("--resume-every", type=float, default=2, metavar="MINUTES", help="2")
    parser.add_argument("--warm-up", type=float, default=40, metavar="SECONDS", help="not sampled after a start; 40")
    arguments = parser.parse_args()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temporary:
        project = Project.make(Path(temporary).resolve() / "project")
        catalog = project.folder / "conf/smoke/catalog.yml"
        catalog.write_text(catalog.read_text().replace("images: 160", "images: 1024"))
        networks = project.folder / "conf/smoke/parameters.yml"  # the demo's, in place of the smallest there are
        networks.write_text("preprocess: { size: 32 }\n")
        project.run("packing", PACK)
        sessions: list[Session] = []
        began = time.monotonic()
        while not sessions or time.monotonic() - began < arguments.minutes * 60 - 1:
            sessions.append(session(project, arguments.resume_every * 60, arguments.warm_up))
            show(sessions, (time.monotonic() - began) / 60)
        grown = verdict(sessions)
    print(f"GROWN: {', '.join(grown)}" if grown else "nothing grows")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
