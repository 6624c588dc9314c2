"""What ranks tell each other, in each of them: `python rank_words.py WHAT`; prints JSON."""

import json
import os
import sys
import time
from typing import Any

import numpy as np
import torch

from celeba_gan.ranks.group import Ranks, RanksError, join, leave


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
    try:
        ranks.wait()
    except RanksError as error:
        return {"said": str(error)}
    raise AssertionError


def vanish(ranks: Ranks) -> dict[str, Any]:
    if ranks.leads:
        os._exit(9)
    try:
        ranks.announced()
    except RanksError as error:
        return {"said": str(error)}
    raise AssertionError


def hang(ranks: Ranks) -> dict[str, Any]:
    ranks.sign_of_life("at work")
    if ranks.place.rank == 1:
        time.sleep(60)  # the test ends it
    try:
        ranks.wait()
    except RanksError as error:
        return {"said": str(error)}
    raise AssertionError


if __name__ == "__main__":
    ranks = join()
    result = {"everything": everything, "differ": differ, "die": die, "hang": hang, "vanish": vanish}[sys.argv[1]](
        ranks
    )
    print(json.dumps(result), flush=True)
    leave() if sys.argv[1] in ("differ", "die", "hang", "vanish") else ranks.finish()
