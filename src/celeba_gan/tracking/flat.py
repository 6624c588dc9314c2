"""Values as the short texts that MLflow takes."""

from typing import Any

LIMIT = 6000  # characters of a parameter's value in MLflow


def as_text(value: Any) -> str:
    """A value as text that MLflow accepts; a note says what was cut off."""
    text = str(value)
    if len(text) <= LIMIT:
        return text
    note = f"... ({len(text)} characters)"
    return text[: LIMIT - len(note)] + note
