"""Which device, precision and number of threads a training uses."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from celeba_gan.foundation.precision import computes_bfloat16
from celeba_gan.gan.runtime.allocator import keep_freed_memory
from celeba_gan.gan.runtime.card import HardwareCard
from celeba_gan.gan.runtime.config import RuntimeSettings
from celeba_gan.ranks.launched import launched, own_cores, own_gpu

logger = logging.getLogger(__name__)


class HardwareError(ValueError):
    """What was requested is not on this machine; the message says what is."""


class Hardware(HardwareCard):
    """What the arithmetic runs on.

    Equal values give equal bits: tested on CPUs and, uncompiled, on an H200 (`tests/gan/training/test_cuda.py`).
    """

    graphs: bool = False  # whether steps are recorded as CUDA graphs, which gives the same bits

    def card(self) -> HardwareCard:
        """The plain record, for snapshots."""
        return HardwareCard.model_validate(self.model_dump(include=set(HardwareCard.model_fields)))

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which the networks compute in this precision; their weights stay float32."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def send(self, tensor: Tensor) -> Tensor:
        """A CPU tensor on the device; on CUDA through pinned memory, so that the host does not wait."""
        if self.device == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def send_all(self, tensors: Any) -> Any:
        """CPU tensors in tuples and dictionaries, on the device."""
        return tensors if self.device == "cpu" else tree_map(self.send, tensors)

    def scalar(self, value: float) -> Tensor:
        """A number as a CPU tensor, float64 where the device knows that."""
        return torch.tensor(value, dtype=torch.float32 if self.device == "mps" else torch.float64)

    def free_memory(self) -> int | None:
        """Bytes free on the GPU; None on the CPU, whose memory the memory maps share already."""
        if self.device == "cuda":
            return torch.cuda.mem_get_info()[0]
        if self.device == "mps":
            return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return None

    def peak_memory(self, *, graphs: bool = False) -> dict[str, float]:
        """`gpu_memory_gib`, the most that was allocated since the last call; nothing on other devices than CUDA.

        With `graphs` it is what torch holds of the device: theirs counts as free between two runs.
        """
        if self.device != "cuda":
            return {}
        peak = (torch.cuda.max_memory_reserved() if graphs else torch.cuda.max_memory_allocated()) / 2**30
        torch.cuda.reset_peak_memory_stats()
        return {"gpu_memory_gib": peak}


class OutOfMemoryError(RuntimeError):
    """A training step does not fit into the device's memory; the message says what to try."""


@contextmanager
def explained_out_of_memory(advice: str) -> Iterator[None]:
    """Turns the device's out-of-memory error into OutOfMemoryError, which ends with advice."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"{str(error).splitlines()[0]}\n{advice}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that the device's memory is full: CUDA has a class for it, MPS and the CPU only a text."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)
    )


_OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator: can't allocate", "DefaultCPUAllocator: not enough memory")


def choose_hardware(
    settings: RuntimeSettings, before: HardwareCard | None, *, gathers_pixels: bool = False
) -> Hardware:
    """Resolves what is `auto`, and pins torch's thread count (results differ between one thread and two).

    Args:
        settings: What was requested.
        before: Of the snapshot that is resumed: on the same kind of device, `auto` keeps its precision and threads, so
            that a resumed run equals an uninterrupted one.
        gathers_pixels: Images are read between pixels (ADA), whose backward pass on CUDA adds in any order unless
            torch's deterministic algorithms are on.

    Raises:
        HardwareError: The device or precision requested is not there.
    """
    device = find_device(settings.device)
    if launched().several and device == "mps":
        raise HardwareError("train.device: several ranks cannot share Apple's GPU; give train.device=cpu, or start one")
    if device == "cuda" and own_gpu(launched(), torch.cuda.device_count()) is None:
        raise HardwareError(
            f"train.device: there are {launched().local_world} processes on this host, and {torch.cuda.device_count()} "
            "GPUs. Start one process a GPU (--nproc-per-node), or give train.device=cpu"
        )
    same = before if before is not None and before.device == device else None
    cores = own_cores()
    threads = settings.threads or cores
    if settings.threads is None and same is not None and same.threads <= cores and same.ranks == launched().world:
        threads = same.threads
    if threads > cores:
        logger.warning(
            "train.threads is %d, and there are %d cores to use: threads that share one take longer", threads, cores
        )
    torch.set_num_threads(threads)
    keep_freed_memory()
    chosen = Hardware(
        device=device,
        device_name=_device_name(device),
        precision=_precision(settings.precision, device, same),
        threads=threads,
        torch=torch.__version__,
        ranks=launched().world,
        compiled=device == "cuda" if settings.compile == "auto" else settings.compile,
        graphs=_graphs(settings.graphs, device),
    )
    if device == "cuda":
        # The same run must give the same bits. cudnn.benchmark stays off for that reason: it times the algorithms and
        # may choose others in the next process. What it could gain is small under the compiler and channels_last.
        torch.backends.cudnn.deterministic = True
        # float32 means float32, unless requested otherwise: TF32 keeps ten bits of the mantissa.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = chosen.precision == "tf32"
        if gathers_pixels:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # this mode requires it
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # takes time
            torch.use_deterministic_algorithms(True, warn_only=True)
    compiled = ", compiled" * chosen.compiled + ", recorded as CUDA graphs" * chosen.graphs
    where = f"{device} ({chosen.device_name}), {chosen.precision}"
    several = f"{chosen.ranks} ranks, each " if chosen.ranks > 1 else ""
    logger.info("Training on %s%s, CPU threads: %d%s", several, where, threads, compiled)
    if before is not None:
        known, now = before.model_dump(), chosen.card().model_dump()
        changed = [f"{key} {known[key]} -> {value}" for key, value in now.items() if known[key] != value]
        if changed:
            logger.warning("Resuming with %s: close to an uninterrupted run, but not bit for bit", ", ".join(changed))
    return chosen


def check_hardware(settings: RuntimeSettings) -> None:
    """Raises HardwareError if the device, precision or CUDA graphs requested are not there, and changes nothing."""
    device = find_device(settings.device)
    _precision(settings.precision, device, None)
    _graphs(settings.graphs, device)


def _graphs(requested: bool | Literal["auto"], device: str) -> bool:
    if launched().several:
        if requested is True:
            raise HardwareError(
                "train.graphs: CUDA graphs do not hold what several ranks send each other; give auto or false"
            )
        return False
    if requested is True and device != "cuda":
        raise HardwareError(f"train.graphs: CUDA graphs are NVIDIA's, and the device is {device}; give auto or false")
    return device == "cuda" and bool(requested)


def _precision(requested: str, device: str, same: HardwareCard | None) -> str:
    """Resolves `auto` by the hardware alone, so that two fresh runs of one command are equal."""
    if requested == "tf32" and not (device == "cuda" and torch.cuda.get_device_capability() >= (8, 0)):
        raise HardwareError(
            "train.precision: tf32 is a mode of NVIDIA GPUs from compute capability 8.0 on, and the device is "
            f"{device}; give auto, float32 or bfloat16"
        )
    if requested != "auto":
        return requested
    native = computes_bfloat16(device)
    if same is not None and (native or same.precision != "bfloat16"):
        return same.precision
    return "bfloat16" if native else "float32"


def find_device(name: str, setting: str = "train.device") -> str:
    """The device to use: itself, or for `auto` CUDA, else MPS, else the CPU.

    Raises:
        HardwareError: It is not on this machine; the message names the `setting`.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device, there in found.items() if there]
    if name not in ("auto", *available):
        raise HardwareError(
            f"{setting}: {name} is not available to torch {torch.__version__} on this machine; "
            f"available: {', '.join(available)}. Give one of them, or auto"
        )
    return available[0] if name == "auto" else name


def use_all_cores() -> None:
    """Gives torch the cores there are, whatever a training in the same process has set: results depend on it."""
    torch.set_num_threads(own_cores())
    keep_freed_memory()


def _device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") if device == "cpu" else None
    return str(name or platform.processor() or platform.machine())
