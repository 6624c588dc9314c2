"""Tables in Markdown: how a field of a settings model reads in them, with its default, type, range and unit."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

_SUFFIX_UNITS: Final = {"kimg": "thousand images", "gb": "GB", "s": "seconds", "ms": "milliseconds"}
_WORD_UNITS: Final = (
    (r"angle in degrees|in degrees", "degrees"),
    (r"in pixels|pixels, ", "pixels"),
    (r"standard deviations", "standard deviations"),
)


def allowed(field: str, info: FieldInfo) -> str:
    """Type, range and unit of a field in words."""
    limits = dict(_limits([*info.metadata, *_inner_metadata(info.annotation)]))
    words = list(dict.fromkeys(_kinds(info.annotation, limits)))
    text = " or ".join(", ".join(words).rsplit(", ", 1)) if len(words) > 1 else words[0]
    unit = _unit(field, info)
    return text if unit is None else f"{text} ({unit})"


def _kinds(annotation: Any, limits: Mapping[str, Any]) -> Iterator[str]:
    """Each kind of value that an annotation allows, with its limits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _kinds(parts[0], {**limits, **dict(_limits(parts[1:]))})
    elif origin in (Union, UnionType):
        for part in sorted(parts, key=lambda part: part is NoneType):
            yield from _kinds(part, limits)
    elif origin is Literal:
        yield from (f"`{value}`" for value in parts)
    elif origin is list:
        (inner,) = parts
        yield "one or more of " + ", ".join(_kinds(inner, {})) if get_origin(inner) is Literal else "list of names"
    elif annotation is bool:
        yield from ("`true`", "`false`")
    elif annotation is NoneType:
        yield "`null`"
    else:
        kind = {int: "integer", float: "number", str: "text"}[annotation]
        yield f"{kind}{_range(limits) if annotation is not str else ''}"


def _range(limits: Mapping[str, Any]) -> str:
    """`in [1, 100]`, with round brackets where an end is not allowed."""
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    steps = f", multiple of {limits['multiple_of']}" if "multiple_of" in limits else ""
    if low is None and high is None:
        return steps
    begin = "(−∞" if low is None else f"{'[' if 'ge' in limits else '('}{_number(low)}"
    end = "∞)" if high is None else f"{_number(high)}{']' if 'le' in limits else ')'}"
    return f" in&nbsp;{begin},&nbsp;{end}{steps}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _limits(metadata: Any) -> Iterator[tuple[str, Any]]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _limits(one.metadata)
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            if getattr(one, name, None) is not None:
                yield name, getattr(one, name)


def _inner_metadata(annotation: Any) -> list[Any]:
    """Limits of the alternatives of a union, such as those of the number in `8 to 100, or none`."""
    return [meta for part in get_args(annotation) if get_origin(part) is Annotated for meta in get_args(part)[1:]]


def _unit(field: str, info: FieldInfo) -> str | None:
    """The unit of a number, from the ending of its name or from its description."""
    if not {int, float} & {part for part in (info.annotation, *get_args(info.annotation)) if isinstance(part, type)}:
        return "pixels" if field == "crop" else None
    ending = field.rpartition("_")[2]
    if ending in _SUFFIX_UNITS and (field == "kimg" or "_" in field):
        return _SUFFIX_UNITS[ending]
    if field == "resume_from":
        return _SUFFIX_UNITS["kimg"]
    found = (unit for pattern, unit in _WORD_UNITS if re.search(pattern, info.description or ""))
    return next(found, None)


def shown(value: Any) -> str:
    """A value as it is written in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def anchored(name: str) -> str:
    """A parameter's name, to which a link can lead, and which breaks after its dots and underscores."""
    breakable = re.sub("([._])", r"\1<wbr>", name)
    return f'<a id="{name}"></a><code>{breakable}</code>'


def heading(level: int, title: str, anchor: str) -> str:
    """A heading to which a link can lead, on GitHub, too."""
    return f'{"#" * level} <a id="{anchor}"></a>{title}'


def sentence(words: str) -> str:
    """Text that begins with a capital, unless it begins with a value, as in `null: no limit`."""
    is_value = re.match(r"(null|none|auto|true|false)\b|\w+_|\w+, \w+_", words)
    return words if is_value else words[0].upper() + words[1:]


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return sentence(" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")) if text else ""


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of these cells, Markdown each."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
