"""Has the C library keep freed memory, since tensors of the same sizes are made again at once."""

import ctypes
import os
import platform
from typing import Final

# Of mallopt(3).
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_MAX: Final = -4

_TOP_PAD: Final = 64 * 2**20  # bytes asked of the system at a time, beyond what is needed


def keep_freed_memory() -> bool:
    """Has glibc's malloc keep what this process frees, for its next allocations; returns whether it does.

    By default it returns every large block, and the pages of a new one are mapped and zeroed at their first use: a
    tenth of a training step's time on a CPU (benchmarks/penalised_steps.py). The peak stays about what it was; all
    memory is returned when the process ends. Other C libraries are left as they are, and so is one that the user has
    set up by variables MALLOC_... or GLIBC_TUNABLES.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(option, value) == 1 for option, value in options)
