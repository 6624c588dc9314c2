"""What ranks tell each other, in each of them: `python rank_words.py WHAT`; prints JSON."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.distributed import TCPStore

from celeba_gan.hooks.errors import shorten_errors
from celeba_gan.ranks.group import Ranks, RanksError, join, leave


def said(wait: Callable[[], Any]) -> dict[str, Any]:
    start = time.monotonic()
    try:
        wait()
    except RanksError as error:
        return {"said": str(error), "seconds": time.monotonic() - start}
    raise AssertionError


def everything(ranks: Ranks) -> dict[str, Any]:
    mine = float(ranks.place.rank)
    weight = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last) * (mine + 1)
    scalar = torch.tensor(mine, dtype=torch.float64)
    ranks.sum_([weight, scalar])
    named = {"a": torch.full((2, 3), mine), "n": torch.tensor(7 + ranks.place.rank)}
    received = ranks.tensors_from_leader(named)

    def compute(number: int) -> list[Any]:
        return [np.full((number, 2), number, np.float32), np.array([ranks.place.rank], np.uint8)]

    spread = [[one.tolist() for one in arrays] for arrays in ranks.spread(5, compute)]
    told = []
    if ranks.leads:
        for word in ("one", "two", ""):
            ranks.announce(word)
    else:
        while word := ranks.announced():
            told.append(word)
    ranks.wait()
    return {
        "weight": weight.tolist(),
        "scalar": scalar.item(),
        "largest": ranks.largest([mine, -mine]),
        "from leader": ranks.from_leader({"text": "ü", "rank": ranks.place.rank}),
        "tensors": {name: tensor.tolist() for name, tensor in received.items()},
        "gather": ranks.gather(["x" * ranks.place.rank, ranks.place.rank]),
        "spread": spread,
        "told": told,
    }


def differ(ranks: Ranks) -> dict[str, Any]:
    ranks.check_same({"size": 64}, "never seen")
    try:
        ranks.check_same({"size": 64 + 64 * (ranks.place.rank == 1), "seed": 0}, "Give the same.")
    except RanksError as error:
        return {"said": str(error)}
    raise AssertionError


def die(ranks: Ranks) -> dict[str, Any]:
    if ranks.place.rank == 1:
        os._exit(9)
    return said(ranks.wait)


def vanish(ranks: Ranks) -> dict[str, Any]:
    if ranks.leads:
        os._exit(9)
    return said(ranks.announced)


def hang(ranks: Ranks) -> dict[str, Any]:
    ranks.sign_of_life("at work")
    if ranks.place.rank == 1:
        time.sleep(60)  # the test ends it
    return said(ranks.wait)


def suspended(ranks: Ranks) -> dict[str, Any]:
    if ranks.place.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return said(ranks.meet)


def killed(ranks: Ranks) -> dict[str, Any]:
    if ranks.place.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return said(ranks.meet if ranks.leads else ranks.announced)


def busy(ranks: Ranks) -> dict[str, Any]:
    start = time.monotonic()
    if ranks.place.rank == 1:
        while time.monotonic() - start < 2.5 * ranks.timeout:
            sum(range(1000))  # holds the interpreter's lock, as decoding photographs may
    ranks.meet()
    return {"timeouts": (time.monotonic() - start) / ranks.timeout}


def orphaned(ranks: Ranks) -> dict[str, Any]:
    if ranks.leads:
        os.kill(int(os.environ["STORE_PROCESS"]), getattr(signal, os.environ["STORE_SIGNAL"]))
        return said(ranks.meet)
    return said(ranks.announced)


def fails(ranks: Ranks) -> dict[str, Any]:
    return _beside_a_failure(ranks, ranks.meet if ranks.leads else ranks.announced)


def fails_meanwhile(ranks: Ranks) -> dict[str, Any]:
    return _beside_a_failure(ranks, ranks.wait)


def _beside_a_failure(ranks: Ranks, wait: Callable[[], Any]) -> dict[str, Any]:
    shorten_errors()
    if ranks.place.rank == 1:
        raise RanksError("Cannot read s3://me:password@host/images.\nCopy them.")
    wait()
    raise AssertionError


def keep_store(port: int) -> None:
    """As a launcher's agent does."""
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    print("ready", flush=True)
    time.sleep(60)  # the test ends it
    del store


WORDS = (everything, differ, die, hang, vanish, suspended, killed, busy, orphaned, fails, fails_meanwhile)

if __name__ == "__main__":
    if sys.argv[1] == "store":
        keep_store(int(sys.argv[2]))
        sys.exit()
    ranks = join()
    ranks.wait()  # else one might end while another still joins
    result = {word.__name__: word for word in WORDS}[sys.argv[1]](ranks)
    print(json.dumps(result), flush=True)
    ranks.finish() if sys.argv[1] in ("everything", "busy") else leave()
