"""CPU cores."""

import os


def available_cores() -> int:
    """The cores this process may use, which in a container or a batch job are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
