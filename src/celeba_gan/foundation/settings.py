"""The base of all settings."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator, model_validator


def split_names(value: object) -> object:
    """Names as typed on a command line, with plus signs between, as a list; anything else as it is."""
    if value is None or value == "":  # `generate.labels=`, and the same in a file
        return []
    return [name.strip() for name in value.split("+")] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(split_names)]
"""Several names, on a command line as in `Male+Smiling`; empty: none."""


class Settings(BaseModel):
    """A frozen settings model that refuses unknown fields.

    `none` and `null`, as typed on a command line, are None for each field that may be None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
        optional = type(None) in get_args(cls.model_fields[str(info.field_name)].annotation)
        return None if optional and is_none(value) else value


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
