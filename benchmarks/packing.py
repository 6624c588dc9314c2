"""Time and peak memory of packing the default synthetic portraits at 32x32 and 64x64.

Beside it the rate of one core that decodes, crops and resizes in a plain loop: what the cores could do at most.
"""

import resource
import tempfile
import time
from pathlib import Path

import pandas as pd

from celeba_gan.celeba.config import IngestSettings
from celeba_gan.celeba.index import build_index
from celeba_gan.celeba.source import CelebA
from celeba_gan.celeba.synthetic import SyntheticCelebA
from celeba_gan.imaging.config import PreprocessSettings
from celeba_gan.imaging.packed import Manifest
from celeba_gan.imaging.packing import decode_image, pack_images


def peak_mib() -> str:
    """Largest resident memory so far of this process and of its largest worker."""
    own, workers = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"{own:.0f} MiB here, {workers:.0f} MiB in the largest worker"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source_folder = Path(folder) / "portraits"
        began = time.perf_counter()
        SyntheticCelebA().ensure(source_folder)
        seconds = time.perf_counter() - began
        celeba = CelebA(source_folder)
        print(f"drawing: {len(celeba.image_names)} portraits in {seconds:.1f} s")
        began = time.perf_counter()
        index, _ = build_index(celeba, IngestSettings())
        print(f"indexing: {len(index)} images in {time.perf_counter() - began:.2f} s")
        for size in (32, 64):
            measure(celeba, index, size)
    from machine import describe, matrix_product_ms  # only now: torch would count as memory of the packing

    print(f"1024^3 float32 product {matrix_product_ms():.1f} ms ({describe()})")


def measure(celeba: CelebA, index: pd.DataFrame, size: int) -> None:
    """Packs three times, in turn with a plain loop on one core, and prints the median."""
    rates, alone, count = [], [], 0
    for _ in range(3):
        began = time.perf_counter()
        manifest = next(
            part
            for part in pack_images(celeba, index, PreprocessSettings(size=size), None)
            if isinstance(part, Manifest)
        )
        rates.append(manifest.count / (time.perf_counter() - began))
        count = manifest.count
        began = time.perf_counter()
        for name in celeba.image_names[:1000]:
            decode_image(celeba.read(name), manifest.recipe)
        alone.append(1000 / (time.perf_counter() - began))
    rate, one_core = sorted(rates)[1], sorted(alone)[1]
    print(
        f"{size}x{size}: {count} images at {rate:.0f} images/s ({count / rate:.2f} s, workers' start "
        f"included); one core alone {one_core:.0f} images/s; peak memory {peak_mib()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
