"""Nested values by flat names."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and pydantic models by joined names, as `network.dcgan.width`; lists are leaves."""
    if isinstance(values, BaseModel):
        values = values.model_dump(mode="json")
    if not isinstance(values, Mapping):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}.{name}" if prefix else str(name))
    return flat
