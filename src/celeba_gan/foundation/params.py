"""What is typed after --params: text arrives as typed, everything else is YAML.

Kedro itself reads all values as YAML, where 1.10 is the number 1.1, 0123 is 83, no is false, and what follows ` #` is a
comment; and it splits the text at every comma.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel
from yaml import YAMLError

NAMES: Final = ("dataset", "experiment")
"""Read by the catalog from --params, and by no pipeline."""
_QUOTES: Final = ("'", '"')
_BRACKETS: Final = {"[": "]", "{": "}"}


class ParamsError(ValueError):
    """What was typed cannot be read; the message says why, and what to type."""


def read_params(typed: str, sections: Mapping[str, type]) -> dict[str, Any]:
    """Reads `name=value,name=value`; a comma inside of quotes or brackets is part of the value.

    Args:
        typed: Without the shell's own quotes.
        sections: The models of the parameters' sections: which fields are text.

    Raises:
        ParamsError: A part has no `=`, a name is given twice, or a value cannot be read.
    """
    config, given = OmegaConf.create(), set()
    for name, value, as_typed in _split(typed, sections):
        if name in given:
            raise ParamsError(f"{name} is given twice in --params")
        given.add(name)
        if as_typed and "${" in value:
            raise ParamsError(f"{name} has ${{, which stands for a variable in the configuration: rename {value!r}")
        try:
            if as_typed:
                OmegaConf.update(config, name, value or None, force_add=True)
            else:
                config.merge_with_dotlist([f"{name}={value}"])
        except (YAMLError, OmegaConfBaseException, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ParamsError(f"{name} in --params has a value that is not YAML, {value!r}: {reason}") from error
    found: Any = OmegaConf.to_container(config)
    return dict(found)


def spell_param(name: str, value: object) -> str:
    """A parameter as it is typed in a shell after `--params`, also for commands that read all values as YAML."""
    if not isinstance(value, str):
        return f"{name}={json.dumps(value)}"  # which is YAML
    try:
        plain = OmegaConf.from_dotlist([f"x={value}"]).x == value and "," not in value
    except (YAMLError, OmegaConfBaseException, ValueError):
        plain = False
    return f"{name}={value}" if plain else f"{name}='" + value.replace("'", "''") + "'"


def params_option(params: Mapping[str, object]) -> str:
    """`--params ...` with these values, quoted for the shell."""
    return f"--params {shlex.quote(','.join(spell_param(name, value) for name, value in params.items()))}"


def kind_of(name: str, sections: Mapping[str, type]) -> Literal["text", "names", "other"]:
    """What a parameter holds: text, as `experiment`; names, as `generate.labels` with `Male+Smiling`; or other."""
    first, *fields = name.split(".")
    if first in NAMES or first == "source":
        return "text" if bool(fields) == (first == "source") else "other"
    kind: Any = sections.get(first)
    for field in fields:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or field not in kind.model_fields:
            return "other"
        kind = kind.model_fields[field].annotation
    return "names" if kind == list[str] else "text" if _is_text(kind) else "other"


def _is_text(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return all(_is_text(part) for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return kind is str


def _split(typed: str, sections: Mapping[str, type]) -> Iterator[tuple[str, str, bool]]:
    """Names, values, and whether a value is text, which has lost its quotes."""
    rest = typed.strip()
    while rest:
        name, equals, after = rest.partition("=")
        if not equals or "," in name or not name.strip():
            part = rest.partition(",")[0].strip()
            if re.fullmatch(rf"({'|'.join(NAMES)}|\w+(\.\w+)+)\s*:\s*\S.*", part):
                raise ParamsError(f"{part!r} in --params has a colon in the place of =: give {_with_equals(part)}")
            raise ParamsError(
                f"{part!r} in --params is not name=value. A comma ends a value; a value with a comma goes in quotes: "
                "--params \"source.path='/data/faces, 2024'\""
            )
        name, after = name.strip(), after.lstrip()
        kind = kind_of(name, sections)
        text = kind == "text" or (kind == "names" and after[:1] != "[")
        end = _end_of_quotes(after) or (None if text else _end_of_brackets(after))
        if end is None:
            value, _, rest = after.partition(",")
        else:
            value, rest = after[:end], after[end:].lstrip().removeprefix(",")
        if text and end is not None:
            value = value[1:-1].replace(value[0] * 2, value[0])
        yield name, value if text and end is not None else value.strip(), text


def _end_of_quotes(text: str) -> int | None:
    """Where the quotes end in which the value is; None if it is not in quotes."""
    if not text.startswith(_QUOTES):
        return None
    place = 1
    while (found := text.find(text[0], place)) >= 0:
        if text[found + 1 :].lstrip()[:1] in ("", ","):
            return found + 1
        place = found + 2 if text[found + 1 : found + 2] == text[0] else found + 1
    return None


def _end_of_brackets(text: str) -> int | None:
    """Where the brackets end in which the value is; None if it is not in brackets."""
    if text[:1] not in _BRACKETS:
        return None
    waiting, quote = [], ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _BRACKETS:
            waiting.append(_BRACKETS[sign])
        elif waiting and sign == waiting[-1]:
            waiting.pop()
            if not waiting:
                return place + 1
    return None


def _with_equals(part: str) -> str:
    name, _, value = part.partition(":")
    return f"{name.strip()}={value.strip()}"
