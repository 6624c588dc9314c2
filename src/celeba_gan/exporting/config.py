"""Settings of the export."""

from typing import Literal

from pydantic import Field

from celeba_gan.foundation.settings import Settings


class ExportSettings(Settings):
    """What the exported folder holds."""

    checkpoint: Literal["last", "best"] = Field(
        default="last", description="The generator of the last tick, or of the one with the lowest swd_absolute_valid."
    )
    web: bool = Field(
        default=True,
        description="Whether to add index.html, which generates in a browser, and onnxruntime-web, which npm fetches.",
    )
    torch_program: bool = Field(
        default=True, description="Whether to add generator.pt2, a program of torch.export; reading it unpickles."
    )
    seed: int = Field(default=0, ge=0, description="Decides the latents of samples.png.")
    grid_rows: int = Field(default=4, ge=1, le=64, description="Rows of samples.png.")
    grid_columns: int = Field(default=8, ge=1, le=64, description="Samples in a row of samples.png.")
