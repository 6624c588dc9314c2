"""What ranks tell each other, on torch.distributed.

Nothing here pickles: numbers, JSON and tensors are all that is sent.
"""

import atexit
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.foundation.wording import in_time
from celeba_gan.ranks.attempts import agree_on_attempt
from celeba_gan.ranks.heartbeats import TIMEOUT_VARIABLE, RankEndedError, RanksError, StoreThread, one_line
from celeba_gan.ranks.launched import Launched, launched, own_gpu

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

logger = logging.getLogger(__name__)

__all__ = ["ALONE", "TIMEOUT_VARIABLE", "Ranks", "RanksError", "current", "join", "leave"]

_TIMEOUT: Final = 600.0  # seconds; a tick's saving and measuring, for which the others wait, takes less
_VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MEANWHILE: Final = 3.0  # seconds within which all ranks notice that one does not answer


@dataclass(eq=False)
class Ranks:
    """The ranks of this run, as one of them sees them; a process alone has nothing to send.

    All ranks must call the same methods in the same order.
    """

    place: Launched
    thread: StoreThread | None = None  # of this attempt
    timeout: float = _TIMEOUT  # seconds
    _announced: int = field(default=0, init=False)
    _meetings: int = field(default=0, init=False)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which alone writes and tracks."""
        return self.place.leads

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.place.several

    def rows(self, count: int) -> slice:
        """This rank's share of so many rows: neighbouring ones, and as many for all ranks, or one more."""
        each, more = divmod(count, self.place.world)
        start = self.place.rank * each + min(self.place.rank, more)
        return slice(start, start + each + (self.place.rank < more))

    # --- one value for all -------------------------------------------------------------------------------------------

    def sum_(self, tensors: Sequence["Tensor"]) -> None:
        """Sums each tensor over the ranks, in place, by one all-reduce; of one device, and without gaps in memory."""
        if not self.several:
            return
        import torch
        import torch.distributed as dist

        parts = [tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors]  # in the order they lie in memory
        flat = torch.cat(parts)
        with self._together("adding up"):
            dist.all_reduce(flat)
        torch._foreach_copy_(parts, list(torch.split(flat, [len(part) for part in parts])))

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest value of any rank, at each place."""
        if not self.several:
            return list(values)
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64)
        with self._together("agreeing"):
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        numbers: list[float] = tensor.tolist()
        return numbers

    def from_leader(self, value: Any = None) -> Any:
        """Rank 0's value, which JSON can hold, on all ranks."""
        if not self.several:
            return value
        import torch

        text = _encoded(value) if self.leads else torch.empty(0, dtype=torch.uint8)
        (length,) = self.largest([len(text)])
        text = text if self.leads else torch.empty(int(length), dtype=torch.uint8)
        self._broadcast(text)
        return json.loads(text.numpy().tobytes())

    def tensors_from_leader(self, tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
        """Rank 0's tensors by name, on all ranks: its own there, on the CPU elsewhere. Others give what they like."""
        if not self.several:
            return dict(tensors)
        import torch

        kinds = {name: [list(one.shape), str(one.dtype).removeprefix("torch.")] for name, one in tensors.items()}
        result = {}
        for name, (shape, dtype) in self.from_leader(kinds if self.leads else None).items():
            sent = tensors[name].detach().cpu().contiguous() if self.leads else None
            sent = torch.empty(shape, dtype=getattr(torch, dtype)) if sent is None else sent
            self._broadcast(sent)
            result[name] = tensors[name] if self.leads else sent
        return result

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, which JSON can hold, in order of ranks, on all ranks."""
        if not self.several:
            return [value]
        import torch
        import torch.distributed as dist

        text = _encoded(value)
        (longest,) = self.largest([len(text)])
        padded = torch.full((int(longest),), ord(" "), dtype=torch.uint8)  # JSON may end in blanks
        padded[: len(text)] = text
        received = [torch.empty_like(padded) for _ in range(self.place.world)]
        with self._together("gathering"):
            dist.all_gather(received, padded)
        return [json.loads(one.numpy().tobytes()) for one in received]

    def spread(self, count: int, compute: Callable[[int], Sequence["NDArray[Any]"]]) -> Iterator[list["NDArray[Any]"]]:
        """Gives `compute(0)` to `compute(count - 1)`, in order, on rank 0, and nothing elsewhere.

        Each rank computes every so manieth of them.
        """
        world = self.place.world
        for start in range(0, count, world):
            number = start + self.place.rank
            mine = list(compute(number)) if number < count else []
            if self.several:
                yield from self._to_leader(mine)[: count - start]
            else:
                yield mine

    def _to_leader(self, arrays: list["NDArray[Any]"]) -> list[list["NDArray[Any]"]]:
        """The arrays of all ranks, in order of ranks; nothing but on rank 0."""
        import numpy as np
        import torch
        import torch.distributed as dist

        kinds = self.gather([[list(one.shape), one.dtype.str] for one in arrays])
        if not self.leads:
            with self._together("sending"):
                for one in arrays:
                    dist.send(torch.from_numpy(np.ascontiguousarray(one).reshape(-1).view(np.uint8)), 0)
            return []
        found = [arrays]
        for rank in range(1, self.place.world):
            received = [np.empty(shape, np.dtype(kind)) for shape, kind in kinds[rank]]
            with self._together("receiving"):
                for one in received:
                    dist.recv(torch.from_numpy(one.reshape(-1).view(np.uint8)), rank)
            found.append(received)
        return found

    def _broadcast(self, tensor: "Tensor") -> None:
        import torch.distributed as dist

        with self._together("sending"):
            dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Returns when all ranks have called it."""
        self.largest([0.0])

    def check_same(self, what: Mapping[str, Any], advice: str) -> None:
        """Compares values that must be the same on all ranks, by their names.

        Raises:
            RanksError: They differ; the message names the rank, the values and the advice.
        """
        found = self.gather([self.place.name, dict(what)])
        first, expected = found[0]
        for name, values in found[1:]:
            differing = [key for key in {**expected, **values} if expected.get(key) != values.get(key)]
            if differing:
                lines = [f"  {key}: {expected.get(key)} on {first}, {values.get(key)} on {name}" for key in differing]
                raise self.agreed(RanksError("\n".join([f"{name} differs from {first}:", *lines, advice])))

    def agreed(self, error: Exception) -> BaseException:
        """What to raise where all ranks fail for the same reason: rank 0 says it, the others repeat it in one line."""
        return error if self.leads else self._because("rank 0 has ended", str(error), 0)

    def outlive_leader(self) -> None:
        """Returns when rank 0 has ended; at once there.

        The launcher ends all ranks as soon as one has failed, and would end rank 0 before it has spoken and saved.
        """
        if not self.leads:
            self._outlive(0)

    def tell_end(self, reason: str, wait: bool = True) -> None:
        """Tells the other ranks why this one ends, without secrets; waits some seconds until they know."""
        if self.thread is not None:
            self.thread.tell_end(reason, wait)

    def _because(self, event: str, reason: str, rank: int | None = None) -> BaseException:
        """What to raise because of another rank's end: on rank 0 an error, on the others a line, when it has ended."""
        if self.thread is not None:
            self.thread.acknowledge_end()
        text = f"{self.place.name} ends, because {event}: {one_line(reason)}"
        if self.leads:
            return RanksError(text)
        if rank is not None:
            self._outlive(rank)
        return SystemExit(mask_secrets(text))  # Python prints it

    def _outlive(self, rank: int) -> None:
        import torch
        import torch.distributed as dist

        with suppress(RuntimeError):  # the connection ends with the rank
            dist.recv(torch.empty(1), rank)

    # --- who does what -----------------------------------------------------------------------------------------------

    def announce(self, what: str) -> None:
        """Tells the other ranks what to do next, a node or a part of one; "": nothing more."""
        self._announced += 1
        self._write(f"next/{self._announced}", what)

    def announced(self) -> str:
        """What rank 0 announces next; waits for it, as long as rank 0 lives.

        Raises:
            RanksError: Rank 0 gives no sign of life, or the store is gone; `meet` and `finish` likewise, for any rank.
        """
        self._announced += 1
        return self._read(f"next/{self._announced}", 0)

    def meet(self) -> None:
        """Returns when all ranks have called it, however long that takes."""
        self._meetings += 1
        self._write(f"met/{self._meetings}/{self.place.rank}", "")
        for rank in range(self.place.world if self.several else 0):
            self._read(f"met/{self._meetings}/{rank}", rank)

    def finish(self) -> None:
        """Ends the work in good order: rank 0, whose process may hold the store, after all others."""
        self._write(f"finished/{self.place.rank}", "")
        for rank in range(self.place.world if self.leads and self.several else 0):
            self._read(f"finished/{rank}", rank)
        leave()

    def sign_of_life(self, where: str) -> None:
        """Records where this rank is, for the message of another that waits for it in vain."""
        self._write(f"at/{self.place.rank}", f"{self.place.name} {where}")

    def _write(self, key: str, value: str) -> None:
        """Does nothing in a process alone."""

        def write(store: "Store") -> bool:
            store.set(key, value)
            return True

        if self.thread is not None:
            self.thread.ask(write)

    def _read(self, key: str, rank: int) -> str:
        """What the rank writes there; waits for it, as long as the rank lives."""
        assert self.thread is not None
        try:
            value: str = self.thread.ask(lambda store: store.get(key).decode() if store.check([key]) else None, rank)
        except RankEndedError as ended:
            raise self._because(f"{ended.name} has ended", ended.reason, ended.rank) from None
        return value

    @contextmanager
    def _together(self, doing: str) -> Iterator[None]:
        """Explains why a collective failed: a rank has ended, or one does not answer."""
        try:
            yield
        except RuntimeError as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            slow = "timed out" in first.lower() or "timeout" in first.lower()
            if slow:
                raise RanksError(self._nobody_answers()) from error
            # Nobody can tell the end of a process that was killed: rank 0 does, when it has noticed.
            if self.thread is not None and (ended := self.thread.first_end(0.5 if self.leads else _MEANWHILE)):
                raise self._because(f"{ended.name} has ended", ended.reason, ended.rank) from error
            if not self.leads:
                raise self._because("it lost the connection to another rank", f"{doing}: {first}") from error
            raise RanksError(self._others_ended(doing, first)) from error

    def _nobody_answers(self) -> str:
        """Names the ranks that do not wait as this one does: they hang, or their host cannot be reached."""
        waited = f"{self.place.name} has waited {in_time(self.timeout)} for"
        advice = f"Look at its host; {TIMEOUT_VARIABLE}=SECONDS waits longer"
        assert self.thread is not None
        try:
            self._write(f"waits/{self.place.rank}", "")
            time.sleep(_MEANWHILE)
            missing, signs = self.thread.ask(self._absent, within=_MEANWHILE)
        except RanksError:
            return f"{waited} the other ranks, and the launcher's store does not answer either. {advice}"
        known = f" (last sign of life: {'; '.join(signs)})" if signs else ""
        who = "rank " + ", ".join(map(str, missing)) if missing else "the other ranks"
        return f"{waited} {who}{known}. {advice}"

    def _absent(self, store: "Store") -> tuple[list[int], list[str]]:
        """Which ranks do not wait in vain as this one does, and their last signs of life."""
        missing = [rank for rank in range(self.place.world) if not store.check([f"waits/{rank}"])]
        return missing, [store.get(f"at/{one}").decode() for one in missing if store.check([f"at/{one}"])]

    def _others_ended(self, doing: str, reason: str) -> str:
        return (
            f"{self.place.name} lost the connection to another rank, which has ended or cannot be reached; see what "
            f"that one says ({doing}: {reason})"
        )


ALONE: Final = Ranks(Launched())
_current: Ranks = ALONE


def current() -> Ranks:
    """The ranks that this process has joined; itself alone otherwise."""
    return _current


def join() -> Ranks:
    """Joins the others, if the process was started as one of several; waits until all are there.

    Raises:
        RanksError: They do not come.
    """
    global _current
    place = launched()
    if not place.several or _current.several:
        return _current
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    timeout = _timeout()
    if torch.cuda.is_available() and (gpu := own_gpu(place, torch.cuda.device_count())) is not None:
        torch.cuda.set_device(gpu)
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=timeout)))
    except (RuntimeError, ValueError) as error:
        variables = ", ".join(f"{name}={os.environ.get(name, '')}" for name in _VARIABLES)
        raise RanksError(
            f"{place.name} of {place.world} could not reach the others within {in_time(timeout)} ({variables}): "
            f"{str(error).splitlines()[0].rstrip('.')}. Start all of them with torchrun, or unset these variables for "
            "one process alone"
        ) from error
    attempt = agree_on_attempt(store, place, _TIMEOUT)
    own = PrefixStore(attempt, store)
    ranks = Ranks(place, StoreThread(own, place, timeout), timeout)
    with ranks._together("joining"):
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=own,
            rank=place.rank,
            world_size=place.world,
            timeout=timedelta(seconds=timeout),
        )
    atexit.register(leave)  # or a thread of gloo's may abort a process that ends with an error
    _current = ranks
    return ranks


def _timeout() -> float:
    """Seconds to wait for other ranks."""
    given = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(given or _TIMEOUT)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise RanksError(f"{TIMEOUT_VARIABLE}={given} is no number of seconds above 0")
    return seconds


def leave() -> None:
    """Closes this rank's connections; the next run of this process is alone, or joins anew."""
    global _current
    if _current.several:
        import torch.distributed as dist

        dist.destroy_process_group()
        if _current.thread is not None:
            _current.thread.close()
    _current = ALONE


def _encoded(value: Any) -> "Tensor":
    """JSON as bytes, uint8 (length,)."""
    import torch

    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
