"""The recipes in docs/recipes, run as far as one machine without Docker, SLURM and Kubernetes can."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from celeba_gan.gan.runs.run import Run

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"
TORCHRUN = Path(sys.executable).with_name("torchrun")
SMALL = "train.precision=float32,train.threads=1,train.tick_kimg=0.64,train.evaluate_every_kimg=null"
HOSTS = {"first": "10.77.0.1", "second": "10.77.0.2"}


def compose() -> dict[str, str]:
    """The command of each host."""
    services = yaml.safe_load((RECIPES / "compose.yaml").read_text())["services"]
    return {name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", one["command"]) for name, one in services.items()}


def wait_for(project: Path, ticks: int, *processes: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 180
    while len(list((project / "data/07_model_output/smoke/metric_rows").glob("[0-9]*"))) < ticks:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two network namespaces with names and a link between them, as two hosts; by host the name of its end."""
    if sys.platform != "linux" or os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    run = lambda *command: subprocess.run(command, check=True)  # noqa: E731
    table = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in HOSTS.items())
    ends = {name: f"v{number}-{os.getpid()}" for number, name in enumerate(HOSTS)}
    try:
        for name in HOSTS:
            run("ip", "netns", "add", name)
            (folder := Path("/etc/netns") / name).mkdir(parents=True)
            (folder / "hosts").write_text(table)
        first, second = ends
        run(
            "ip",
            "link",
            "add",
            ends[first],
            "netns",
            first,
            "type",
            "veth",
            "peer",
            "name",
            ends[second],
            "netns",
            second,
        )
        for name, address in HOSTS.items():
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", ends[name])
            for link in ("lo", ends[name]):
                run("ip", "-n", name, "link", "set", link, "up")
        yield ends
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "del", name], check=False)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


@pytest.mark.slow
def test_two_hosts_of_the_compose_file_survive_a_link_that_is_cut(
    hosts: dict[str, str], tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    projects = {name: copy_trained(tmp_path / name, "05_model_input") for name in (*hosts, "alone")}

    def start(name: str) -> subprocess.Popen[str]:
        project = projects[name]
        command = compose()[name].replace("torchrun", str(TORCHRUN), 1)
        command += f" --env smoke --params train.kimg=16,{SMALL}"
        inside = f"hostname {name} && exec {command}"
        return subprocess.Popen(
            ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", inside],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project / "src"), "CELEBA_GAN_RANK_TIMEOUT": "6"},
            stdout=(project / "log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    started = [start(name) for name in hosts]
    try:
        wait_for(projects["first"], 3, *started)
        subprocess.run(["ip", "-n", "first", "link", "set", hosts["first"], "down"], check=True)
        time.sleep(12)
        subprocess.run(["ip", "-n", "first", "link", "set", hosts["first"], "up"], check=True)
        statuses = [process.wait(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    logs = {name: (projects[name] / "log").read_text() for name in hosts}
    assert statuses == [0, 0], logs
    assert "rank 0 (first) has waited 6.0 s for" in " ".join(logs["first"].split())
    assert "Resuming from the snapshot at" in " ".join(logs["first"].split())
    assert not (projects["second"] / "data/06_models").exists()  # rank 0 alone writes
    environment = {**os.environ, "PYTHONPATH": str(projects["alone"] / "src")}
    command = [str(TORCHRUN), "--nproc-per-node", "2", "-m", "celeba_gan", "--env", "smoke", "--pipelines", "train"]
    command += ["--params", f"train.kimg=16,{SMALL}"]
    subprocess.run(command, cwd=projects["alone"], env=environment, check=True, capture_output=True)
    expected, found = (
        load_file(projects[name] / "data/06_models/smoke/training_state/state.safetensors")
        for name in ("alone", "first")
    )
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_the_slurm_script_stops_before_the_time_is_up_and_queues_again(
    tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    project = copy_trained(tmp_path / "project", "05_model_input")
    programs = tmp_path / "programs"
    programs.mkdir()
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/torchrun").symlink_to(TORCHRUN)
    # SLURM's own programs, for two nodes that are this machine.
    (programs / "scontrol").write_text(
        f'#!/bin/sh\n[ "$1" = show ] && echo localhost || echo "$@" >> {tmp_path}/requeued\n'
    )
    (programs / "srun").write_text(
        '#!/bin/sh\n"$@" &\none=$!\n"$@" &\ntwo=$!\ntrap "kill $one $two" TERM\nwait $one; wait $one; wait $two\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_PER_NODE": "h100:1",
        "SLURM_JOB_ID": "17",
    }
    command = ["bash", str(RECIPES / "slurm.sh"), "--env", "smoke", "--pipelines", "train"]
    command += ["--params", f"train.kimg=64,{SMALL}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log, text=True)
        try:
            wait_for(project, 3, process)
            process.send_signal(signal.SIGUSR1)
            process.wait(timeout=90)
        finally:
            process.kill()
    card = Run(project / "data/06_models/smoke").card()
    assert card is not None
    assert not card.finished
    assert f"training is saved at {card.images:,} images" in (tmp_path / "log").read_text()
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_a_project_that_runs(repository: Path, tmp_path: Path) -> None:
    """Its COPY and RUN, in a folder and a virtual environment of their own."""
    lines = (RECIPES / "Dockerfile").read_text().splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert [name for name, _ in steps][:2] == ["FROM", "WORKDIR"]
    project, venv = tmp_path / "project", tmp_path / "venv"
    project.mkdir()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{venv / 'bin'}:{environment['PATH']}"
    for name, rest in steps[2:]:
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place = project / target / (source if target.endswith("/") else "")
                if (repository / source).is_dir():
                    ignored = shutil.ignore_patterns("local", "__pycache__", "*.egg-info")
                    shutil.copytree(repository / source, place, ignore=ignored)
                else:
                    shutil.copy(repository / source, place)
        else:
            command = shlex.join(yaml.safe_load(rest)) + " --env smoke --pipelines ingest" if name == "CMD" else rest
            if name == "ENV" or rest.startswith("apt-get"):  # of the image's own system
                continue
            assert name in ("RUN", "CMD")
            done = subprocess.run(command, shell=True, cwd=project, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "data/03_primary/smoke/image_index.parquet").is_file()


def test_the_kubernetes_job_starts_torchrun_as_the_compose_file_does() -> None:
    job = yaml.safe_load((RECIPES / "pytorchjob.yaml").read_text())
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    worker = spec["pytorchReplicaSpecs"]["Worker"]
    assert spec["elasticPolicy"]["minReplicas"] <= worker["replicas"] <= spec["elasticPolicy"]["maxReplicas"]
    (container,) = worker["template"]["spec"]["containers"]
    assert container["name"] == "pytorch"  # by which the operator finds it
    for command in compose().values():
        assert shlex.split(command)[0] == container["command"][0] == "torchrun"
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in worker["template"]["spec"]["volumes"]}
