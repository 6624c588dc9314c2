"""How ranks notice, outside of collectives, that another one is gone: by heartbeats in torch.distributed's store."""

import json
import math
import os
import queue
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celeba_gan.foundation.wording import in_time
from celeba_gan.ranks.launched import Launched

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

TIMEOUT_VARIABLE: Final = "CELEBA_GAN_RANK_TIMEOUT"
_BEAT: Final = 1.0  # seconds between two heartbeats, at most; each is a message to another host
_POLL: Final = 0.05  # seconds between two looks into the store
_ENDED: Final = "ended"  # the key under which the first rank that fails says why
_HEARD: Final = 3.0  # seconds within which the others hear of that, if they wait
_LONGEST: Final = 500  # characters of another rank's message


class RanksError(RuntimeError):
    """The ranks cannot work together; the message names the rank, and says what to do."""


class RankEndedError(Exception):
    """Another rank has ended before the work was done, and has said why."""

    def __init__(self, rank: int, name: str, reason: str) -> None:
        super().__init__(f"{name} has ended: {reason}")
        self.rank, self.name, self.reason = rank, name, reason


@dataclass(eq=False)
class _Question:
    """What the process wants to know, and what the thread has found out about it so far."""

    look: Callable[["Store"], Any]
    rank: int | None  # whom the answer comes from
    answer: Any = None
    answered: threading.Event = field(default_factory=threading.Event)
    heartbeat: str = ""  # of that rank
    looked: float = 0.0  # when, on this host's monotonic clock
    silent: float = 0.0  # seconds for which the heartbeat has not changed
    ended: RankEndedError | None = None


class StoreThread:
    """A thread that does all this process wants of the store, and writes its heartbeat there meanwhile.

    A client of the store waits for an answer without end if the store's host vanishes, hears no signal then, and
    blocks every other thread that uses it. So this thread has a client of its own, and the process waits for the
    thread. Hosts' clocks are never compared: a heartbeat is a count, and what matters is whether it changes.
    """

    def __init__(self, store: "Store", place: Launched, timeout: float) -> None:
        """Starts the thread, after the first heartbeat.

        Args:
            store: Of this attempt.
            place: This rank.
            timeout: Seconds without a heartbeat after which a rank is given up, and without an answer, the store.
        """
        self._store, self._place, self._timeout = store.clone(), place, timeout
        self._period = min(_BEAT, timeout / 8)
        self._beats = self._answers = 0
        self._lost: RuntimeError | None = None
        self._closed = False
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
        self._thread.start()

    def ask(self, look: Callable[["Store"], Any], rank: int | None = None, within: float | None = None) -> Any:
        """What `look` returns, called again until that is not None.

        Args:
            look: Must not wait for a key.
            rank: Whom the answer comes from; waits as long as that rank lives, and no other has failed.
            within: Seconds to wait at most; None: without end.

        Raises:
            RanksError: The rank has no heartbeat any more, the store does not answer, or the time is over.
            RankEndedError: Another rank has ended with an error, while waiting for `rank`.
        """
        question = _Question(look, rank)
        self._questions.put(question)
        try:
            self._wait(question, math.inf if within is None else within)
        finally:
            if not question.answered.is_set():
                self._questions.put(None)  # or the thread would go on looking
        return question.answer

    def _wait(self, question: _Question, within: float) -> None:
        waited = unheard = 0.0
        answers = self._answers
        # Counted in turns of this loop: a process that was suspended for an hour has not waited for an hour.
        while not question.answered.wait(_POLL):  # hears signals, which the store's own ways to wait do not
            if self._lost is not None:
                reason = str(self._lost).splitlines()[0].rstrip(".")
                raise RanksError(f"{self._store_words()} has ended or cannot be reached: {reason}. {_ADVICE}")
            if question.ended is not None:
                raise question.ended
            if question.silent > self._timeout:
                raise RanksError(self._silent_words(question))
            waited, unheard = waited + _POLL, unheard + _POLL if self._answers == answers else 0.0
            answers = self._answers
            if unheard > self._timeout or waited > within:
                raise RanksError(
                    f"{self._store_words()} has not answered {self._place.name} for {in_time(min(unheard, waited))}. "
                    f"{_ADVICE}. {TIMEOUT_VARIABLE}=SECONDS waits longer"
                )

    def tell_end(self, reason: str, wait: bool) -> None:
        """Says why this rank ends, unless another has ended before; waits, if requested, until all others know."""
        mine = json.dumps([self._place.rank, self._place.name, one_line(reason)])
        with suppress(RanksError):
            first = self.ask(lambda store: store.compare_set(_ENDED, "", mine).decode(), within=_HEARD)
            others = set(range(self._place.world)) - {self._place.rank, json.loads(first)[0]}
            holds_store = self._place.leads and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
            if wait and others and (first == mine or holds_store):  # the launcher may end its store with this rank
                knows = [f"knows/{other}" for other in others]
                self.ask(lambda store: store.check(knows) or None, within=_HEARD)

    def acknowledge_end(self) -> None:
        """Says that this rank knows of the end of another."""
        with suppress(RanksError):
            self.ask(lambda store: store.add(f"knows/{self._place.rank}", 1), within=_HEARD)

    def first_end(self, within: float) -> RankEndedError | None:
        """Which rank has ended first, and why; None if nobody says so within so many seconds."""
        with suppress(RanksError):
            found: RankEndedError | None = self.ask(_look_for_end, within=within)
            return found
        return None

    def close(self) -> None:
        """Ends the thread; one that waits for a store that is gone ends with the process."""
        self._closed = True
        self._questions.put(None)
        self._thread.join(self._period)

    def _run(self) -> None:
        question: _Question | None = None
        due = time.monotonic() + self._period
        try:
            while not self._closed:
                with suppress(queue.Empty):
                    left = max(0.0, due - time.monotonic())
                    question = self._questions.get(timeout=left if question is None else min(_POLL, left))
                if question is not None and (answer := question.look(self._store)) is not None:
                    question.answer = answer
                    question.answered.set()
                    question = None
                if time.monotonic() >= due:
                    due = time.monotonic() + self._period
                    self._beat()
                    if question is not None and question.rank is not None:
                        self._look_for(question)
                self._answers += 1
        except RuntimeError as error:  # the connection to the store
            self._lost = error

    def _beat(self) -> None:
        self._beats += 1
        self._store.set(f"alive/{self._place.rank}", f"{self._beats} {self._place.name}")

    def _look_for(self, question: _Question) -> None:
        """Looks for the heartbeat of the rank that is waited for, and for errors of any."""
        question.ended = _look_for_end(self._store)
        heartbeat, now = self._store.get(f"alive/{question.rank}").decode(), time.monotonic()
        if heartbeat != question.heartbeat:
            question.heartbeat, question.silent = heartbeat, 0.0
        else:
            question.silent += min(now - question.looked, 2 * self._period)  # this process may have been suspended
        question.looked = now

    def _store_words(self) -> str:
        address = f"{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
        return f"The store of the ranks, which the launcher or rank 0 keeps at {address},"

    def _silent_words(self, question: _Question) -> str:
        return (
            f"{self._place.name} waits for {question.heartbeat.partition(' ')[2]}, which has given no sign of life for "
            f"{in_time(question.silent)}: its host is down or cannot be reached, or the process is suspended. Look at "
            f"its host, end what is left of the run, and start it again. {TIMEOUT_VARIABLE}=SECONDS waits longer"
        )


_ADVICE: Final = "Look at that host and its messages, end what is left of the run, and start it again"


def _look_for_end(store: "Store") -> RankEndedError | None:
    return RankEndedError(*json.loads(store.get(_ENDED))) if store.check([_ENDED]) else None


def one_line(text: str) -> str:
    """A message in one line of limited length, for other ranks."""
    return textwrap.shorten(text, _LONGEST, placeholder=" ...")
