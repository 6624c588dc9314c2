"""What a request may hold, and the reason that each other one is refused with."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_gan.serving.rows import COLUMNS, DEFAULTS, FORMATS, LARGEST, Limits, RequestError, read_body, read_rows

LATENTS = [0.25, -1.0, 3]
LIMITS = Limits.of(32, len(LATENTS), ("Male", "Smiling"))


def read(row: Mapping[str, object], **params: object) -> Any:
    (found,) = read_rows([row], params, LIMITS)
    return found


def refusal(*rows: Mapping[str, object], **params: object) -> str:
    with pytest.raises(RequestError) as caught:
        read_rows(rows, params, LIMITS)
    return str(caught.value)


def body_refusal(body: bytes | str) -> str:
    with pytest.raises(RequestError) as caught:
        read_body(body if isinstance(body, bytes) else body.encode())
    return str(caught.value)


def test_what_a_row_lacks_comes_from_the_parameters_and_then_from_the_defaults() -> None:
    row = read({"seed": 7})
    assert (row.seed, row.number, row.latents) == (7, 0, None)
    assert (row.truncation, row.labels, row.format) == tuple(DEFAULTS.values())
    row = read({"seed": 7, "truncation": None}, truncation=0.5, labels="Male", format="webp")
    assert (row.truncation, row.labels, row.format) == (0.5, "Male", "webp")
    row = read({"truncation": 0, "labels": "Smiling", "format": "jpeg"}, truncation=0.5, labels="Male", format="webp")
    assert (row.seed, row.truncation, row.labels, row.format) == (0, 0.0, "Smiling", "jpeg")


@pytest.mark.parametrize("value", [0, 5, LARGEST, 5.0, np.int64(LARGEST), np.float64(5), np.int8(5)])
def test_whole_numbers_are_read_exactly_whatever_they_are_stored_as(value: object) -> None:
    row = read({"seed": value, "number": value})
    assert (row.seed, row.number) == (value, value)
    assert type(row.seed) is int


def test_latents_are_float32_as_numpy_rounds_them() -> None:
    for latents in (LATENTS, tuple(LATENTS), np.array(LATENTS), np.array(LATENTS, np.float32)):
        found = read({"latents": latents}).latents
        assert found.dtype == np.float32
        assert np.array_equal(found, np.array(LATENTS, np.float32))


WHOLE = f"give a whole number from 0 to {LARGEST}"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        *(({"seed": value}, WHOLE) for value in (-1, 1.5, LARGEST + 1, 1e300, math.nan, math.inf, True, "5", [5], {})),
        ({"seed": 2.0**60}, "above 2^53 as an integer"),
        ({"number": -1}, "number is -1; " + WHOLE),
        *(({"truncation": value}, "give a number in [0, 1]") for value in (-0.1, 1.01, math.nan, "1", True, [], {})),
        *(({"labels": value}, "give text, as in Male+Smiling") for value in (5, ["Male"], True, {"Male": 1})),
        ({"labels": "x" * 2000}, "give at most 1017 characters"),
        *(({"format": value}, "give one of png, webp, jpeg") for value in ("gif", "PNG", "", 5, ["png"], "../x.png")),
        *(({"latents": value}, "give a list of 3 finite numbers") for value in (5, "1,2,3", {}, np.zeros((3, 1)))),
        *(({"latents": value}, "give 3 finite numbers") for value in ([], [1, 2], [0.0] * 4)),
        *(
            ({"latents": [0, wrong, 0]}, "give 3 finite numbers from -1000 to 1000")
            for wrong in (math.nan, math.inf, -math.inf, 1e39, -1001, 10**400, None, True, "1", [1], {})
        ),
        ({"latents": LATENTS, "seed": 5}, "has latents and a seed"),
        ({"latents": LATENTS, "number": 0}, "has latents and a number"),
        ({"trunction": 1}, "there is no 'trunction'. There are: seed, number"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_row_and_what_is(row: dict[str, object], reason: str) -> None:
    message = refusal({"seed": 1}, row)
    assert message.startswith("row 1")
    assert reason in message
    assert len(message) < 300


def test_parameters_are_checked_like_rows_also_where_no_row_needs_them() -> None:
    assert refusal({"truncation": 1}, truncation=2).startswith("params: truncation is 2; give a number in [0, 1]")
    assert refusal({}, seed=5).startswith("params: there is no 'seed'. There are: truncation, labels, format")


def test_the_number_of_rows_is_bounded_and_smaller_for_large_pictures() -> None:
    assert "no rows; give 1 to 256" in refusal()
    assert len(read_rows([{}] * 256, {}, LIMITS)) == 256
    assert "has 257 rows; give at most 256" in refusal(*[{}] * 257)
    assert Limits.of(1024, 128, ()).rows == 64
    assert Limits.of(2**15, 128, ()).rows == 1


def test_the_largest_allowed_request_is_within_the_limit_of_bytes() -> None:
    latents = [-0.12345678901234567e-100] * LIMITS.latents
    row = {"latents": latents, "truncation": 0.1234567890123456789, "labels": "\U0001f600" * LIMITS.labels}
    body = json.dumps({"dataframe_records": [row | {"format": "jpeg"}] * LIMITS.rows}, indent=1).encode()
    assert len(read_rows(*read_body(body), LIMITS)) == LIMITS.rows
    assert len(body) < LIMITS.bytes


ROWS = [{"seed": 5, "labels": "Male"}, {"seed": None, "labels": "Smiling"}]


@pytest.mark.parametrize(
    "fields",
    [
        {"dataframe_records": ROWS},
        {"inputs": ROWS},
        {"instances": ROWS},
        {"dataframe_split": {"columns": ["seed", "labels"], "data": [[5, "Male"], [None, "Smiling"]]}},
        {"dataframe_split": {"columns": ["seed", "labels"], "index": [3, 9], "data": [[5, "Male"], [None, "Smiling"]]}},
    ],
)
@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": {"truncation": 0.5}}])
def test_each_form_of_a_request_gives_the_same_rows(fields: dict[str, object], params: dict[str, object]) -> None:
    assert read_body(json.dumps(fields | params).encode()) == (ROWS, params.get("params") or {})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"inputs":' * 100_000, "nested too deeply"),
        ('{"inputs": [{"seed": ' + "9" * 5000 + "}]}", "not valid JSON"),
        *(
            ('{"inputs": [{"latents": [' + name + "]}]}", f"{name} is no number there")
            for name in ("NaN", "Infinity", "-Infinity")
        ),
        ("[]", "The request is a list; give a JSON object with one of dataframe_records"),
        ("null", "The request is null"),
        ("5", "The request is a number"),
        ("{}", "the fields []; give one of dataframe_records"),
        ('{"inputs": [], "instances": []}', "give one of"),
        ('{"inputs": [], "parameters": {}}', "give one of"),
        ('{"messages": []}', "give one of"),
        ('{"inputs": [], "params": [1]}', "params is a list"),
        ('{"inputs": {"seed": 5}}', "inputs is an object; give a list of rows"),
        ('{"dataframe_records": "x"}', "dataframe_records is text; give a list of rows"),
        ('{"instances": [{}, [1, 2]]}', "instances: row 1 is a list; give an object"),
        ('{"dataframe_split": []}', "dataframe_split is a list; give columns and data"),
        ('{"dataframe_split": {"data": [[1]]}}', "give columns and data"),
        ('{"dataframe_split": {"columns": ["seed"], "data": [], "x": 1}}', "give columns and data"),
        ('{"dataframe_split": {"columns": [["seed"]], "data": [[1]]}}', "give a list of names"),
        ('{"dataframe_split": {"columns": ["seed", "seed"], "data": [[1, 2]]}}', "a name twice"),
        ('{"dataframe_split": {"columns": ["seed"], "data": 5}}', "data is a number; give a list of rows"),
        ('{"dataframe_split": {"columns": ["seed"], "data": [[1], [1, 2]]}}', "row 1 is [1, 2]; give a value for each"),
    ],
)
def test_another_structure_is_refused_with_what_is_expected(body: bytes | str, reason: str) -> None:
    assert reason in body_refusal(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from((*COLUMNS, "x")), inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of(JSON, st.fixed_dictionaries({"inputs": JSON}), st.fixed_dictionaries({"dataframe_split": JSON})))
def test_any_json_is_read_or_refused(content: object) -> None:
    with suppress(RequestError):
        for row in read_rows(*read_body(json.dumps(content).encode()), LIMITS):
            assert 0 <= row.seed <= LARGEST
            assert 0 <= row.truncation <= 1
            assert row.format in FORMATS


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(RequestError):
        read_body(body)
