"""Parameters and multiply-accumulate operations of every family of networks, by default and with its paper's widths.

Operations are those of convolutions and linear layers for one image, forwards; a step of training needs several times
as many. Nothing is measured, so the table is the same on every machine.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.networks.table import tabulate_pair

SIZES = (32, 64, 128, 256)


@dataclass(frozen=True)
class Row:
    """A pair of networks; widths of None are the default."""

    name: str
    size: int
    whose: str
    width: int | None = None
    max_width: int | None = None
    latent: int = LatentSettings().size

    def __str__(self) -> str:
        widths = {} if self.width is None else {"width": self.width, "max_width": self.max_width}
        network = NetworkSettings.model_validate({"name": self.name, self.name: widths})
        own = getattr(network, self.name)
        channels = f"{own.width}, {own.max_width}" if hasattr(own, "max_width") else f"{own.width}"
        pair = tabulate_pair(network, LatentSettings(size=self.latent), self.size)
        numbers = [f"{table.parameters / 1e6:,.2f} M | {table.macs / 1e9:,.3f} G" for table in pair]
        return f"| {self.name} | {self.size} | {channels} | {self.latent} | {self.whose} | {' | '.join(numbers)} |"


def rows() -> Iterator[Row]:
    yield Row("article", 112, "default; the article's own widths")
    for size in SIZES:
        yield Row("dcgan", size, "default")
    for size in SIZES:  # 128 channels at 32x32, 1024 at 4x4, 100 numbers of noise
        paper = "Radford et al. 2016, figure 1" if size == 64 else "the same widths"
        yield Row("dcgan", size, paper, 128, 1024, 100)
    for size in SIZES:
        yield Row("resnet", size, "default" + ("; Gulrajani et al. 2017, appendix" if size == 64 else ""))
    for size in SIZES:
        yield Row("r3", size, "default")
    for size, width in ((32, 768), (64, 384), (128, 192), (256, 96)):
        paper = "between its sizes 64 and 256" if size == 128 else "Huang et al. 2024"
        yield Row("r3", size, paper, width, 768, 64)


def main() -> None:
    print("# Networks\n")
    print(f"`python benchmarks/networks.py`, {datetime.date.today():%Y-%m-%d}, torch {torch.__version__}. Parameters;")
    print("MACs: multiply-accumulate operations of convolutions and linear layers for one image, forwards.\n")
    print("| network | size | width, max_width | latent | whose widths | generator | MACs | discriminator | MACs |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows():
        print(row)


if __name__ == "__main__":
    main()
