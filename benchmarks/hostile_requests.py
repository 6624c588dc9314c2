"""Requests that a server of pictures has to refuse, or to answer rightly: written by hand, and mutated at random."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

FORMS: Final = ("dataframe_records", "dataframe_split", "inputs", "instances")
JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """What is sent to `/invocations`."""

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    method: str = "POST"
    refused: bool = True  # it must be; otherwise a right answer will do, too


_GOOD: Final = '{"inputs": [{"seed": 1}]}'
_WRONG_SEEDS: Final = [-1, 1.5, 2**63, 2**64, 10**30, 1e300, True, "1", "", [1], [], {}, {"a": 1}, "x" * 10_000]
_WRONG_TRUNCATIONS: Final = [-0.001, 1.001, 1e300, -(10**400), True, "0.5", [0.5], {}]
_WRONG_LABELS: Final = [
    *(5, True, ["Male"], {"Male": 1}, "Nobody", "+", "Male+", "mal", " ", "\x00", "\ud800", "Male+" * 500),
    *("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "%s%n%x", "'; DROP TABLE models; --", "{{7*7}}"),
    *("${jndi:ldap://x/a}", "<script>alert(1)</script>", "x" * 100_000),
]
_WRONG_FORMATS: Final = ["gif", "PNG", "", "tiff", "../x.png", "pdf", "eps", "png\x00", 5, True, ["png"], {}]
_WRONG_NUMBERS: Final[list[Any]] = [None, "x", [1], {}, True, 1e39, -1e39, 10**400, 1001]
_WRONG_PARAMS: Final = ["[]", "5", '"x"', *('{"seed": 1}', '{"truncation": 2}', '{"labels": 5}', '{"format": 1}')]
_WRONG_TYPES: Final = [
    *(None, "", "text/csv", "text/plain", "application/xml", "application/vnd.apache.parquet", "multipart/form-data"),
    *("application/json; charset=latin-1", "application/json; charset=utf-16", "application/json; x=1", "a" * 5000),
]


def by_hand(latents: int) -> list[Request]:
    """All of them, but one, must be refused by a model with labels and latents of this length."""
    parquet = Request(b"PAR1" + bytes(100) + b"PAR1", {"Content-Type": "application/vnd.apache.parquet"})
    return [
        *(Request(json.dumps({"inputs": [row]}).encode()) for row in _wrong_rows(latents)),
        *(Request(text.encode()) for text in _wrong_texts(latents)),
        *(Request(_GOOD.encode(), {} if kind is None else {"Content-Type": kind}) for kind in _WRONG_TYPES),
        *(Request(text, {"Content-Type": "text/csv"}) for text in (b"seed\n1\n", b'a,"b\n')),
        parquet,
        *(Request(body) for body in (b"\xff\xfe", b"\x80abc", _GOOD.encode("utf-16"), bytes(1000))),
        *(Request(_GOOD.encode(), method=method) for method in ("GET", "PUT", "DELETE", "PATCH")),
        Request(_GOOD.encode(), {**JSON, "Content-Encoding": "gzip"}, refused=False),
    ]


def _wrong_rows(latents: int) -> list[object]:
    numbers = [0.5] * latents
    wrong_latents = [5, "0.5", [], [0.5], [*numbers, 0.5], [numbers], {}, [None] * latents, ["1"] * latents]
    wrong_latents += [[*numbers[:-1], one] for one in _WRONG_NUMBERS]
    return [
        *({"seed": one} for one in _WRONG_SEEDS),
        *({"number": one} for one in _WRONG_SEEDS),
        *({"truncation": one} for one in _WRONG_TRUNCATIONS),
        *({"labels": one} for one in _WRONG_LABELS),
        *({"format": one} for one in _WRONG_FORMATS),
        *({"latents": one} for one in wrong_latents),
        {"seed": 1, "latents": numbers},
        {"number": 0, "latents": numbers},
        *({name: 1} for name in ("trunction", "", "Seed", "__class__", "../seed", "x" * 10_000, "\ud800")),
        *(None, 5, "seed", [1], [], True, [[{"seed": 1}]]),
    ]


def _wrong_texts(latents: int) -> list[str]:
    def row(name: str, value: str) -> str:
        return '{"inputs": [{"' + name + '": ' + value + "}]}"

    def repeated(value: str) -> str:
        return "[" + ",".join([value] * latents) + "]"

    deep = "[" * 50_000
    split = [
        '{"data": [[1]]}',
        '{"columns": ["seed"], "data": [[1, 2]]}',
        '{"columns": ["seed", "seed"], "data": [[1, 2]]}',
        '{"columns": [{}], "data": [[1]]}',
        '{"columns": [["seed"], ["number"]], "data": [[1, 2]]}',
    ]
    return [
        *("", " ", "{", "[", "]", "nul", "null", "true", "5", '"x"', "[]", "{}", "NaN", "\x00", "\ufeff"),
        *(_GOOD[:end] for end in range(1, len(_GOOD), 3)),
        *(deep, deep + "]" * 50_000, '{"inputs":' + deep, '{"inputs":' * 50_000, '{"a":' * 500 + "1" + "}" * 500),
        row("latents", "[" * 400 + "]" * 400),
        row("seed", "9" * 5000),
        *(row("latents", repeated(name)) for name in ("NaN", "Infinity", "-Infinity", "1e999")),
        *(row(name, "NaN") for name in ("seed", "truncation", "labels")),
        *('{"' + name + '": []}' for name in (*FORMS, "messages", "prompt", "input", "signature_name", "data")),
        *('{"' + name + '": {"seed": [1]}}' for name in FORMS),
        *(_GOOD[:-1] + more + "}" for more in (', "instances": [{"seed": 1}]', ', "extra": 1', ', "messages": []')),
        *('{"inputs": [{}], "params": ' + one + "}" for one in _WRONG_PARAMS),
        *('{"dataframe_split": ' + one + "}" for one in split),
        json.dumps({"inputs": [{}] * 257}),
        json.dumps({"inputs": [{"seed": number} for number in range(100_000)]}),
        json.dumps({"inputs": [{"labels": "x" * 1_000_000}] * 20}),
        " " * 20_000_000,
    ]


_HOSTILE: Final[list[Any]] = [
    *(None, True, -1, 0, 1.5, 2**53 + 1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x", "Male", "1"),
    *("\x00", "\ud800", "../../etc/passwd", "Male+Male+Male+Male", "x" * 5000),
    *([], [[]], [1], {}, {"seed": 1}, [None] * 300),
]


def mutated(seed: int, latents: int, labels: tuple[str, ...]) -> Iterator[Request]:
    """Good requests, each with up to four changes of its values, its structure or its bytes; endless."""
    rng = random.Random(seed)
    while True:
        content = good_request(rng, latents, labels)
        for _ in range(rng.randint(0, 2)):
            _change(rng, content)
        text = bytearray(json.dumps(content).encode())
        for _ in range(rng.choice((0, 0, 1, 2))):
            rng.choice(_BYTES)(rng, text)
        kind = rng.choice(("application/json",) * 9 + ("text/csv",))
        yield Request(bytes(text), {"Content-Type": kind}, refused=False)


def good_request(rng: random.Random, latents: int, labels: tuple[str, ...], most_rows: int = 3) -> dict[str, Any]:
    """A request that is answered, in any form."""
    rows = [_good_row(rng, latents, labels) for _ in range(rng.randint(1, most_rows))]
    form = rng.choice(FORMS)
    content: dict[str, Any] = {form: rows}
    if form == "dataframe_split":
        columns = sorted({name for row in rows for name in row})
        content = {form: {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows]}}
    if rng.random() < 0.3:
        content["params"] = {"truncation": rng.random(), "format": rng.choice(("png", "webp", "jpeg"))}
    return content


def _good_row(rng: random.Random, latents: int, labels: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if rng.random() < 0.3:
        row["latents"] = [rng.gauss(0, 1) for _ in range(latents)]
    elif rng.random() < 0.9:
        row |= {"seed": rng.choice((rng.randrange(100), rng.randrange(2**63))), "number": rng.randrange(5000)}
    if rng.random() < 0.5:
        row["labels"] = "+".join(rng.sample(labels, rng.randint(1, len(labels))))
    if rng.random() < 0.5:
        row["truncation"] = rng.random()
    return row


def _change(rng: random.Random, content: dict[str, Any]) -> None:
    """Walks to a random place of a structure, and replaces, removes or adds something there."""
    at: Any = content
    while True:
        if not at:
            return
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        if not isinstance(at[key], dict | list) or rng.random() < 0.2:
            break
        at = at[key]
    action = rng.random()
    if action < 0.7:
        at[key] = deepcopy(rng.choice(_HOSTILE))
    elif action < 0.85:
        del at[key]
    elif isinstance(at, dict):
        at[rng.choice(("seed", "latents", "labels", "x", ""))] = deepcopy(rng.choice(_HOSTILE))
    else:
        at.append(deepcopy(rng.choice(_HOSTILE)))


def _flip(rng: random.Random, text: bytearray) -> None:
    if text:
        text[rng.randrange(len(text))] = rng.randrange(256)


def _cut(rng: random.Random, text: bytearray) -> None:
    del text[rng.randrange(len(text) + 1) :]


def _repeat(rng: random.Random, text: bytearray) -> None:
    start = rng.randrange(len(text) + 1)
    text[start:start] = text[start : start + 20] * rng.choice((1, 10))


_BYTES: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (_flip, _cut, _repeat)
