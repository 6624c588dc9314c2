"""Settings of the runtime: device, precision, compilation, threads."""

from typing import Literal

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class RuntimeSettings(Settings):
    """What the arithmetic runs on."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else MPS, else CPU")
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = Field(
        "auto",
        description="of the arithmetic; auto: bfloat16 where the hardware computes it natively, else float32; "
        "tf32: float32 whose products keep ten bits, CUDA only",
    )
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compile the losses with torch.compile; auto: on CUDA; where it fails, training runs without",
    )
    graphs: bool | Literal["auto"] = Field(
        False,
        description="record whole steps as CUDA graphs, so that the host need not start each kernel; auto: on CUDA; "
        "where it fails, training runs without",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads; null: those of the resumed state, else OMP_NUM_THREADS or all cores",
    )
