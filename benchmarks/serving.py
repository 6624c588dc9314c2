"""What `mlflow models serve` does with a logged model: hostile requests, then many clients at once.

The model is as large as the demo's, with fresh weights and three labels. First come hostile requests, by hand and by
seeded mutation: each must be refused with a 4xx and a reason, or be answered rightly, without a stack trace. Then
clients, each with a connection of its own, send good requests of one to three rows for some time; every answer is
compared with the pictures that the generator makes in this process. The clients are threads of this process, on the
same cores as the server: latencies are those of a busy machine. A table in Markdown comes out; the exit status is 1 if
any request was lost, answered wrongly, or refused without a reason.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from hostile_requests import Request, by_hand, good_request, mutated
from machine import describe, matrix_product_ms
from served import LABELS, Logged, Server, fault, log_champion, send, serve, wrong

_PREPARED = 100  # different good requests


@dataclass
class Attack:
    """What became of hostile requests."""

    sent: int = 0
    refused: int = 0
    answered: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Load:
    """What became of good requests."""

    latencies: list[float] = field(default_factory=list)  # milliseconds
    pictures: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def attack(server: Server, logged: Logged, count: int, seed: int = 0) -> Attack:
    """Sends hostile requests one after the other: all that are written by hand, and mutations up to `count`."""
    latents, result = logged.generator.latent.size, Attack()
    requests = itertools.chain(by_hand(latents), mutated(seed, latents, LABELS))
    connection = server.connect()
    for request in itertools.islice(requests, count):
        result.sent += 1
        try:
            status, answer = send(connection, request)
        except OSError as error:
            found: str | None = f"no answer: {error!r}"
            connection = server.connect()
        else:
            result.refused += 400 <= status < 500
            result.answered += status == 200
            found = fault(logged.generator, request, status, answer)
        if found is not None:
            result.faults.append(f"{found}: {request.method} {request.headers} {request.body[:200]!r}")
    if not server.lives():
        result.faults.append("the server does not answer any more")
    return result


def load(server: Server, logged: Logged, clients: int, seconds: float, seed: int = 0) -> Load:
    """Sends good requests from many clients at once; the answers are compared after the time is over."""
    rng, latents = random.Random(seed), logged.generator.latent.size
    contents = [good_request(rng, latents, LABELS) for _ in range(_PREPARED)]
    requests = [Request(json.dumps(content).encode(), refused=False) for content in contents]
    result, lock = Load(), threading.Lock()
    answers: set[tuple[int, int, bytes]] = set()  # the same request mostly gets the same bytes
    began = time.perf_counter()

    def work(client: int) -> None:
        choices, connection = random.Random(f"{seed}/{client}"), server.connect()
        while time.perf_counter() - began < seconds:
            number = choices.randrange(_PREPARED)
            start = time.perf_counter()
            try:
                found = (number, *send(connection, requests[number]))
            except OSError as error:
                connection = server.connect()
                with lock:
                    result.faults.append(f"lost: {error!r}")
                continue
            with lock:
                result.latencies.append((time.perf_counter() - start) * 1000)
                answers.add(found)
                result.pictures += found[2].count(b'"image"')

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - began
    for number, status, answer in sorted(answers):
        found = f"status {status}" if status != 200 else wrong(logged.generator, requests[number], answer)
        if found is not None:
            result.faults.append(f"wrong: {found}: {requests[number].body[:200]!r}")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hostile", type=int, default=2000, help="hostile requests")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60, help="of good requests")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celeba_gan-") as temporary:
        folder = Path(temporary)
        logged = log_champion(folder)
        with serve(logged.store, folder, arguments.workers) as server:
            started = server.memory()
            attacked = attack(server, logged, arguments.hostile)
            after_attack = server.memory()
            load(server, logged, arguments.clients, arguments.seconds / 10)
            warm = server.memory()
            loaded = load(server, logged, arguments.clients, arguments.seconds, seed=1)
            end = server.memory()
    percentiles = statistics.quantiles(loaded.latencies, n=100)
    size, faults = logged.generator.card.size, attacked.faults + loaded.faults
    print(f"{describe()}; 1024^3 float32 product {matrix_product_ms():.1f} ms\n")
    rate, pictures = len(loaded.latencies) / loaded.seconds, loaded.pictures / loaded.seconds
    rows = {
        "hostile requests": f"{attacked.sent}: {attacked.refused} refused, {attacked.answered} answered",
        "of these without a reason, with a stack trace, or wrong": f"{len(attacked.faults)}",
        "clients, seconds, server processes": f"{arguments.clients}, {loaded.seconds:.0f}, {arguments.workers}",
        f"requests, pictures of {size}x{size}": f"{len(loaded.latencies)}, {loaded.pictures}",
        "requests/s, pictures/s": f"{rate:.0f}, {pictures:.0f}",
        "latency p50, p99, maximum": f"{percentiles[49]:.0f}, {percentiles[98]:.0f}, {max(loaded.latencies):.0f} ms",
        "lost or wrong": f"{len(loaded.faults)}",
        "memory at the start, after the hostile requests": f"{started:.0f}, {after_attack:.0f} MB",
        "memory before the clients (warmed up by as many), after them": f"{warm:.0f}, {end:.0f} MB",
    }
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    for one in faults[:20]:
        print(one, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
