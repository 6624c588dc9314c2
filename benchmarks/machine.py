"""What every benchmark prints beside its result: the machine, and how fast it is at this moment."""

import datetime
import platform
import time

import torch


def describe() -> str:
    """Date, processor, cores, versions."""
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return (
        f"{datetime.date.today():%Y-%m-%d}, {name}, {torch.get_num_threads()} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}"
    )


def matrix_product_ms() -> float:
    """Milliseconds of a float32 product of two 1024 x 1024 matrices: the median of 9."""
    first, second = torch.rand(2, 1024, 1024)
    times = []
    for _ in range(9):
        began = time.perf_counter()
        first @ second
        times.append(time.perf_counter() - began)
    return sorted(times)[4] * 1000
