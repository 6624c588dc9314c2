"""How ranks find each other in the launcher's store, whichever attempt it is."""

import json
import os
import time
from typing import TYPE_CHECKING, Final

from celeba_gan.ranks.heartbeats import RanksError
from celeba_gan.ranks.launched import Launched

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_POLL: Final = 0.05  # seconds between two looks into the store; each is a message to another host


def agree_on_attempt(store: "Store", place: Launched, timeout: float) -> str:
    """The name of this attempt, on which all ranks agree.

    torchrun keeps one store over its restarts, in which the ranks would find the addresses of the dead. Its own count
    of restarts does not tell attempts apart: each host has its own. So rank 0 invents a name, and calls those who have
    signed under it.

    Raises:
        RanksError: A rank does not come within `timeout` seconds, or the store is gone.
    """
    mine = os.urandom(8).hex()
    if place.leads:
        store.set("attempt", mine)
        signed = {
            str(rank): _when_there(store, f"{mine}/signed/{rank}", remaining=timeout, who=rank)
            for rank in range(1, place.world)
        }
        store.set(f"{mine}/called", json.dumps(signed))
        return mine
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if store.check(["attempt"]):
            attempt = store.get("attempt").decode()
            store.set(f"{attempt}/signed/{place.rank}", mine)
            called = f"{attempt}/called"
            if store.check([called]) and json.loads(store.get(called)).get(str(place.rank)) == mine:
                return attempt
        time.sleep(_POLL)
    raise RanksError(f"{place.name}: rank 0 did not come for {timeout / 60:g} minutes; look at its own messages")


def _when_there(store: "Store", key: str, remaining: float, who: int) -> str:
    """A key's value, once it has one. Not by `Store.wait`, in which a process hears no signal."""
    from torch.distributed import DistNetworkError

    end = time.monotonic() + remaining
    try:
        while not store.check([key]):
            if time.monotonic() > end:
                raise RanksError(f"Rank {who} did not come for {remaining / 60:g} minutes; look at its own messages")
            time.sleep(_POLL)
        return store.get(key).decode()
    except DistNetworkError as error:  # it is in the launcher's process, or in that of rank 0
        raise RanksError("The launcher, or rank 0, has ended or cannot be reached; look at its own messages") from error
