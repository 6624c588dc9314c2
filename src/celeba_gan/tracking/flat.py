"""Nested values as the flat names and short texts that MLflow takes."""

import numbers
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

LIMIT = 6000  # characters of a parameter's value in MLflow


def flatten(values: Any, prefix: str, separator: str = ".") -> dict[str, Any]:
    """Leaves of nested mappings and pydantic models by their joined names; lists are leaves."""
    if isinstance(values, BaseModel):
        values = values.model_dump(mode="json")
    if not isinstance(values, Mapping):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{separator}{name}" if prefix else str(name), separator)
    return flat


def as_text(value: Any) -> str:
    """A value as text that MLflow accepts; what is cut off is said."""
    text = str(value)
    if len(text) <= LIMIT:
        return text
    note = f"... ({len(text)} characters)"
    return text[: LIMIT - len(note)] + note


def is_number(value: Any) -> bool:
    """Whether a leaf can be a metric."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
