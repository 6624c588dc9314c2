"""Which device, precision and number of threads a training uses."""

import logging
import os
import platform
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from celeba_gan.gan.config import TrainSettings

logger = logging.getLogger(__name__)


class HardwareError(ValueError):
    """What was asked for is not on this machine; the message says what is."""


@dataclass(frozen=True)
class Hardware:
    """What the arithmetic runs on. Equal values give equal bits on CPUs; on GPUs that is meant, and not yet shown."""

    device: str
    device_name: str
    precision: str
    threads: int
    torch: str

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which the networks compute in this precision; their weights stay float32."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def send(self, tensor: Tensor) -> Tensor:
        """A CPU tensor on the device; on CUDA through pinned memory, so that the host does not wait."""
        if self.device == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def free_memory(self) -> int | None:
        """Bytes free on the GPU; None on the CPU, whose memory the memory maps share already."""
        if self.device == "cuda":
            return torch.cuda.mem_get_info()[0]
        if self.device == "mps":
            return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return None

    def card(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def choose_hardware(settings: TrainSettings, before: dict[str, Any] | None) -> Hardware:
    """Settles what is `auto`, and pins torch's thread count (results differ between one thread and two).

    Args:
        settings: What was asked for.
        before: The card of the hardware of the state that is resumed: on the same kind of device, `auto` keeps its
            precision and threads, so that a resumed run equals an undisturbed one.

    Raises:
        HardwareError: The device or precision asked for is not there.
    """
    device = find_device(settings.device)
    same = before if before is not None and before["device"] == device else None
    precision = settings.precision
    if precision == "auto":
        able = computes_bfloat16(device)
        precision = "bfloat16" if able else "float32"
        if same is not None and (able or same["precision"] == "float32"):
            precision = same["precision"]
    cores = _cores()
    threads = settings.threads or cores
    if settings.threads is None and same is not None and same["threads"] <= cores:
        threads = same["threads"]
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.backends.cudnn.deterministic = True
        # float32 means float32: TF32 keeps ten bits of the mantissa.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    chosen = Hardware(device, _device_name(device), precision, threads, torch.__version__)
    logger.info("Training on %s (%s), %s, CPU threads: %d", device, chosen.device_name, precision, threads)
    if before is not None and chosen.card() != before:
        changed = [f"{key} {before[key]} -> {value}" for key, value in chosen.card().items() if before[key] != value]
        logger.warning("Carrying on with %s: close to an undisturbed run, but not bit for bit", ", ".join(changed))
    return chosen


def computes_bfloat16(device: str) -> bool:
    """Whether this machine computes bfloat16 in hardware on `device`, rather than emulating it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False


def find_device(name: str) -> str:
    """The device to use: itself, or for `auto` CUDA, else MPS, else the CPU.

    Raises:
        HardwareError: It is not on this machine.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, there in available.items() if there)
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise HardwareError(
            f"train.device: {name} is not available to torch {torch.__version__} on this machine; "
            f"available: {there}. Give one of them, or auto"
        )
    return name


def _cores() -> int:
    """The cores to use: as many as this process may, or as OMP_NUM_THREADS says."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(asked)) if asked.isdecimal() and int(asked) else allowed


def _device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") if device == "cpu" else None
    return str(name or platform.processor() or platform.machine())
