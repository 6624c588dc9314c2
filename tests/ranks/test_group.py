"""What several processes tell each other, over gloo."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from celeba_gan.ranks.group import ALONE, Ranks, RanksError, join
from celeba_gan.ranks.launched import Launched, launched, own_cores
from ranks_here import free_port, ranks_started, run_ranks

PROGRAM = str(Path(__file__).with_name("rank_words.py"))


def words(world: int, what: str, **variables: str) -> list[Any]:
    done = run_ranks([[PROGRAM, what]] * world, **variables)
    return [json.loads(one.stdout.splitlines()[-1]) if one.returncode == 0 else one.stdout for one in done]


@pytest.mark.parametrize(("count", "world"), [(8, 2), (8, 3), (3, 3), (7, 4), (1, 1)])
def test_the_rows_of_all_ranks_are_all_rows_once(count: int, world: int) -> None:
    shares = [Ranks(Launched(rank, world)).rows(count) for rank in range(world)]
    assert [row for share in shares for row in range(count)[share]] == list(range(count))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_process_alone_needs_no_others() -> None:
    tensor = torch.ones(3)
    ALONE.sum_([tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert ALONE.from_leader("x") == "x"
    assert ALONE.gather(1) == [1]
    assert [one[0].tolist() for one in ALONE.spread(2, lambda number: [torch.tensor([number]).numpy()])] == [[0], [1]]
    ALONE.check_same({"a": 1}, "")


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_agree(world: int) -> None:
    found = words(world, "everything")
    whole = torch.arange(24.0).reshape(1, 2, 3, 4) * sum(range(world + 1))
    for rank, one in enumerate(found):
        assert torch.equal(torch.tensor(one["weight"]), whole)
        assert one["scalar"] == sum(range(world))
        assert one["largest"] == [world - 1, 0]
        assert one["from leader"] == {"text": "ü", "rank": 0}
        assert one["tensors"] == {"a": [[0, 0, 0], [0, 0, 0]], "n": 7}
        assert one["gather"] == [["", 0], ["x", 1], ["xx", 2]][:world]
        expected = [[[[number] * 2] * number, [number % world]] for number in range(5)]
        assert one["spread"] == (expected if rank == 0 else [])
        assert one["told"] == ([] if rank == 0 else ["one", "two"])


@pytest.mark.slow
def test_what_differs_is_said_by_rank_0_alone_with_the_rank_and_both_values() -> None:
    first, *others = words(3, "differ")
    for part in ("rank 1 (", "differs from rank 0 (", "size: 64 on rank 0", "128 on rank 1", "Give the same."):
        assert part in first["said"]
    assert "seed" not in first["said"]
    for rank, one in enumerate(others, 1):  # and end after it
        assert one.startswith(f"rank {rank} ({socket.gethostname()}) ends, because rank 0 has ended: rank 1 (")
        assert one.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["fails", "fails_meanwhile"])
def test_why_a_rank_has_ended_is_said_by_every_other_in_one_line_without_secrets(what: str) -> None:
    first, failed, other = words(3, what)
    host = socket.gethostname()
    line = f"ends, because rank 1 ({host}) has ended: Cannot read s3://***@host/images. Copy them."
    assert first.startswith(f"Error: rank 0 ({host}) {line}\n")
    assert other == f"rank 2 ({host}) {line}\n"
    assert failed.count("Cannot read") == 1


@pytest.mark.slow
def test_a_rank_that_ends_is_noticed() -> None:
    first, _ = words(2, "die")
    assert "rank 0" in first["said"]
    assert "lost the connection to another rank" in first["said"]


@pytest.mark.slow
def test_a_rank_that_hangs_is_named() -> None:
    with ranks_started([[PROGRAM, "hang"]] * 2, CELEBA_GAN_RANK_TIMEOUT="2") as started:
        assert started[0].stdout is not None
        said = json.loads(started[0].stdout.readlines()[-1])["said"]
    assert "has waited 2.0 s for rank 1 (last sign of life: rank 1 (" in said
    assert "at work" in said
    assert "CELEBA_GAN_RANK_TIMEOUT" in said


@pytest.mark.slow
def test_ranks_meet_again_in_the_store_of_an_attempt_that_died() -> None:
    """torchrun keeps its store over restarts, and in it what the dead have written."""
    port = free_port()
    store = TCPStore("127.0.0.1", port, is_master=True, timeout=timedelta(seconds=60))
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_PORT": str(port)}
    first, _ = words(2, "die", **agent)
    assert "lost the connection" in first["said"]
    for found in words(2, "everything", **agent):
        assert found["scalar"] == 1
    del store


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launched()),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Launched(1, 2, 1, 2)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Launched()),
        ({"RANK": "3"}, Launched()),  # of another program
        ({"WORLD_SIZE": "4"}, Launched()),
        ({"RANK": "4", "WORLD_SIZE": "4"}, Launched()),
        ({"RANK": "x", "WORLD_SIZE": ""}, Launched()),
    ],
)
def test_a_place_is_what_the_launcher_says(
    variables: dict[str, str], expected: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected
    assert launched().leads == (expected.rank == 0)


def test_ranks_of_one_host_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeba_gan.ranks.launched.available_cores", lambda: 16)

    def cores(threads: str, ranks: int) -> int:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        return own_cores()

    assert [cores("", 1), cores("3", 1), cores("1", 1), cores("64", 1)] == [16, 3, 1, 16]
    assert [cores("", 4), cores("1", 4), cores("3", 4), cores("", 32)] == [4, 4, 3, 1]  # 1: torchrun's own


def test_no_torch_is_imported_to_know_ones_place() -> None:
    program = "import sys; from celeba_gan.ranks import group, launched; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ.copy())


@pytest.mark.parametrize("given", ["soon", "0", "-3", "inf", "nan"])
def test_a_time_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELEBA_GAN_RANK_TIMEOUT", given)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RanksError, match=f"CELEBA_GAN_RANK_TIMEOUT={given} is no number of seconds above 0"):
        join()


@pytest.mark.slow
def test_the_end_of_the_process_that_holds_the_store_is_noticed() -> None:
    _, other = words(2, "vanish")
    assert "which the launcher or rank 0 keeps at 127.0.0.1:" in other["said"]
    assert "has ended or cannot be reached" in other["said"]


@contextmanager
def agent(seconds: float = 2) -> Iterator[dict[str, str]]:
    """The variables for ranks of a launcher whose store is in a process of its own, and its process."""
    port = str(free_port())
    with subprocess.Popen([sys.executable, PROGRAM, "store", port], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield {
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "MASTER_PORT": port,
                "CELEBA_GAN_RANK_TIMEOUT": f"{seconds:g}",
                "STORE_PROCESS": str(process.pid),
            }
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["suspended", "killed"])
def test_a_wait_for_a_rank_without_a_sign_of_life_ends_and_names_it(what: str) -> None:
    with agent() as variables, ranks_started([[PROGRAM, what]] * 2, **variables) as started:
        printed, _ = started[0].communicate(timeout=60)
    found = json.loads(printed.splitlines()[-1])
    assert f"waits for rank 1 ({socket.gethostname()}), which has given no sign of life for 2." in found["said"]
    assert "CELEBA_GAN_RANK_TIMEOUT=SECONDS" in found["said"]
    assert started[0].returncode == 0  # and the process ends after it


@pytest.mark.slow
def test_a_rank_that_is_busy_for_longer_than_the_time_out_is_waited_for() -> None:
    with agent() as variables:
        found = words(2, "busy", **variables)
    assert all(one["timeouts"] > 2 for one in found)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "expected"), [("SIGSTOP", "has not answered rank"), ("SIGKILL", "cannot be reached")])
def test_a_store_that_is_gone_ends_every_wait(sent: str, expected: str) -> None:
    with agent() as variables:
        found = words(2, "orphaned", STORE_SIGNAL=sent, **variables)
    for one in found:
        assert f"the launcher or rank 0 keeps at 127.0.0.1:{variables['MASTER_PORT']}" in one["said"]
        assert expected in one["said"]
