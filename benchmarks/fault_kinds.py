"""The kinds of faults that `faults.py` injects."""

import contextlib
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fault_project import STAGES, Ended, FaultError, Project, Running, Undisturbed, mounted, read_rows
from mlflow.tracking import MlflowClient

STATE: Final = "06_models/smoke/training_state/state.safetensors"  # in data/, as all below
SECOND_TICK: Final = "07_model_output/smoke/metric_rows/000000000320.json"
DISK: Final = 128 * 2**20  # bytes
CLOCK: Final = '''"""A clock that jumps by years, back and forth, each time it is read."""
import random, time
_real, _real_ns = time.time, time.time_ns
time.time = lambda: max(1.0, _real() + random.uniform(-3e8, 3e8))
time.time_ns = lambda: int(time.time() * 1e9)
'''


class TooLateError(RuntimeError):
    """The command had ended before the fault could be injected."""


class NotHereError(RuntimeError):
    """This machine does not let the fault be injected; the message says why."""


@dataclass(frozen=True)
class Case:
    """One fault to be injected."""

    project: Project
    undisturbed: Undisturbed
    draw: random.Random
    number: int  # from 0

    @property
    def stage(self) -> str:
        """Another stage in each case."""
        return list(STAGES)[self.number % len(STAGES)]


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `inject` raises FaultError unless it was survived, and returns a note for the printed line."""

    name: str
    what: str
    inject: Callable[[Case], str]
    count: int
    is_kill: bool = False


def require(true: bool, what: str, ended: Ended | None = None) -> None:
    """Raises FaultError unless something is true, with the end of what the command printed."""
    if not true:
        raise FaultError("\n".join([what, *(ended.text.splitlines()[-25:] if ended else [])]))


def listing(data: Path) -> set[tuple[str, int]]:
    """Names and sizes of all files."""
    return {(str(path.relative_to(data)), path.stat().st_size) for path in data.rglob("*") if path.is_file()}


# --- kills and signals ----------------------------------------------------------------------------------------------


def kill(case: Case, stage: str) -> str:
    """Kill -9 at a random moment of a stage's duration; then the same command."""
    project, before, after = case.project, case.undisturbed.before(stage), case.undisturbed.after(stage)
    project.restore(before)
    running = project.begin(stage)
    running.sleep_until(case.draw.uniform(0, case.undisturbed.seconds[stage]))
    running.send(signal.SIGKILL)
    if running.wait().status != -signal.SIGKILL:
        raise TooLateError
    had_written = listing(project.data) != listing(before)
    project.check_whole(before, after)
    project.run(stage)
    project.check_same(after)
    return "with files written before the kill" if had_written else ""


def terminate_in_save(case: Case) -> str:
    """SIGTERM while the files of a tick are being written."""
    project, before, after = case.project, case.undisturbed.before("training"), case.undisturbed.after("training")
    project.restore(before)
    running = project.begin("training")
    tick = project.data / STATE
    if case.number % 3:  # a later tick than the first
        running.wait_for(tick.is_file, pause=0.001)
    if not running.wait_for(lambda: any(project.data.glob("0[67]*/smoke/**/.*.partial")), pause=0.0):
        raise TooLateError
    running.send(signal.SIGTERM)
    ended = running.wait()
    require(ended.status in (143, -signal.SIGTERM), f"ended with status {ended.status}", ended)
    project.check_whole(before, after)
    project.run("training")
    project.check_same(after)
    return ""


def two_at_once(case: Case) -> str:
    """The same command twice at the same time: one is refused."""
    project = case.project
    project.restore(case.undisturbed.before("training"))
    first = project.begin("training")
    time.sleep(case.draw.uniform(0, 2))
    second = project.begin("training", log="second.txt")
    ended = [first.wait(), second.wait()]
    statuses = sorted(one.status for one in ended)
    require(statuses == [0, 1], f"they ended with {statuses}", ended[1])
    refused = next(one for one in ended if one.status == 1)
    require("Another run is writing to data/06_models/smoke" in refused.words, "the refusal gives no reason", refused)
    project.check_same(case.undisturbed.after("training"))
    return ""


def jump(case: Case) -> str:
    """The system's clock jumps each time it is read."""
    project, stage = case.project, case.stage
    folder = project.folder.parent / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
    project.restore(case.undisturbed.before(stage))
    ended = project.run(stage, first_path=str(folder))
    seconds = re.search(r"Time +([\d.]+) s", ended.text)
    require(seconds is not None and 0 < float(seconds[1]) < 600, "the time it took is wrong", ended)
    speeds = [row["images_per_second"] for row in read_rows(project.data).values() if "images_per_second" in row]
    require(all(0 < speed < 1e6 for speed in speeds), f"speeds are {speeds}", ended)
    project.check_same(case.undisturbed.after(stage))
    return ""


# --- damaged files --------------------------------------------------------------------------------------------------


def damage(path: Path, draw: random.Random) -> str:
    """Flips a bit of a file, or cuts its end off."""
    content = bytearray(path.read_bytes())
    at = draw.randrange(len(content))
    if draw.random() < 0.5:
        content[at] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        return "bit flipped"
    path.write_bytes(content[:at])
    return "truncated"


def damage_snapshot(case: Case) -> str:
    """The newest of two snapshots is damaged: the one before it is resumed, exactly."""
    project = case.project
    project.restore(case.undisturbed.halfway)
    how = damage(project.data / STATE, case.draw)
    ended = project.run("training")
    require("Using the snapshot before it, state-000000000320.safetensors" in ended.words, f"{how}: not said", ended)
    project.check_same(case.undisturbed.after("training"))
    return how


def damage_export(case: Case) -> str:
    """An exported network of a finished training is damaged: it is exported again."""
    project = case.project
    project.restore(case.undisturbed.after("training"))
    name = case.draw.choice(["generator", "discriminator", "best_generator", "best_discriminator"])
    how = damage(project.data / f"06_models/smoke/{name}.safetensors", case.draw)
    project.run("training")
    project.check_same(case.undisturbed.after("training"))
    return how


def damage_shard(case: Case) -> str:
    """Packed images are damaged: training refuses them and names the file; preprocess packs them again."""
    project = case.project
    project.restore(case.undisturbed.after("training"))
    shard = case.draw.choice(sorted((project.data / "05_model_input/smoke/images").glob("*.npy")))
    how = damage(shard, case.draw)
    refused = project.run("training" if case.number % 2 else "evaluation", status=1)
    require(shard.name in refused.words and "Traceback" not in refused.text, f"{how}: not named", refused)
    ended = project.run("preprocess")
    require(shard.name in ended.words, f"{how}: the reason for packing again is not said", ended)
    project.check_same(case.undisturbed.after("training"))
    return how


# --- disks ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk(case: Case) -> Iterator[Path]:
    """A small disk at data/, with what was there before the case's stage."""
    try:
        with mounted(case.project.data, str(DISK)):
            case.project.restore(case.undisturbed.before(case.stage))
            yield case.project.data
    except PermissionError as error:
        raise NotHereError(str(error)) from error


def fill(case: Case) -> str:
    """The disk fills up at a random point of a stage; with room again, the same command carries on."""
    stage = case.stage
    sizes = [
        sum(-(-size // 4096) * 4096 for _, size in listing(data))
        for data in (case.undisturbed.before(stage), case.undisturbed.after(stage))
    ]
    with disk(case) as data:
        free = os.statvfs(data).f_bavail * 4096
        (data / "filler").write_bytes(bytes(free - case.draw.randrange(0, sizes[1] - sizes[0], 4096)))
        ended = case.project.run(stage, status=None)
        (data / "filler").unlink()
        if ended.status == 0:
            raise TooLateError
        require(ended.status == 1 and "Traceback" not in ended.text, f"{stage}: no clear error", ended)
        require("space" in ended.words, f"{stage}: the error does not say that the disk is full", ended)
        case.project.check_whole(case.undisturbed.before(stage), case.undisturbed.after(stage))
        case.project.run(stage)
        case.project.check_same(case.undisturbed.after(stage))
    return stage


def lock_up(case: Case) -> str:
    """data/ can only be read: one clear error; afterwards the same command works."""
    stage = case.stage
    with disk(case) as data:
        before = listing(data)
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        ended = case.project.run(stage, status=1)
        subprocess.run(["mount", "-o", "remount,rw", str(data)], check=True)
        require("Traceback" not in ended.text, f"{stage}: no clear error", ended)
        require("ead-only file system" in ended.words, f"{stage}: the error gives no reason", ended)
        require(listing(data) == before, f"{stage}: files have changed")
        case.project.run(stage)
        case.project.check_same(case.undisturbed.after(stage))
    return stage


# --- MLflow ---------------------------------------------------------------------------------------------------------


def stopped_at_second_tick(case: Case, **environment: str) -> Running:
    """A training that is suspended once the rows of its second tick are saved."""
    running = case.project.begin("training", **environment)
    if not running.wait_for((case.project.data / SECOND_TICK).is_file, pause=0.0005):
        raise TooLateError
    running.send(signal.SIGSTOP)
    return running


def survived_without_store(case: Case, running: Running) -> None:
    """Lets a training go on without its store, and checks what it printed and left."""
    running.send(signal.SIGCONT)
    ended = running.wait()
    require(ended.status == 0, f"ended with status {ended.status}", ended)
    require(ended.text.count("failed to log") == 1, "the failure is not said once", ended)
    require("MLflow lacks the dataset metric_rows" in ended.words, "what is missing is not said", ended)
    require("Traceback" not in ended.text, "a traceback is printed", ended)
    require(ended.seconds < 240, f"it took {ended.seconds:.0f} s", ended)
    case.project.check_same(case.undisturbed.after("training"))


def check_caught_up(project: Project, uri: str) -> None:
    """Compares MLflow's curves with the rows on disk."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("celeba_gan")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    run = next(run for run in runs if "celeba_gan.training_id" in run.data.tags)
    rows = read_rows(project.data)
    names = {name for row in rows.values() for name in row if name != "images" and not name.endswith("_floor")}
    for name in sorted(names):
        wanted = {images: row[name] for images, row in rows.items() if name in row}
        there = {point.step: point.value for point in client.get_metric_history(run.info.run_id, f"train/{name}")}
        require(there == wanted, f"MLflow has {name} at {sorted(there)}, the disk at {sorted(wanted)}")
    require(run.info.status == "FINISHED", f"MLflow's run is {run.info.status}")


def lock_store(case: Case) -> str:
    """MLflow's SQLite database is locked from the second tick on."""
    project = case.project
    project.restore(case.undisturbed.before("training"))
    running = stopped_at_second_tick(case)
    with contextlib.closing(sqlite3.connect(project.folder / "mlflow.db", timeout=60)) as other:
        other.execute(f"BEGIN {case.draw.choice(['EXCLUSIVE', 'IMMEDIATE'])}")
        survived_without_store(case, running)
    project.run("training")
    project.check_same(case.undisturbed.after("training"))
    check_caught_up(project, f"sqlite:///{project.folder}/mlflow.db")
    return ""


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """A real MLflow server."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder)]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                break
            require(time.monotonic() < deadline, "the MLflow server does not start")
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def lose_server(case: Case) -> str:
    """The MLflow server is not there at first, is killed at the second tick, and is back for the next run."""
    project, folder = case.project, case.project.folder.parent / f"server{case.number}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    project.restore(case.undisturbed.before("training"))
    refused = project.run("training", status=1, MLFLOW_TRACKING_URI=uri)
    require(f"MLflow cannot be used at {uri}" in refused.words, "no clear error without a server", refused)
    require(refused.seconds < 60, f"the error took {refused.seconds:.0f} s", refused)
    require(not (project.data / STATE).exists(), "training began without a server")
    with server(folder, port):
        running = stopped_at_second_tick(case, MLFLOW_TRACKING_URI=uri)
    survived_without_store(case, running)
    with server(folder, port):
        project.run("training", MLFLOW_TRACKING_URI=uri)
        check_caught_up(project, uri)
    project.check_same(case.undisturbed.after("training"))
    return ""


KINDS: Final = [
    *(
        Kind(f"kill_{stage}", "kill -9 at a random moment", partial(kill, stage=stage), 15, is_kill=True)
        for stage in STAGES
    ),
    Kind("terminate_in_save", "SIGTERM during a save", terminate_in_save, 6),
    Kind("two_at_once", "two runs on one experiment", two_at_once, 2),
    Kind("clock_jumps", "a clock that jumps by years", jump, 4),
    Kind("damaged_snapshot", "newest snapshot damaged at a random place", damage_snapshot, 8),
    Kind("damaged_export", "exported network damaged at a random place", damage_export, 4),
    Kind("damaged_shard", "shard damaged at a random place", damage_shard, 4),
    Kind("full_disk", "disk full at a random point", fill, 8),
    Kind("read_only", "data/ on a read-only disk", lock_up, 4),
    Kind("locked_store", "MLflow's database locked in training", lock_store, 2),
    Kind("lost_server", "MLflow's server killed in training", lose_server, 2),
]
