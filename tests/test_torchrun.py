"""Stages under torchrun: the same results as from one process, also after faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from celeba_gan.gan.runs.run import Run
from celeba_gan.images.packed import ShardRecord, content_digest
from kedro_here import kedro_run
from ranks_here import run_ranks

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "celeba_gan"]
SMOKE = ["--env", "smoke", "--pipelines"]
EXACT = "train.precision=float32,train.threads=1"
LONG = f"{EXACT},train.kimg=20,train.tick_kimg=0.64,train.evaluate_every_kimg=null"


@contextmanager
def torchrun(project: Path, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [*TORCHRUN[:3], *options, *TORCHRUN[3:], *arguments]
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    process = subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def run(project: Path, *arguments: str, options: tuple[str, ...] = (), status: int = 0) -> str:
    with torchrun(project, *arguments, options=options) as process:
        text, _ = process.communicate(timeout=300)
    assert process.returncode == status, text
    return text


def words(text: str) -> str:
    """As one line, without what torch puts before a rank's lines."""
    return " ".join(text.replace("[rank0]: ", "").replace("[rank1]: ", "").split())


def tensors(project: Path) -> dict[str, torch.Tensor]:
    return load_file(project / "data/06_models/smoke/training_state/state.safetensors")


def wait_for_ticks(project: Path, process: subprocess.Popen[str], count: int = 2) -> None:
    rows = project / "data/07_model_output/smoke/metric_rows"
    end = time.monotonic() + 120
    while len(list(rows.glob("[0-9]*"))) < count:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the ranks, in order."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    found = {}
    for pid in listed.stdout.split():
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        rank = next((one for one in variables if one.startswith(b"RANK=")), None)
        if rank is not None:
            found[int(rank.removeprefix(b"RANK="))] = int(pid)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.slow
def test_two_ranks_measure_and_sample_as_one_process_does(
    tmp_path: Path, trained_project: Path, copy_trained: Callable[..., Path]
) -> None:
    project = copy_trained(tmp_path / "project")
    report, samples = "data/08_reporting/smoke/evaluation.json", "data/07_model_output/smoke/samples"
    (project / report).unlink()
    shutil.rmtree(project / samples)
    shutil.rmtree(project / "data/04_feature", ignore_errors=True)
    printed = run(project, *SMOKE, "evaluate,generate")
    assert printed.count("Pipeline execution completed") == 1  # rank 0 alone speaks
    expected, found = (json.loads((one / report).read_text())["metrics"] for one in (trained_project, project))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    pictures = sorted((project / samples).rglob("*.png"))
    assert len(pictures) == 8
    for path in pictures:
        before = trained_project / path.relative_to(project)
        assert np.abs(np.asarray(Image.open(path), int) - np.asarray(Image.open(before), int)).max() <= 1


@pytest.mark.slow
def test_two_ranks_train_as_one_process_does(tmp_path: Path, copy_trained: Callable[..., Path]) -> None:
    one, two = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in ("one", "two"))
    arguments = [*SMOKE, "train", "--params", f"{EXACT},train.kimg=0.64"]
    kedro_run(one, *arguments)
    assert "Training on 2 ranks" in words(run(two, *arguments))
    single, several = Run(one / "data/06_models/smoke").card(), Run(two / "data/06_models/smoke").card()
    assert single is not None
    assert several is not None
    assert (single.hardware.ranks, several.hardware.ranks) == (1, 2)
    assert single.images == several.images == 640
    expected, found = tensors(one), tensors(two)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0.02, atol=2e-3, msg=name)  # float32, Adam's first steps
    rows = [sorted((p / "data/07_model_output/smoke/metric_rows").iterdir()) for p in (one, two)]
    assert [path.name for path in rows[0]] == [path.name for path in rows[1]]


@pytest.mark.slow
def test_a_training_resumes_with_more_ranks_and_with_fewer(tmp_path: Path, copy_trained: Callable[..., Path]) -> None:
    whole, parts = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in ("whole", "parts"))
    common = f"{EXACT},train.evaluate_every_kimg=null,train.tick_kimg=0.32"
    kedro_run(whole, *SMOKE, "train", "--params", f"{common},train.kimg=0.96")
    kedro_run(parts, *SMOKE, "train", "--params", f"{common},train.kimg=0.32")
    first = run(parts, *SMOKE, "train", "--params", f"{common},train.kimg=0.64")
    assert "ranks 1 -> 2: close to an uninterrupted run, but not bit for bit" in words(first)
    kedro_run(parts, *SMOKE, "train", "--params", f"{common},train.kimg=0.96")
    cards = [Run(project / "data/06_models/smoke").card() for project in (whole, parts)]
    assert [card and (card.images, card.iteration, card.history) for card in cards] == [(960, 30, (0, 320, 640))] * 2
    expected, found = tensors(whole), tensors(parts)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0.05, atol=5e-3, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_torchrun_starts_killed_ranks_again_from_the_last_tick(
    killed: int, tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    undisturbed, disturbed = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in "ud")
    run(undisturbed, *SMOKE, "train", "--params", LONG)
    with torchrun(disturbed, *SMOKE, "train", "--params", LONG, options=("--max-restarts", "1")) as process:
        wait_for_ticks(disturbed, process)
        os.kill(workers(process)[killed], signal.SIGKILL)
        text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert "Resuming from the snapshot at" in words(text)
    expected, found = tensors(undisturbed), tensors(disturbed)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("told", ["torchrun", "rank 1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_ranks_at_the_same_step(
    told: str, number: signal.Signals, tmp_path: Path, copy_trained: Callable[..., Path]
) -> None:
    project, whole = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in ("stopped", "whole"))
    with torchrun(project, *SMOKE, "train", "--params", LONG) as process:
        wait_for_ticks(project, process)
        os.kill(process.pid if told == "torchrun" else workers(process)[1], number)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    card = Run(project / "data/06_models/smoke").card()
    assert card is not None
    assert not card.finished
    assert f"training is saved at {card.images:,} images" in words(text)
    assert words(text).count("Stopped training is saved") == 1
    assert "Aborted" not in text
    shorter = LONG.replace("train.kimg=20", f"train.kimg={card.images / 1000 + 0.32:g}")
    run(project, *SMOKE, "train", "--params", shorter)
    run(whole, *SMOKE, "train", "--params", shorter)
    expected, found = tensors(whole), tensors(project)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_what_cannot_run_under_torchrun_is_refused(tmp_path: Path, copy_trained: Callable[..., Path]) -> None:
    project = copy_trained(tmp_path / "project", "03_primary", "05_model_input")
    for pipelines, said in (
        ("ingest", "ingest.index_images cannot be shared by several ranks. Run it with kedro run, once"),
        ("export", "export_generator cannot be shared"),
    ):
        text = words(run(project, *SMOKE, pipelines, status=1))
        assert said in text
        assert text.count(" Error: ") == 1
    assert "--runner ThreadRunner does not work under torchrun" in words(
        run(project, *SMOKE, "train", "--runner", "ThreadRunner", status=1)
    )
    assert not (project / "data/06_models").exists()


@pytest.mark.slow
def test_hosts_that_differ_are_refused(tmp_path: Path, copy_trained: Callable[..., Path]) -> None:
    first, second = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in ("first", "second"))
    arguments = ["-m", "celeba_gan", *SMOKE, "train", "--params", LONG]

    def said(*other: str) -> str:
        leader, follower = run_ranks([arguments, list(other or arguments)], [first, second])
        assert (leader.returncode, follower.returncode) == (1, 1)
        assert "ends, because rank 0 has ended: rank 1 (" in follower.stdout
        assert follower.stdout.strip().count("\n") == 0
        assert not Run(first / "data/06_models/smoke").has_snapshot()
        return words(leader.stdout)

    assert "train.kimg: 20 on rank 0" in said(*[part.replace("kimg=20", "kimg=21") for part in arguments])
    source = second / "src/celeba_gan/gan/schedule.py"
    before = source.read_text()
    source.write_text(before + "\n# another version\n")
    assert "version of the code: " in said()
    source.write_text(before)
    _exchange_splits(second / "data/05_model_input/smoke/images/manifest.json")
    text = said()
    assert "packed images: " in text
    assert "All hosts need the same packed images" in text


def _exchange_splits(manifest: Path) -> None:
    """Makes them other packed images, as if another partition had been packed."""
    content = json.loads(manifest.read_text())
    first, last = content["splits"]["test"]
    content["splits"] |= {"valid": [content["splits"]["valid"][0], first + 1], "test": [first + 1, last]}
    splits = {name: tuple(ends) for name, ends in content["splits"].items()}
    digest = content_digest(content["size"], [ShardRecord(**one) for one in content["shards"]], splits)
    manifest.write_text(json.dumps(content | {"digest": digest}))


@pytest.mark.slow
def test_a_later_snapshot_on_another_host_is_not_lost(tmp_path: Path, copy_trained: Callable[..., Path]) -> None:
    first, second = (copy_trained(tmp_path / name, "03_primary", "05_model_input") for name in ("first", "second"))
    kedro_run(second, *SMOKE, "train", "--params", LONG.replace("kimg=20", "kimg=0.64"))
    leader, _ = run_ranks([["-m", "celeba_gan", *SMOKE, "train", "--params", LONG]] * 2, [first, second])
    assert leader.returncode == 1
    assert "has a snapshot at 640 images, and rank 0" in words(leader.stdout)
    assert "has none" in words(leader.stdout)
