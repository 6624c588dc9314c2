"""The base of all settings."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, ClassVar, Final, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator, model_validator


def split_names(value: object) -> object:
    """Names as typed on a command line, with plus signs between, as a list; anything else as it is."""
    if value is None or value == "":  # `generate.labels=`, and the same in a file
        return []
    return [name.strip() for name in value.split("+")] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(split_names)]
"""Several names, on a command line as in `Male+Smiling`; empty: none."""

LARGEST: Final = 2**63 - 1
"""The largest whole number of a setting, as torch, NumPy and JSON readers take it."""


class Settings(BaseModel):
    """A frozen settings model that refuses unknown fields.

    `none` and `null`, as typed on a command line, are None for each field that may be None. `true` is no number, a
    whole number has 64 bits at most, and text can be part of a path and of a file in UTF-8.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    renamed: ClassVar[dict[str, str]] = {}
    """Former names of fields, each with the present one, which the message names."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_names(cls, values: Any) -> Any:
        found = [name for name in cls.renamed if isinstance(values, Mapping) and name in values]
        if found:
            raise ValueError("; ".join(f"{name} is now called {cls.renamed[name]}" for name in found))
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _none_as_typed(cls, value: object, info: ValidationInfo) -> object:
        kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("true and false are no numbers")
        return None if type(None) in kinds and is_none(value) else value

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_used(cls, value: object) -> object:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int) and abs(one) > LARGEST:
                raise ValueError(f"whole numbers are at most {LARGEST:,}, and at least as much below 0")
            if isinstance(one, str) and ("\0" in one or (not one.isascii() and one != _in_utf8(one))):
                raise ValueError("it holds a character that is no text")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types of which a value may be one, None's among them."""
    parts = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(parts[0])
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _kinds(part)
    else:
        yield annotation


def _in_utf8(text: str) -> str:
    return text.encode(errors="ignore").decode()


def field_at(model: type[BaseModel], location: Sequence[object]) -> tuple[list[str], type[BaseModel]]:
    """Where one of pydantic's findings is: the names of a field, and the model that has, or lacks, the last of them."""
    names: list[str] = []
    for part in map(str, location):
        names.append(part)
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break  # a plain field, or none; what pydantic adds for items and alternatives is no part of its name
        model = annotation
    return names, model


def is_none(value: object) -> bool:
    """Whether a value is None, or one of the words typed for it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null"))
