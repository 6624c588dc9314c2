"""Nested values as the flat names and short texts that MLflow takes."""

import numbers
from typing import Any

LIMIT = 6000  # characters of a parameter's value in MLflow


def as_text(value: Any) -> str:
    """A value as text that MLflow accepts; a note says what was cut off."""
    text = str(value)
    if len(text) <= LIMIT:
        return text
    note = f"... ({len(text)} characters)"
    return text[: LIMIT - len(note)] + note


def is_number(value: Any) -> bool:
    """Whether a leaf can be a metric."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
