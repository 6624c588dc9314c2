"""Every field of every section, out of its range, of another type and misspelt: one line that says so, and no work.

What is wrong for a field is derived here from its type and its declared bounds, and not by validating it.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.framework.context import KedroContext
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.exporting.config import ExportSettings
from celeba_gan.foundation.params import ParamsError, read_params, spell_param
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.hooks.guards import ParameterError
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.sources.config import IngestSettings

Load = Callable[..., KedroContext]

SECTIONS: dict[str, type[BaseModel]] = {
    "ingest": IngestSettings,
    "preprocess": PreprocessSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "generate": GenerateSettings,
    "export": ExportSettings,
}
NAN, INF = float("nan"), float("inf")
HUGE = 1 << 20_000  # too many digits for Python to write them


class Place(NamedTuple):
    """A field, or a group of them."""

    name: str
    kinds: tuple[Any, ...]
    bounds: tuple[Any, ...]
    is_group: bool


def kinds_of(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from kinds_of(part)
    elif get_origin(annotation) is Annotated:
        yield from kinds_of(get_args(annotation)[0])
    else:
        yield annotation


def bounds_of(field: FieldInfo) -> Iterator[Any]:
    parts = [*get_args(field.annotation), field.annotation]
    inside = [one for part in parts for one in getattr(part, "__metadata__", ())]
    for one in [*field.metadata, *(bound for info in inside for bound in getattr(info, "metadata", [info]))]:
        if isinstance(one, Ge | Gt | Le | Lt | MinLen):
            yield one


def places(model: type[BaseModel], prefix: str) -> Iterator[Place]:
    yield Place(prefix, (model,), (), True)
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from places(annotation, f"{prefix}.{name}")
        else:
            yield Place(f"{prefix}.{name}", tuple(kinds_of(annotation)), tuple(bounds_of(field)), False)


PLACES = [place for section, model in SECTIONS.items() for place in places(model, section)]
FIELDS = [place for place in PLACES if not place.is_group]


def out_of_range(place: Place) -> Iterator[Any]:
    """The value next to each bound, on its wrong side, and one far from it."""
    for bound in place.bounds:
        match bound:
            case Ge(ge=limit):
                yield limit - 1 if int in place.kinds else limit - 1e-9 * max(1, abs(limit))
                yield -(10**9)
            case Gt(gt=limit):
                yield from (limit, -(10**9))
            case Le(le=limit):
                yield limit + 1 if int in place.kinds else limit + 1e-9 * max(1, abs(limit))
                yield 10**30
            case Lt(lt=limit):
                yield from (limit, 10**30)
            case MinLen():
                yield [] if str not in place.kinds else ""


def wrong(place: Place) -> Iterator[Any]:
    """Values that a field must refuse."""
    yield from out_of_range(place)
    if place.is_group:
        yield from (None, True, 5, 0.5, "text", "", [], [1])
        return
    is_optional, lists = type(None) in place.kinds, any(get_origin(kind) is list for kind in place.kinds)
    is_text = str in place.kinds
    numbers = {int, float} & set(place.kinds)
    yield from ({}, {"a": 1})
    if not lists:
        yield from ([], [1], ["a", {}])
    if not (is_optional or lists):
        yield None
    if is_text or lists:
        yield from ("\0", "a\0b", "\ud800")
    if not is_text and not lists:
        yield from ("", "no such value", "\0", "é" * 1000, "1.2.3")
    if is_text and "evaluate.model" != place.name != "evaluate.compare_with":
        yield from (5, 0.5)
    if bool not in place.kinds:
        yield from (True, False)
    if lists:
        yield from (5, [5], [None], [[]], [{}], [True], ["\0"])
    if numbers:
        yield from (NAN, INF, -INF, HUGE, 10**400, "nan", "inf")
        if float not in numbers:
            yield from (0.5, 1e300, 2**63, -(2**63))
    if bool in place.kinds:
        yield from (5, 0.5, NAN, -1, "maybe")
    if numbers or is_text or bool in place.kinds:
        return
    yield from (5, 0.5, NAN)  # one of several words


CASES = [(place, value) for place in PLACES for value in wrong(place)]


def nested(name: str, value: Any) -> dict[str, Any]:
    *parents, last = name.split(".")
    inner = {last: value}
    for parent in reversed(parents):
        inner = {parent: inner}
    return inner


def refusal(load: Load, project: Path, runtime: dict[str, Any], env: str | None = None) -> list[str]:
    """The lines of the error; nothing may have been written before it."""
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    with pytest.raises(ParameterError) as caught:
        load(env, **runtime)
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before
    return str(caught.value).splitlines()


def is_about(line: str, name: str) -> bool:
    return line.startswith((f"{name} is ", f"{name} in --params is ", f"{name}: "))


def check(load: Load, project: Path, place: Place, value: Any) -> None:
    lines = refusal(load, project, nested(place.name, value))
    assert len(lines) == 1, lines
    (line,) = lines
    assert is_about(line, place.name), line
    assert len(line) < 2500
    for limit in (getattr(bound, "le", getattr(bound, "lt", None)) for bound in place.bounds):
        if limit is not None and isinstance(value, int | float) and not isinstance(value, bool) and value > limit:
            is_named = f"{limit:g}" in line or str(limit) in line or "a multiple of" in line
            assert is_named or value == INF or value >= 2**63, line
    words = [word for kind in place.kinds if get_origin(kind) is Literal for word in get_args(kind)]
    assert all(repr(word) in line for word in words) or isinstance(value, bool), line
    if value in (5, 0.5, "no such value", "text", "maybe"):
        assert f" is {value!r}" in line
    if place.is_group and not isinstance(value, list):
        assert all(field in line for field in place.kinds[0].model_fields)


def test_all_fields_are_walked() -> None:
    assert len(FIELDS) > 160
    assert {place.name for place in PLACES} >= {
        "train.network.r3.group_size",
        "evaluate.features.path",
        "generate.film.formats",
        "preprocess.crop",
        "train.penalty.schedule.final",
    }
    assert len(CASES) > 2500
    numbers = [place for place in FIELDS if {int, float} & set(place.kinds)]
    open_above = {place.name for place in numbers if not any(isinstance(one, Le | Lt) for one in place.bounds)}
    assert {name.rpartition(".")[2] for name in open_above} == {"seed"}  # of 64 bits; all others have an upper bound


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(CASES))
def test_a_wrong_value_gives_one_line(load_context: Load, project: Path, case: tuple[Place, Any]) -> None:
    check(load_context, project, *case)


@pytest.mark.slow
def test_each_wrong_value_gives_one_line(load_context: Load, project: Path) -> None:
    for place, value in CASES:
        check(load_context, project, place, value)


@pytest.mark.parametrize("choose", [0, 1, 5, 9, -1, -3])
def test_wrong_values_of_all_fields_give_a_line_for_each(load_context: Load, project: Path, choose: int) -> None:
    runtime: dict[str, Any] = {section: {} for section in SECTIONS}
    for place in FIELDS:
        # a list where the files have fields, or the reverse, is found before all others
        values = [value for value in wrong(place) if not isinstance(value, dict | list)]
        *parents, last = place.name.split(".")
        inner = functools.reduce(lambda values, parent: values.setdefault(parent, {}), parents, runtime)
        inner[last] = values[choose % len(values)]
    lines = refusal(load_context, project, runtime)
    for place in FIELDS:
        assert sum(is_about(line, place.name) for line in lines) == 1, place
    assert len(lines) == len(FIELDS)


def misspellings(word: str) -> st.SearchStrategy[str]:
    letters = st.characters(min_codepoint=97, max_codepoint=122)
    at = st.integers(0, len(word) - 1)
    return st.one_of(
        st.builds(lambda place: word[:place] + word[place + 1 :], at),
        st.builds(lambda place, letter: word[:place] + letter + word[place:], at, letters),
        st.builds(lambda place, letter: word[:place] + letter + word[place + 1 :], at, letters),
        st.just(word.upper()),
        st.just(word.replace("_", "-") + "_"),
        st.just(""),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_misspelt_name_at_any_depth_gives_one_line(load_context: Load, project: Path, data: st.DataObject) -> None:
    group = data.draw(st.sampled_from([place for place in PLACES if place.is_group]))
    model: type[BaseModel] = group.kinds[0]
    renamed = getattr(model, "renamed", {})
    known = data.draw(st.sampled_from([*model.model_fields]))
    typed = data.draw(misspellings(known).filter(lambda word: word not in model.model_fields and word not in renamed))
    (line,) = refusal(
        load_context, project, nested(f"{group.name}.{typed}" if typed else group.name, 5 if typed else {"": 5})
    )
    assert line.startswith(f"There is no parameter {group.name}.{typed}")
    assert line.partition("There are: ")[2].split(", ") == list(model.model_fields)


def test_a_misspelt_section_gives_one_line(load_context: Load, project: Path) -> None:
    for section in SECTIONS:
        (line,) = refusal(load_context, project, {f"{section}s": {}})
        assert line.startswith(f"No stage reads the parameter '{section}s' in --params; did you mean {section!r}?")


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(CASES))
def test_the_same_as_typed_after_params(load_context: Load, project: Path, case: tuple[Place, Any]) -> None:
    """A number that is typed for text becomes text, which is allowed; all else is read as it was meant."""
    place, value = case
    if value is HUGE or value == 10**400 or (isinstance(value, str) and not value.isprintable()):
        return  # cannot be typed
    try:
        typed = read_params(spell_param(place.name, value), SECTIONS)
    except ParamsError:  # commas and brackets that are no list: refused while it is read
        return
    if typed == nested(place.name, value):
        check(load_context, project, place, value)


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        (
            {"train": {"graphs": "ture"}},
            "train.graphs is 'ture': Input should be a valid boolean, unable to interpret input, or 'auto'",
        ),
        ({"preprocess": {"crop": 7}}, "preprocess.crop is 7: Input should be greater than or equal to 8, or 'none'"),
        ({"train": {"batch_size": True}}, "train.batch_size is True: true and false are no numbers"),
        ({"train": [1]}, "train in --params is [1], but train has fields of its own in the parameters.yml files"),
        (
            {"preprocess": {"condition_on": {"a": 1}}},
            "preprocess.condition_on in --params is {'a': 1}, but preprocess.condition_on has a list in the "
            "parameters.yml files",
        ),
        ({"train": {"seed": "???"}}, "train.seed is '???', which stands for no value; give one, or leave it out"),
        (
            {"export": 5},
            "export is 5, but has fields of its own; give export.FIELD=..., one of checkpoint, web, torch_program, "
            "seed, grid_rows, grid_columns",
        ),
    ],
)
def test_the_line(load_context: Load, project: Path, runtime: dict[str, Any], expected: str) -> None:
    assert refusal(load_context, project, runtime) == [expected]


def test_files_that_cannot_be_merged_are_named(load_context: Load, project: Path) -> None:
    (project / "conf/local/parameters.yml").write_text("train: [1]\n")
    assert refusal(load_context, project, {}) == [
        "train in local/parameters.yml is [1], but train has fields of its own in the parameters.yml files"
    ]


def test_a_length_that_no_training_has_is_refused_before_its_ticks_are_counted(
    load_context: Load, project: Path
) -> None:
    """Counting them took for ever."""
    (line,) = refusal(load_context, project, {"train": {"kimg": 1e300}})
    assert line == "train.kimg is 1e+300: Input should be less than or equal to 10000000"
