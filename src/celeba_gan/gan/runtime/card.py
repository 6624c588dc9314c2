"""The hardware of a training, as its snapshots record it."""

from celeba_gan.foundation.documents import Record


class HardwareCard(Record):
    """What the arithmetic runs on. Equal values give equal bits."""

    device: str
    device_name: str
    precision: str
    threads: int
    torch: str
    ranks: int = 1  # processes that computed each step together
    compiled: bool = False  # whether torch.compile was requested; where it fails, training runs eagerly and logs it
