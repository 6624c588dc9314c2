"""Array files in NumPy's format whose content is rows of equal length."""

from dataclasses import dataclass
from typing import Final

_HEADER_MOST: Final = 1024  # bytes


class ChangedError(ValueError):
    """A file is missing, or not what its record says; the message names it."""


@dataclass(frozen=True)
class RowsFile:
    """A file in NumPy's format: a short header, then the rows."""

    name: str
    rows: int
    sha256: str  # of the rows' bytes


def has_rows(size: int, rows: int) -> bool:
    """Whether a file of `size` bytes can be a header and this many bytes of rows."""
    return 0 < size - rows <= _HEADER_MOST
