"""The hardware of a training, as its snapshots record it."""

from pydantic import BaseModel, ConfigDict


class HardwareCard(BaseModel):
    """What the arithmetic runs on. Equal values give equal bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    device_name: str
    precision: str
    threads: int
    torch: str
    compiled: bool = False
    """Whether torch.compile was requested; where it fails, training runs eagerly and logs it."""
