"""Arrays in files, of which nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ArrayError(ValueError):
    """A file that holds no array of numbers; the message says why."""


def map_array(path: Path) -> NDArray[Any]:
    """Memory-maps the array of a `.npy` file, in C order; none of its numbers is read.

    `np.load` would take the same file for a zip, if that is what is in it.

    Raises:
        OSError: There is no such file.
        ArrayError: It holds something else, or less than its header says.
    """
    if path.exists() and not path.is_file():
        raise ArrayError("it is not a file")  # opening a pipe would block
    import numpy as np

    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python, and passes on whatever that raises
        raise ArrayError(f"it is not an array ({error or type(error).__name__})") from error
    if not found.flags.c_contiguous:
        raise ArrayError("its numbers are in Fortran's order")
    return found
