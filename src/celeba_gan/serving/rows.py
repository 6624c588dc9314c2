"""The rows of a request: read, checked, and refused with a reason."""

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = ("seed", "number", "truncation", "labels", "latents", "format")
DEFAULTS: Final = {"truncation": 1.0, "labels": "", "format": "png"}
"""Of all rows of a request; its `params` change them."""
FORMATS: Final = ("png", "webp", "jpeg")
FORMS: Final = ("dataframe_records", "dataframe_split", "inputs", "instances")
"""The names that MLflow has for the rows of a request."""
LARGEST: Final = 2**63 - 1
"""The largest seed or number: as much as a column of whole numbers holds."""
LARGEST_LATENT: Final = 1000.0
"""Far outside of what a generator was trained on, and far from what overflows in it."""
_MOST_ROWS: Final = 256
_MOST_PIXELS: Final = 2**26  # of all pictures of a request
_LONGEST_LABELS: Final = 1000  # characters beyond those of all names together
_EXACT: Final = 2**53  # up to here floating point numbers are exact

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class RequestError(ValueError):
    """A request that cannot be answered; the message says what is wrong, where, and what is allowed."""


@dataclass(frozen=True)
class Limits:
    """How much a request may hold."""

    rows: int
    bytes: int
    latents: int  # numbers that a picture is made of
    labels: int  # characters

    @classmethod
    def of(cls, size: int, latents: int, names: Sequence[str]) -> Self:
        """For pictures of `size` x `size`, a length of latents, and the names of all labels."""
        rows = max(1, min(_MOST_ROWS, _MOST_PIXELS // size**2))
        labels = _LONGEST_LABELS + sum(len(name) + 3 for name in names)
        # JSON writes a double in up to 25 characters, and a character of a name in up to 12 (two escapes).
        return cls(rows, 2**16 + rows * (512 + 12 * labels + 32 * latents), latents, labels)


@dataclass(frozen=True)
class Row:
    """A picture that is requested: number `number` of a seed, or that of latents, float32 (latent size,)."""

    seed: int
    number: int
    truncation: float
    labels: str
    format: str
    latents: NDArray[np.float32] | None = None


def read_body(body: bytes) -> tuple[list[dict[str, object]], dict[str, object]]:
    """The rows and the parameters of a request as MLflow's server takes it, in any of its `FORMS`, as JSON.

    Raises:
        RequestError: It is not JSON, or it has another structure.
    """
    try:
        content = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise RequestError("The request is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise RequestError(f"The request is not valid JSON: {error}") from None
    allowed = f"one of {', '.join(FORMS)}, and params where needed"
    if not isinstance(content, dict):
        raise RequestError(f"The request is {_of_kind(content)}; give a JSON object with {allowed}")
    forms = [name for name in content if name in FORMS]
    unknown = [name for name in content if name not in (*FORMS, "params")]
    if len(forms) != 1 or unknown:
        raise RequestError(f"The request has the fields {_short.repr(sorted(content))}; give {allowed}")
    (form,) = forms
    params = {} if content.get("params") is None else content["params"]
    if not isinstance(params, dict):
        raise RequestError(f"params is {_of_kind(params)}; give an object, as in {json.dumps(DEFAULTS)}")
    return (_split_rows if form == "dataframe_split" else _listed_rows)(form, content[form]), params


def read_rows(rows: Sequence[Mapping[str, object]], params: Mapping[str, object], limits: Limits) -> list[Row]:
    """Checks all rows; where a value is missing or None, that of `params` holds, or else that of `DEFAULTS`.

    Raises:
        RequestError: There are too few or too many, or a value is not allowed.
    """
    _refuse_unknown("params", params, tuple(DEFAULTS))
    if not rows:
        raise RequestError(f'The request has no rows; give 1 to {limits.rows}, as in [{{"seed": 5}}]')
    if len(rows) > limits.rows:
        raise RequestError(
            f"The request has {len(rows)} rows; give at most {limits.rows}, and the others in a next one"
        )
    given = _present(params)
    _read("params", given, DEFAULTS, limits)
    return [_read(f"row {number}", row, DEFAULTS | given, limits) for number, row in enumerate(rows)]


def _read(where: str, values: Mapping[str, object], defaults: Mapping[str, object], limits: Limits) -> Row:
    _refuse_unknown(where, values, COLUMNS)
    given = _present(values)
    latents = given.pop("latents", None)
    if latents is not None and (both := [name for name in ("seed", "number") if name in given]):
        raise RequestError(f"{where} has latents and a {both[0]}, which stands for other latents; give one of both")
    row = {"seed": 0, "number": 0, **defaults, **given}
    return Row(
        seed=_whole(where, "seed", row["seed"]),
        number=_whole(where, "number", row["number"]),
        truncation=_truncation(where, row["truncation"]),
        labels=_labels(where, row["labels"], limits),
        format=_format(where, row["format"]),
        latents=None if latents is None else _latents(where, latents, limits),
    )


def _whole(where: str, name: str, value: object) -> int:
    allowed = f"a whole number from 0 to {LARGEST}"
    if not _is_number(value) or not 0 <= value <= LARGEST or value != int(value):
        _refuse(where, name, value, allowed)
    if isinstance(value, float | np.floating) and value > _EXACT:  # pandas makes such a column where a seed is missing
        _refuse(where, name, value, f"{allowed}; above 2^53 as an integer, not as a floating point number")
    return int(value)


def _truncation(where: str, value: object) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        _refuse(where, "truncation", value, "a number in [0, 1]; 1 is no truncation")
    return float(value)


def _labels(where: str, value: object, limits: Limits) -> str:
    if not isinstance(value, str):
        _refuse(where, "labels", value, "text, as in Male+Smiling")
    if len(value) > limits.labels:
        _refuse(where, "labels", value, f"at most {limits.labels} characters")
    return value


def _format(where: str, value: object) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        _refuse(where, "format", value, f"one of {', '.join(FORMATS)}")
    return value


def _latents(where: str, value: object, limits: Limits) -> NDArray[np.float32]:
    allowed = f"{limits.latents} finite numbers from -{LARGEST_LATENT:g} to {LARGEST_LATENT:g}"
    if not isinstance(value, list | tuple | np.ndarray) or (isinstance(value, np.ndarray) and value.ndim != 1):
        _refuse(where, "latents", value, f"a list of {allowed}")
    if len(value) != limits.latents:
        raise RequestError(f"{where}: latents has {len(value)} numbers; give {allowed}")
    for one in value:
        if not _is_number(one) or not -LARGEST_LATENT <= one <= LARGEST_LATENT:  # so is NaN
            raise RequestError(f"{where}: latents has {_short.repr(one)}; give {allowed}")
    return np.array(value, np.float32)


def _split_rows(form: str, value: object) -> list[dict[str, object]]:
    """Rows as pandas splits a table: names of columns once, and lists of values."""
    allowed = 'as in {"columns": ["seed"], "data": [[5], [6]]}'
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= {"columns", "data", "index"}:
        raise RequestError(f"{form} is {_of_kind(value)}; give columns and data, {allowed}")
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise RequestError(f"{form}.columns is {_short.repr(columns)}; give a list of names, {allowed}")
    if len(set(columns)) < len(columns):
        raise RequestError(f"{form}.columns has a name twice: {_short.repr(columns)}")
    if not isinstance(data, list):
        raise RequestError(f"{form}.data is {_of_kind(data)}; give a list of rows, {allowed}")
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise RequestError(
                f"{form}.data: row {number} is {_short.repr(row)}; give a value for each column, {allowed}"
            )
    return [dict(zip(columns, row, strict=True)) for row in data]


def _listed_rows(form: str, value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise RequestError(f'{form} is {_of_kind(value)}; give a list of rows, as in [{{"seed": 5}}]')
    for number, row in enumerate(value):
        if not isinstance(row, dict):
            raise RequestError(
                f'{form}: row {number} is {_of_kind(row)}; give an object, as in {{"seed": 5}} or {{"latents": [...]}}'
            )
    return value


def _present(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse_unknown(where: str, values: Mapping[str, object], known: Sequence[str]) -> None:
    if unknown := [name for name in values if name not in known]:
        raise RequestError(f"{where}: there is no {_short.repr(unknown[0])}. There are: {', '.join(known)}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number there")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _of_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def _refuse(where: str, name: str, value: object, allowed: str) -> NoReturn:
    raise RequestError(f"{where}: {name} is {_short.repr(value)}; give {allowed}")
